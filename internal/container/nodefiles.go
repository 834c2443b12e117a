package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// NodeFiles are the files that a node's process sees.
type NodeFiles struct {
	// IDs say who the owners of the files are on the machine.
	IDs  user.IdentityMapping
	root *os.File
	held io.Closer // what keeps all mounted while nothing runs; nil while the process does
}

// Files gives the files that a node's process sees, or that it would see: those of one that has ended are mounted again as they
// were, without what was in memory. Until they are closed, a container that has ended is neither started nor removed.
// Of one that has ended a dead supervisor is started again.
func (e *Engine) Files(ctx context.Context, project, node string) (*NodeFiles, error) {
	l := e.layout(project)
	p, rec, err := readSettled(ctx, l, node, findSupervisor(l))
	switch {
	case err != nil:
		return nil, err
	case p.Node == "":
		return nil, fmt.Errorf("%s runs no process: its files are the host's", node)
	case rec.Status == kernel.Running:
		f, err := filesOf(rec.identity)
		if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s has just ended", node)
		}
		return f, err
	case !p.Container:
		return filesOfPlace(placeOf(p))
	}
	f, err := borrow(ctx, l, node)
	if errors.Is(err, errNoSupervisor) {
		if err := e.startSupervisor(ctx, l); err != nil {
			return nil, err
		}
		f, err = borrow(ctx, l, node)
	}
	return f, err
}

// filesOf gives the files of a process that runs.
func filesOf(id identity) (*NodeFiles, error) {
	proc := "/proc/" + strconv.Itoa(id.PID)
	root, err := openRoot(proc + "/root")
	if err != nil {
		return nil, err
	}
	f := &NodeFiles{root: root}
	uids, uerr := user.ParseIDMapFile(proc + "/uid_map")
	gids, gerr := user.ParseIDMapFile(proc + "/gid_map")
	if err := errors.Join(uerr, gerr); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	// What was read is the process's if that still has the pid.
	if !id.alive() {
		return nil, errors.Join(unix.ESRCH, root.Close())
	}
	f.IDs = user.IdentityMapping{UIDMaps: uids, GIDMaps: gids}
	return f, nil
}

// filesOfPlace gives the files that a program of a `namespaces:` node would see.
func filesOfPlace(pl place) (*NodeFiles, error) {
	f := &NodeFiles{}
	return f, onThread(func() error {
		if err := pl.enter(new(mountBase)); err != nil {
			return err
		}
		return f.openHere("/")
	})
}

// openHere opens a root in the calling thread's mount namespace, which stays, after the thread, until that is closed.
func (f *NodeFiles) openHere(root string) error {
	ns, err := os.Open("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	f.held = ns
	if f.root, err = openRoot(root); err != nil {
		return errors.Join(err, ns.Close())
	}
	return nil
}

func openRoot(path string) (*os.File, error) {
	return os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

// Close lets go of the files.
func (f *NodeFiles) Close() error {
	err := f.root.Close()
	if f.held != nil {
		err = errors.Join(err, f.held.Close())
	}
	return err
}

// Open opens a folder as the node's process would: no link leads out of what that sees.
func (f *NodeFiles) Open(path string) (*os.Root, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(f.root.Fd()), path, &how)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	return os.OpenRoot("/proc/self/fd/" + strconv.Itoa(fd))
}
