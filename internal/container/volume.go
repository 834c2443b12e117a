package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// resolveMounts makes missing source folders where that is asked for, and checks that the others are there. Those that it makes belong
// to owner, who is the container's root on the host.
func resolveMounts(mounts []kernel.Mount, owner uint32) ([]kernel.Mount, error) {
	for _, m := range mounts {
		if m.Kind != kernel.BindMount {
			continue
		}
		_, err := os.Stat(m.Source)
		if os.IsNotExist(err) && m.CreateSource {
			if err = os.MkdirAll(m.Source, 0o755); err == nil && owner != 0 {
				err = os.Lchown(m.Source, int(owner), int(owner))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("mounting %s: %w", m.Target, err)
		}
	}
	return append([]kernel.Mount(nil), mounts...), nil
}

// sharedTrees are the sources of mounts that send mounts back to the host (propagation shared), as
// detached copies: taken in the host's mount namespace they are peers of the host's; the
// namespace that containers start from has slaves only.
type sharedTrees map[int]int // index of the mount → file descriptor

func grabShared(mounts []kernel.Mount) (sharedTrees, error) {
	trees := sharedTrees{}
	for i, m := range mounts {
		if m.Propagation != "shared" && m.Propagation != "rshared" {
			continue
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			trees.close()
			return nil, fmt.Errorf("mounting %s: %w", m.Source, err)
		}
		trees[i] = fd
	}
	return trees, nil
}

// put mounts the trees in the bundle, in the calling thread's mount namespace, and makes them the sources.
func (t sharedTrees) put(bundle string, mounts []kernel.Mount) error {
	for i, fd := range t {
		at := filepath.Join(bundle, "shared"+strconv.Itoa(i))
		if err := os.MkdirAll(at, 0o700); err != nil {
			return err
		}
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mounting %s: %w", mounts[i].Source, err)
		}
		mounts[i].Source = at
	}
	return nil
}

func (t sharedTrees) close() {
	for _, fd := range t {
		unix.Close(fd)
	}
}
