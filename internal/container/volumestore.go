package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// volumeStore keeps the volumes of all projects. What a volume is and what is in it are one folder, which
// comes into place whole and leaves it whole:
//
//	DATA/volumes/
//		NAME/
//			volume.json  whose it is: kernel.Volume
//			data/        what is in it
//			copy/        what it is being filled with, see fill
//			fill/        the same, complete
//		.new/            one that is being made
//		.gone/           one that is being removed
type volumeStore struct{ runDir, dataDir string }

func (e *Engine) volumes() volumeStore { return e.layout("").volumes() }
func (l layout) volumes() volumeStore  { return volumeStore{l.runDir, l.dataDir} }

func (s volumeStore) path(elem ...string) string {
	return filepath.Join(append([]string{s.dataDir, "volumes"}, elem...)...)
}

// passing are the folders of what is on its way in or out. No volume is called so: a name doesn't begin with a dot.
var passing = []string{".new", ".gone"}

// Volumes lists the volumes of all projects, by name. A folder that doesn't say whose it is has no project.
func (e *Engine) Volumes(context.Context) ([]kernel.Volume, error) {
	s := e.volumes()
	entries, err := os.ReadDir(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing volumes: %w", err)
	}
	users, err := s.users()
	if err != nil {
		return nil, fmt.Errorf("finding who uses volumes: %w", err)
	}
	var list []kernel.Volume
	for _, entry := range entries {
		if slices.Contains(passing, entry.Name()) {
			continue
		}
		v, err := s.read(entry.Name())
		if err != nil {
			return nil, err
		}
		v.Users = users[v.Name]
		list = append(list, v)
	}
	return list, nil
}

// VolumeSize is how many bytes a volume takes on the disk, with what it is being filled with.
func (e *Engine) VolumeSize(ctx context.Context, name string) (int64, error) {
	usage, err := continuity.DiskUsage(ctx, e.volumes().path(name))
	if err != nil {
		return 0, fmt.Errorf("measuring volume %s: %w", name, err)
	}
	return usage.Size, nil
}

// read reads what a volume is. What is no volume has a name and no project.
func (s volumeStore) read(name string) (kernel.Volume, error) {
	var v kernel.Volume
	err := readJSON(s.path(name, "volume.json"), &v)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.As(err, &syntax):
		v = kernel.Volume{}
	case err != nil:
		return kernel.Volume{}, fmt.Errorf("reading volume %s: %w", name, err)
	}
	v.Name = name
	return v, nil
}

// users finds the nodes of all projects whose processes have volumes, by volume.
func (s volumeStore) users() (map[string][]kernel.VolumeUser, error) {
	files, err := filepath.Glob(filepath.Join(s.runDir, "projects", "*", "nodes", "*", "process.json"))
	if err != nil {
		return nil, err
	}
	users := map[string][]kernel.VolumeUser{}
	for _, file := range files {
		var p kernel.Process
		if err := readJSON(file, &p); errors.Is(err, fs.ErrNotExist) {
			continue // stopped since
		} else if err != nil {
			return nil, err
		}
		var r record
		if err := readJSON(filepath.Join(filepath.Dir(file), "state.json"), &r); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		user := kernel.VolumeUser{Project: p.Project, Node: p.Node}
		for _, m := range slices.Concat(p.Mounts, r.Added) {
			if m.Kind == kernel.VolumeMount && !slices.Contains(users[m.Source], user) {
				users[m.Source] = append(users[m.Source], user)
			}
		}
	}
	return users, nil
}

func (s volumeStore) create(o kernel.VolumeCreate) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(s.path(o.Name)); err == nil {
		return unix.EEXIST
	}
	if err := s.sweep(); err != nil {
		return err
	}
	made := s.path(".new")
	if err := os.MkdirAll(filepath.Join(made, "data"), 0o700); err != nil {
		return err
	}
	// Others than root may use it, until it is filled from a folder that says otherwise.
	if err := os.Chmod(filepath.Join(made, "data"), 0o755); err != nil {
		return err
	}
	v := kernel.Volume{
		Name: o.Name, Project: o.Project, Labels: o.Labels, Created: time.Now().UTC().Truncate(time.Second),
		Node: o.Node, Target: o.Target, External: o.Project == "",
	}
	if err := writeSynced(filepath.Join(made, "volume.json"), v); err != nil {
		return err
	}
	if err := os.Rename(made, s.path(o.Name)); err != nil {
		return err
	}
	return syncFolder(s.path())
}

// claim makes sure that the volumes of a process, which is written down, are not being removed: who removes one holds the lock
// from when nobody was found to use it. It makes those of its image that are not there yet.
func (s volumeStore) claim(p kernel.Process, added []kernel.Mount) error {
	if !slices.ContainsFunc(p.Mounts, func(m kernel.Mount) bool { return m.Kind == kernel.VolumeMount }) {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	unlock()
	for _, m := range added {
		if m.From != "" {
			continue
		}
		err := s.create(kernel.VolumeCreate{Name: m.Source, Project: p.Project, Node: p.Node, Target: m.Target})
		if errors.Is(err, unix.EEXIST) {
			_, err = s.own(m.Source, p.Project)
		}
		if err != nil {
			return fmt.Errorf("making volume %s of its image: %w", m.Source, err)
		}
	}
	return nil
}

func (s volumeStore) set(o kernel.VolumeSet) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	v, err := s.own(o.Name, o.Project)
	if err != nil {
		return err
	}
	v.Labels = o.Labels
	next := s.path(o.Name, ".volume.json")
	if err := writeSynced(next, v); err != nil {
		return err
	}
	if err := os.Rename(next, s.path(o.Name, "volume.json")); err != nil {
		return err
	}
	return syncFolder(s.path(o.Name))
}

// own reads a volume that must be the project's, or with "" external: ENOENT, EPERM.
func (s volumeStore) own(name, project string) (kernel.Volume, error) {
	if _, err := os.Lstat(s.path(name)); err != nil {
		return kernel.Volume{}, unix.ENOENT
	}
	v, err := s.read(name)
	switch {
	case err != nil:
	case !v.Genuine():
		err = fmt.Errorf("%s is not a volume of topo's: %w", s.path(name), unix.EPERM)
	case v.Project != project && project == "":
		err = fmt.Errorf("it is of project %s: %w", v.Project, unix.EPERM)
	case v.Project != project:
		err = fmt.Errorf("it is not of project %s: %w", project, unix.EPERM)
	}
	return v, err
}

func (s volumeStore) remove(o kernel.VolumeDelete) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	_, err = s.own(o.Name, o.Project)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err == nil {
		users, err := s.users()
		if err != nil {
			return err
		}
		if u := users[o.Name]; len(u) > 0 {
			return fmt.Errorf("%s of project %s has it mounted: %w", u[0].Node, u[0].Project, unix.EBUSY)
		}
		if err := s.sweep(); err != nil {
			return err
		}
		if err := os.Rename(s.path(o.Name), s.path(".gone")); err != nil {
			return err
		}
	}
	return s.tidy()
}

// sweep removes what was on its way in or out when topo was killed. The lock is held.
func (s volumeStore) sweep() error {
	var err error
	for _, name := range passing {
		err = errors.Join(err, os.RemoveAll(s.path(name)))
	}
	return err
}

// tidy sweeps, and removes the folder of all volumes when none is left. The lock is held.
func (s volumeStore) tidy() error {
	err := s.sweep()
	removeEmpty(s.path(), s.dataDir)
	return err
}

// cleanUp removes what was left half way by a topo that was killed.
func (s volumeStore) cleanUp() error {
	if _, err := os.Stat(s.path()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return s.tidy()
}

// lock takes the lock of all volumes; it makes their folder where there is none. Who waited for one
// that was removed meanwhile locks its successor.
func (s volumeStore) lock() (unlock func(), err error) {
	for {
		if err := os.MkdirAll(s.path(), 0o700); err != nil {
			return nil, err
		}
		unlock, same, err := lockFolder(s.path())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("locking volumes: %w", err)
		}
		if same {
			return unlock, nil
		}
	}
}

// lockFolder waits for the lock (flock(2)) of a folder; same says whether the path still leads to it.
func lockFolder(path string) (unlock func(), same bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	locked, lerr := f.Stat()
	if err := errors.Join(err, lerr); err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	now, err := os.Stat(path)
	if err != nil || !os.SameFile(locked, now) {
		return nil, false, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, true, nil
}

// writeSynced writes a file of which nobody may find a part, not even after a power cut.
func writeSynced(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// depth is how many folders a path goes down.
func depth(path string) int { return strings.Count(strings.Trim(path, "/"), "/") + 1 }
