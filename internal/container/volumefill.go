package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// mountVolumes makes the volumes of a container ready and their folders the sources of its mounts. It is called in the
// container's mount namespace, when its root is there and has nothing mounted in it yet.
func (s volumeStore) mountVolumes(b *box, bundle, rootfs string) error {
	for i := range b.Mounts {
		m := &b.Mounts[i]
		if m.Kind != kernel.VolumeMount {
			continue
		}
		from := func() (*os.File, error) { return b.openTarget(rootfs, m.Target) }
		if m.NoCopy || m.Subpath != "" {
			from = nothing
		}
		err := s.ready(m.Source, from, b.ids)
		source := s.path(m.Source, "data")
		if err == nil && m.Subpath != "" {
			at := filepath.Join(bundle, "volume"+strconv.Itoa(i))
			err = mountBeneath(source, m.Subpath, at)
			source = at
		}
		if err != nil {
			return fmt.Errorf("mounting volume %s: %w", m.Source, err)
		}
		m.Source = source
	}
	return nil
}

// nothing is where a volume is filled from that isn't.
func nothing() (*os.File, error) { return nil, nil }

// openTarget opens the folder of a container's root that a volume will cover; nil when there is none, or when what
// the container has there is not of its root, which shows something of the host's in its place.
func (b box) openTarget(rootfs, target string) (*os.File, error) {
	rootfs, err := filepath.EvalSymlinks(rootfs)
	if err != nil {
		return nil, err
	}
	f, err := openIn(rootfs, target, unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", target, err)
	}
	// Links may have led elsewhere: /var/run to /run.
	at, err := os.Readlink(threadFile(f))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	at = "/" + strings.TrimPrefix(strings.TrimPrefix(at, rootfs), "/")
	for _, own := range append([]string{"/proc", "/sys", "/dev", "/run"}, b.hidden...) {
		if within(at, own) {
			return nil, f.Close()
		}
	}
	for _, hidden := range b.hidden {
		if !within(hidden, at) {
			continue
		}
		// The volumes themselves are there: they are not to be copied, into one of them least of all.
		if there, err := openIn(rootfs, hidden, 0); err == nil {
			return nil, errors.Join(fmt.Errorf("topo's own %s is below %s: it can't be copied, only mounted empty (nocopy)", hidden, target), there.Close(), f.Close())
		}
	}
	return f, nil
}

// threadFile is the path by which the calling thread finds an open file again.
func threadFile(f *os.File) string { return "/proc/thread-self/fd/" + strconv.Itoa(int(f.Fd())) }

// ready completes a volume's filling, and fills one that is empty from a folder, which may be nil.
//
// The filling is whole or it is not there, whenever topo is killed: it is copied to a folder beside
// (copy), which gets another name once it is complete (fill), and from there it is moved. Whoever
// mounts the volume next finishes the moving first. The folder that containers have mounted (data) stays the same
// all along, for those that have mounted the empty volume.
//
// With ids, the owners of the folder are those of a range, and those on disk the container's own.
func (s volumeStore) ready(name string, from func() (*os.File, error), ids *idMap) error {
	unlock, same, err := lockFolder(s.path(name))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !same {
		return errors.New("there is no such volume")
	}
	if err != nil {
		return err
	}
	defer unlock()
	v, err := s.read(name)
	if err != nil {
		return err
	}
	if !v.Genuine() {
		return fmt.Errorf("%s is not a volume of topo's", s.path(name))
	}
	if err := s.moveIn(name); err != nil {
		return err
	}
	if there, err := os.ReadDir(s.path(name, "data")); err != nil || len(there) > 0 {
		return err
	}
	source, err := from()
	if err != nil || source == nil {
		return err
	}
	defer source.Close()
	unfinished := s.path(name, "copy")
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	volume, err := ids.tree(s.path(name), 0)
	if err != nil {
		return err
	}
	defer volume.Close()
	if err := copyTree(filepath.Join(threadFile(volume), "copy"), source); err != nil {
		return errors.Join(fmt.Errorf("filling it: %w", err), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, s.path(name, "fill")); err != nil {
		return err
	}
	return s.moveIn(name)
}

// copyTree copies a folder with all that is mounted below it: each file system by itself, since continuity knows the
// files that are one (hard links) by their number, which another file system may have given, too.
func copyTree(to string, from *os.File) error {
	top, err := os.Readlink(threadFile(from))
	if err != nil {
		return err
	}
	mounts, err := readMounts("thread-self")
	if err != nil {
		return err
	}
	if err := copyMount(to, from); err != nil {
		return err
	}
	var below []string
	for _, m := range mounts {
		if m.path != top && within(m.path, top) {
			below = append(below, strings.TrimPrefix(m.path, top))
		}
	}
	slices.Sort(below)
	for _, path := range slices.Compact(below) {
		if err := copyBelow(filepath.Join(to, path), top, path); err != nil {
			return err
		}
	}
	return nil
}

// copyBelow copies what is mounted at a path below top: a folder, or a file.
func copyBelow(to, top, path string) error {
	f, err := openIn(top, path, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // hidden by a mount around it
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return errors.Join(err, continuity.CopyFile(to, threadFile(f)))
	}
	return copyMount(to, f)
}

// copyMount copies a folder, and nothing that is mounted below it.
func copyMount(to string, from *os.File) error {
	tree, err := unix.OpenTree(int(from.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	alone := os.NewFile(uintptr(tree), from.Name())
	defer alone.Close()
	return continuity.CopyDir(to, threadFile(alone)+"/.")
}

// moveIn moves what a volume is to be filled with into it, if there is such a thing. What has come into the volume by other
// ways meanwhile stays.
func (s volumeStore) moveIn(name string) error {
	fill, data := s.path(name, "fill"), s.path(name, "data")
	entries, err := os.ReadDir(fill)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		from := filepath.Join(fill, entry.Name())
		err := moveNew(from, filepath.Join(data, entry.Name()))
		if errors.Is(err, fs.ErrExist) {
			err = os.RemoveAll(from)
		}
		if err != nil {
			return err
		}
	}
	// Of what is empty now there is left to copy who owns it, and what they may do.
	if err := continuity.CopyDir(data, fill); err != nil {
		return err
	}
	return os.Remove(fill)
}

// moveNew is rename(2) that replaces nothing. Not every file system knows how (EINVAL).
func moveNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err != unix.EINVAL {
		return err
	}
	if _, err := os.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}

// openIn opens a path below root as one whose root that is would: no link leads out of it.
func openIn(root, path string, flags uint64) (*os.File, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	how := unix.OpenHow{Flags: flags | unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(dir.Fd()), path, &how)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// mountBeneath mounts a path of a folder at another, as it is at this moment: a container that has the volume, too, can
// put a link there, which is never followed out of the volume.
func mountBeneath(folder, path, at string) error {
	source, err := openIn(folder, path, 0)
	if err != nil {
		return fmt.Errorf("opening %s in it: %w", path, err)
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(at, 0o700)
	} else {
		err = os.WriteFile(at, nil, 0o600)
	}
	if err != nil {
		return err
	}
	tree, err := unix.OpenTree(int(source.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
