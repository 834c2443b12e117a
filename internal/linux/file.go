package linux

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// etcNetns holds files that "ip netns exec" binds over those in /etc (ip-netns(8)).
const etcNetns = "/etc/netns"

// fileWrite makes a new file under another name and renames it; one that exists is overwritten, because processes
// may have this very inode bound over their own file.
func (h *Host) fileWrite(o kernel.FileWrite) error {
	h.traced("", "write "+o.Path)
	h.memory.change(o.Path)
	h.folders.Lock()
	defer h.folders.Unlock()
	if _, err := os.Lstat(o.Path); err == nil {
		return overwrite(o.Path, o.Content.String())
	}
	dir := filepath.Dir(o.Path)
	if _, err := os.Stat(dir); err == nil {
		if err := sweepDrafts(dir); err != nil { // a writer may have been killed here
			return err
		}
	} else if err := h.makeFolders(dir); err != nil {
		return err
	}
	return writeWhole(o.Path, []byte(o.Content.String()), 0o644)
}

func overwrite(path, content string) error {
	return writePlain(path, unix.O_TRUNC|unix.O_NOFOLLOW, []byte(content), 0) // it may have become a link since it was read
}

// fileDelete removes the file, the folder that is empty then, and those above that topo made. Of the folders the same is true as in
// removeRecord.
func (h *Host) fileDelete(path string) error {
	h.traced("", "remove "+path)
	h.memory.change(path)
	h.folders.Lock()
	defer h.folders.Unlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if empty, err := removeEmpty(dir); !empty || err != nil {
			return nil
		}
		if err := removeRecord(folderRecord(dir)); err != nil {
			return nil
		}
		if _, err := os.Stat(folderRecord(filepath.Dir(dir))); err != nil {
			return nil // somebody else's
		}
	}
}

// folderRecord is the empty file that says that topo made a folder.
func folderRecord(dir string) string {
	return filepath.Join(recordsDir, "folders", strings.ReplaceAll(strings.TrimPrefix(dir, "/"), "/", "~"))
}

// makeFolders makes a folder and those above it, and remembers which those were.
func (h *Host) makeFolders(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := h.makeFolders(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := makeEmpty(folderRecord(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask: programs of all users read what is in it
}

// sweepFolders removes the folders that topo made and never filled, because it was killed in between, and the
// records of those that are gone. A folder that another project is about to fill is made again by it.
func sweepFolders() error {
	records, err := filepath.Glob(folderRecord("/*"))
	if err != nil {
		return err
	}
	slices.Reverse(records) // what is inside comes before what it is in
	for _, record := range records {
		dir := "/" + strings.ReplaceAll(filepath.Base(record), "~", "/")
		if err := sweepDrafts(dir); err != nil {
			return err
		}
		empty, err := removeEmpty(dir)
		if err != nil {
			return err
		}
		if empty {
			if err := removeWithFolders(record); err != nil {
				return err
			}
		}
	}
	return nil
}

// seenFile is a file as it was read, and what stat(2) said of it, but for when it was read.
type seenFile struct {
	kernel.File
	stat unix.Stat_t
}

// readFiles reads the files that topo could write for namespaces. Somebody else's have no mark, and are
// not read further.
func readFiles(r *recollection) ([]kernel.File, error) {
	folders, err := os.ReadDir(etcNetns) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var files []kernel.File
	seen := map[string]seenFile{}
	for _, folder := range folders {
		if !folder.IsDir() { // a link, perhaps to a folder that others share: nothing is read or written through it
			files = append(files, kernel.File{Path: filepath.Join(etcNetns, folder.Name())})
			continue
		}
		for _, name := range []string{"hosts", "resolv.conf"} {
			file, err := r.readFile(filepath.Join(etcNetns, folder.Name(), name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			files = append(files, file.File)
			seen[file.Path] = file
		}
	}
	r.rememberFiles(seen)
	return files, nil
}

func (r *recollection) readFile(path string) (seenFile, error) {
	file := seenFile{File: kernel.File{Path: path}}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return file, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return file, nil
	}
	st.Atim = unix.Timespec{}
	file.stat = st
	if before, ok := r.files[path]; ok && before.stat == file.stat && !r.changed[path] {
		return before, nil
	}
	content, err := readPlain(path, int(st.Size), r.buffer)
	if err != nil {
		return file, err
	}
	r.buffer = content
	first, _, _ := bytes.Cut(content, []byte("\n"))
	if mark, ok := kernel.ParseMark(strings.TrimPrefix(string(first), "# ")); ok {
		file.Mark, file.Content = mark, r.pieces.cut(content)
	}
	return file, nil
}

// readNameservers lists the name servers of the host's resolv.conf(5).
func readNameservers() ([]netip.Addr, error) {
	content, err := os.ReadFile("/etc/resolv.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var servers []netip.Addr
	for line := range strings.Lines(string(content)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(f[1]); err == nil {
			servers = append(servers, addr)
		}
	}
	return servers, err
}

// writeWhole writes a file so that it is there with all its content, or not at all. Missing folders are made.
func writeWhole(path string, content []byte, mode os.FileMode) error {
	return inFolder(path, func() error { return writeRenamed(path, content, mode) })
}

// makeEmpty makes an empty file, of which the name says all, unless it is there. Missing folders are made.
func makeEmpty(path string) error {
	return inFolder(path, func() error { return writePlain(path, unix.O_CREAT, nil, 0o600) })
}

// inFolder makes a file's folder where it is missing.
func inFolder(path string, makeFile func() error) error {
	for {
		err := makeFile()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := makeDir(filepath.Dir(path)); err != nil { // again where another topo removed it, empty as it was
			return err
		}
	}
}

// makeDir makes a folder and those above it, while another topo may be removing them: os.MkdirAll fails with EEXIST
// where a folder came and went between its two looks. They are topo's own, and their owner's alone; all
// may read those in /etc/netns.
func makeDir(dir string) (err error) {
	mode := os.FileMode(0o755)
	if own(dir) {
		mode = 0o700
	}
	for range 100 {
		if err = os.MkdirAll(dir, mode); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// draft begins the name of a file that is not whole yet; the pid of its writer follows.
const draft = ".topo-"

// sweepDrafts removes what killed writers left in a folder.
func sweepDrafts(dir string) error {
	drafts, err := filepath.Glob(filepath.Join(dir, draft+"*"))
	if err != nil {
		return err
	}
	for _, path := range drafts {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), draft), "-")
		if n, err := strconv.Atoi(pid); err == nil && unix.Kill(n, 0) != unix.ESRCH {
			continue // it may be writing
		}
		if err := os.Remove(path); gone(err) != nil {
			return err
		}
	}
	return nil
}

// drafts counts those of this process.
var drafts atomic.Uint64

func writeRenamed(path string, content []byte, mode os.FileMode) error {
	name := filepath.Join(filepath.Dir(path), fmt.Sprintf("%s%d-%d", draft, os.Getpid(), drafts.Add(1)))
	err := writePlain(name, unix.O_CREAT|unix.O_EXCL, content, mode)
	var at *fs.PathError
	switch {
	case err == nil:
		err = os.Rename(name, path)
	case errors.As(err, &at) && at.Op == "open" && errors.Is(err, fs.ErrExist): // of one that was killed and had this process's ID
		return writeRenamed(path, content, mode)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), removeFile(name))
	}
	return nil
}

// removeWithFolders removes a file of topo's own and the folders above that are empty then, up to and with /run/topo
// or /var/lib/topo.
func removeWithFolders(path string) error {
	if err := removeFile(path); err != nil {
		return err
	}
	return removeFolders(filepath.Dir(path))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !notThere(path) {
		return err
	}
	return nil
}

// removeRecord removes a file that a change had kept, and the folders that are empty then. A folder that can't be removed makes the
// change no failed one: all that it is about is done. The end of the run tries again, and tells (RemoveState, WriteApplied).
func removeRecord(path string) error {
	if err := removeFile(path); err != nil {
		return err
	}
	for dir := filepath.Dir(path); own(dir); dir = filepath.Dir(dir) {
		if empty, err := removeEmpty(dir); !empty || err != nil {
			break
		}
	}
	return nil
}

// removeFolders removes a folder of topo's own, with what killed writers left in it, and those above, as far as they are empty.
func removeFolders(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		if !own(dir) {
			return nil
		}
		if err := sweepDrafts(dir); err != nil {
			return err
		}
		if empty, err := removeEmpty(dir); !empty || err != nil {
			return err
		}
	}
}

// own reports whether a folder is one of topo's own.
func own(dir string) bool {
	return dir == runDir || dir == dataDir || strings.HasPrefix(dir, runDir+"/") || strings.HasPrefix(dir, dataDir+"/")
}

// removeEmpty removes a folder if it is empty; empty is also one that is gone, or has something else in its place. One that is a
// mount is left: topo did not make it.
func removeEmpty(dir string) (empty bool, err error) {
	err = unix.Rmdir(dir)
	switch err {
	case nil, unix.ENOENT, unix.ENOTDIR:
		return true, nil
	case unix.ENOTEMPTY, unix.EEXIST, unix.EBUSY:
		return false, nil
	case unix.EROFS: // said first, whether or not there is anything: one that is there was not made since
		return notThere(dir), nil
	}
	return false, &fs.PathError{Op: "rmdir", Path: dir, Err: err}
}

// notThere is asked where nothing can be removed: a read-only file system says so first, whether or not there is anything.
func notThere(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
