package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
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
