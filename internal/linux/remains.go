package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// source is what a project was brought up from: absolute paths. Whether these are still there tells a dead project from a living one.
type source struct{ Files []string }

// sourceFiles are where that is kept: with what a reboot ends, and with what it doesn't.
func sourceFiles(project string) (running, lasting string) {
	const name = "source.json"
	return filepath.Join(runDir, "projects", project, name), filepath.Join(dataDir, "projects", project, name)
}

// ReadSource gives what WriteSource kept; known is false where nothing was.
func ReadSource(project string) (files []string, known bool, err error) {
	var s source
	running, _ := sourceFiles(project)
	err = readJSON(running, &s, &known)
	return s.Files, known, err
}

// WriteSource keeps which files the last successful up of a project read; none is stdin. A project that has something which outlives
// a reboot, keys or logs, has it known then, too.
func WriteSource(project string, files []string) error {
	running, lasting := sourceFiles(project)
	paths := []string{running}
	for _, dir := range []string{filepath.Dir(lasting), filepath.Join(kernel.KeyDir, project)} {
		if _, err := os.Stat(dir); err == nil {
			paths = append(paths, lasting)
			break
		}
	}
	for _, path := range paths {
		var before source
		known := false
		if err := readJSON(path, &before, &known); err == nil && known && slices.Equal(before.Files, files) {
			continue
		}
		if err := writeJSON(path, source{files}); err != nil {
			return err
		}
	}
	return nil
}

// removeSource also removes what was recorded of kernel parameters of the project's that are no more: what still is was put back before.
func removeSource(project string) error {
	running, lasting := sourceFiles(project)
	records, err := filepath.Glob(filepath.Join(recordsDir, "sysctl", project, "*"))
	if err != nil {
		return err
	}
	for _, path := range append(records, running, lasting) {
		if err := removeWithFolders(path); err != nil {
			return err
		}
	}
	return nil
}

// Remains lists the projects of which there are files of topo's, by name. Of each it says what files can.
func Remains() (map[string]kernel.Remains, error) {
	found := map[string]kernel.Remains{}
	for _, dir := range []string{
		filepath.Join(runDir, "projects"), filepath.Join(dataDir, "projects"), kernel.KeyDir, filepath.Join(recordsDir, "sysctl"), locksDir,
	} {
		entries, err := os.ReadDir(dir)
		if gone(err) != nil {
			return nil, err
		}
		for _, e := range entries {
			name := e.Name()
			if dir == locksDir {
				name = strings.TrimSuffix(name, ".lock")
			}
			if name == hostLock && dir == locksDir || strings.HasPrefix(name, ".") {
				continue // the name of no project
			}
			if _, known := found[name]; known {
				continue
			}
			r, err := remainsOf(name)
			if err != nil {
				return nil, err
			}
			found[name] = r
		}
	}
	return found, nil
}

func remainsOf(project string) (kernel.Remains, error) {
	r := kernel.Remains{Project: project}
	var err error
	if r.Worked, err = worked(project); err != nil {
		return r, fmt.Errorf("looking who works on %s: %w", project, err)
	}
	running, lasting := sourceFiles(project)
	entries, err := os.ReadDir(filepath.Dir(running))
	if gone(err) != nil {
		return r, err
	}
	r.State = slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !strings.HasPrefix(e.Name(), draft) })
	for _, path := range []string{running, lasting} {
		var from source
		known := false
		if err := readJSON(path, &from, &known); err != nil {
			return r, err
		}
		if known {
			r.Files = from.Files
			break
		}
	}
	for _, file := range r.Files {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			r.Gone = append(r.Gone, file)
		}
	}
	return r, nil
}

// Leftovers are the files and folders of topo's that a project's end removes, besides those of its plan.
func Leftovers(project string) []string {
	var found []string
	running, lasting := sourceFiles(project)
	for _, path := range []string{
		filepath.Dir(running), filepath.Dir(lasting), filepath.Join(recordsDir, "sysctl", project), LockFile(project),
	} {
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		}
	}
	return found
}

// worked reports whether another process has the lock of a project, by proc_locks(5): a try would keep from it who comes at that moment.
func worked(project string) (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat(LockFile(project), &st); err != nil {
		return false, gone(err)
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false, err
	}
	return heldByOther(string(locks), fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino), os.Getpid()), nil
}

// heldByOther looks for a file in "1: FLOCK  ADVISORY  WRITE 4711 00:2a:1234 0 EOF". One that waits has "->" behind the number.
func heldByOther(locks, file string, own int) bool {
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) == 8 && f[1] == "FLOCK" && f[5] == file && f[4] != strconv.Itoa(own) {
			return true
		}
	}
	return false
}
