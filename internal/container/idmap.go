package container

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// idMap shows files with other owners: those of 0 to 65535 on disk are those of the container's range in a mount
// made with it (idmapped mounts, mount_setattr(2)), and what the container writes there is on disk as its own id, from 0 on.
//
// This host's root has an id in it, too, the one above the range: so that topo can write by such a mount.
type idMap struct {
	ns *os.File // a user namespace; the kernel takes the numbers from it, and nothing is ever in it
}

// mapName is the hidden command that is in a user namespace until that has been opened.
const mapName = "topo-idmap"

// mapMain ends when its input does.
func mapMain() int {
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// makeIDMap makes one; self is topo's program, start starts it and gives a function that waits for its end.
func makeIDMap(self string, first uint32, start func(*exec.Cmd) (wait func(), err error)) (m *idMap, err error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ids := []syscall.SysProcIDMap{
		{ContainerID: 0, HostID: int(first), Size: idCount},
		{ContainerID: idCount, HostID: 0, Size: 1},
	}
	cmd := &exec.Cmd{
		Path: self, Args: []string{mapName}, Env: []string{}, Dir: "/", Stdin: theirs,
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids},
	}
	wait, err := start(cmd)
	err = errors.Join(err, theirs.Close())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making a user namespace: %w", err), ours.Close())
	}
	ns, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/user")
	err = errors.Join(err, ours.Close())
	wait()
	if err != nil {
		return nil, fmt.Errorf("opening a user namespace: %w", err)
	}
	return &idMap{ns}, nil
}

func (m *idMap) close() { _ = m.ns.Close() }

// tree is a copy of a mount, or of a folder or file of it, that is not mounted anywhere; with the
// map, unless m is nil. EINVAL: the file system can't be mapped.
func (m *idMap) tree(path string, flags uint) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	tree := os.NewFile(uintptr(fd), path)
	if m == nil {
		return tree, nil
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(m.ns.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, errors.Join(fmt.Errorf("mapping the owners of %s: %w", path, err), tree.Close())
	}
	return tree, nil
}

// Unmappable tells of which folders the owners can't be mapped, and why: their file system has to be able to. It
// changes nothing: what it mounts to see is mounted nowhere.
func (e *Engine) Unmappable(folders []string) (map[string]string, error) {
	if len(folders) == 0 || userNamespaces() != "" {
		return nil, nil
	}
	self, err := e.config.program()
	if err != nil {
		return nil, err
	}
	m, err := makeIDMap(self, firstIDs, func(c *exec.Cmd) (func(), error) {
		return func() { _ = c.Wait() }, c.Start()
	})
	if err != nil {
		return nil, err
	}
	defer m.close()
	why := map[string]string{}
	for _, folder := range folders {
		path := folder
		if folder == kernel.DataFolder {
			path = existing(e.config.DataDir)
		}
		tree, err := m.tree(path, 0)
		switch {
		case err == nil:
			err = tree.Close()
		case errors.Is(err, unix.EINVAL):
			why[folder], err = "the file system of "+path+" can't show files with other owners (idmapped mounts, mount_setattr(2))", nil
		case errors.Is(err, fs.ErrNotExist):
			err = nil // a rootfs that is missing is told of elsewhere
		}
		if err != nil {
			return nil, err
		}
	}
	return why, nil
}

// existing is a path, or the nearest one above it that is there.
func existing(path string) string {
	for ; path != "/"; path = filepath.Dir(path) {
		if exists(path) {
			break
		}
	}
	return path
}
