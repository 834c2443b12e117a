package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// stage is where a container with a user namespace of its own gets everything from: its root, its volumes, its files. The
// runtime's process in that namespace is not root to the host any more, and topo's folders are root's alone. So, in the calling
// thread's mount namespace only, a file system in memory that all may enter covers RUN; the project's own folder is back in its place.
type stage struct {
	dir  string
	root string // for the container's root: outside there is such a folder, too, since runc 1.1.5 goes to it when it execs
	last int
}

func makeStage(l layout) (*stage, error) {
	project, err := (*idMap)(nil).tree(l.run(), unix.AT_RECURSIVE)
	if err != nil {
		return nil, err
	}
	defer project.Close()
	if err := unix.Mount(tmpfsType, l.runDir, tmpfsType, unix.MS_NOSUID|unix.MS_NODEV, "mode=0711"); err != nil {
		return nil, fmt.Errorf("mounting memory on %s: %w", l.runDir, err)
	}
	if err := os.MkdirAll(l.run(), 0o700); err != nil {
		return nil, err
	}
	s := &stage{dir: l.runDir, root: l.stagedRoot()}
	return s, errors.Join(attach(project, l.run()), os.Mkdir(s.root, 0o755))
}

// place makes an empty folder, or an empty file, to mount something on.
func (s *stage) place(folder bool) (string, error) {
	s.last++
	at := filepath.Join(s.dir, strconv.Itoa(s.last))
	if folder {
		return at, os.Mkdir(at, 0o755)
	}
	return at, os.WriteFile(at, nil, 0o644)
}

// show mounts a copy of what is at path, see [idMap.tree], and says where.
func (s *stage) show(m *idMap, path string, flags uint) (string, error) {
	tree, err := m.tree(path, flags)
	if err != nil {
		return "", err
	}
	defer tree.Close()
	info, err := tree.Stat()
	if err != nil {
		return "", err
	}
	at, err := s.place(info.IsDir())
	if err != nil {
		return "", err
	}
	return at, attach(tree, at)
}

// sys mounts the /sys of the calling thread's network namespace, read-only: in a user namespace that doesn't own the network's none
// can be mounted.
func (s *stage) sys() (at string, err error) {
	if at, err = s.place(true); err != nil {
		return "", err
	}
	if err := unix.Mount("sysfs", at, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return "", fmt.Errorf("mounting /sys: %w", err)
	}
	// Of the mount alone: the file system is that of others in the network namespace, too.
	return at, unix.MountSetattr(unix.AT_FDCWD, at, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// attach mounts a tree at a path: a folder, or a file where the tree is one.
func attach(tree *os.File, at string) error {
	if err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mounting %s: %w", tree.Name(), err)
	}
	return nil
}

// mapIDs gives a container ids of its own, and a stage in the calling thread's mount namespace.
func (l *launcher) mapIDs(b *box) error {
	self, err := l.config.program()
	if err != nil {
		return err
	}
	b.ids, err = makeIDMap(self, b.firstID, func(c *exec.Cmd) (func(), error) {
		exit, err := l.reaper.Start(c)
		return func() { _, _ = l.reaper.Wait(c, exit) }, err
	})
	if err != nil {
		return err
	}
	if b.stage, err = makeStage(l.layout); err != nil {
		return err
	}
	// The runtime is to be in the network namespace that the container is in, and has none to join: to exec, runc 1.1.5 joins the
	// user namespace first, and has no right to the host's network namespaces then.
	if b.netns != "" {
		if err := enterNetns(b.netns); err != nil {
			return err
		}
		b.netns = ""
	}
	b.sys, err = b.stage.sys()
	return err
}

// enterNetns takes the calling thread, see onThread, into a network namespace.
func enterNetns(path string) error {
	netns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer netns.Close()
	if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", path, err)
	}
	return nil
}

// onHost is what an id of the container is on the host.
func (b box) onHost(id uint32) uint32 { return b.firstID + id }

// stageMounts puts the sources of the container's mounts on its stage. A volume's files have in the container the owners that they
// have on disk, as in any other container; those of a folder or file of the host belong there to whom they belong on
// the host: to nobody.
func (b *box) stageMounts() (err error) {
	for i := range b.Mounts {
		m := &b.Mounts[i]
		switch m.Kind {
		case kernel.BindMount:
			m.Source, err = b.stage.show(nil, m.Source, unix.AT_RECURSIVE)
		case kernel.VolumeMount:
			m.Source, err = b.stage.show(b.ids, m.Source, 0)
		}
		if err != nil {
			return fmt.Errorf("mounting %s: %w", m.Target, err)
		}
	}
	for _, file := range []*string{&b.self, &b.Hosts, &b.Resolv} {
		if *file == "" {
			continue
		}
		if *file, err = b.stage.show(nil, *file, 0); err != nil {
			return err
		}
	}
	return nil
}
