package container

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// A container that has ended has no mounts any more. For who wants its files the supervisor makes them again, as for a start, and
// lends them: its answer has the open root with it (SCM_RIGHTS, unix(7)), and the borrower gives it back by hanging up.

// lend gives the files of a container that doesn't run to the client, until that hangs up. Meanwhile it is neither started nor
// removed: two overlays must not write to one folder.
func (n *node) lend(ctx context.Context, conn *net.UnixConn) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, rec, _ := n.state()
	switch {
	case p.Node == "":
		return errNoProcess
	case rec.Status == kernel.Running:
		return errors.New("it has just been started")
	case p.Runtime == kernel.RuntimeDocker:
		return fmt.Errorf("it has ended, and its files are the engine's: docker cp %s:PATH has them", kernel.EngineName(p.Project, p.Node))
	}
	if err := n.tidy(ctx, p, rec); err != nil {
		return err
	}
	p, from, err := n.filledIn(ctx, p, rec)
	if err != nil {
		return err
	}
	var files NodeFiles
	err = onThread(func() error {
		b, release, err := n.prepare(p, from, containerID(p))
		defer release()
		if err != nil {
			return err
		}
		root, err := n.mountAll(b)
		if err != nil {
			return err
		}
		return files.openHere(root)
	})
	if err != nil {
		return err
	}
	defer files.Close()
	answer, err := json.Marshal(response{})
	if err != nil {
		return err
	}
	if _, _, err := conn.WriteMsgUnix(append(answer, '\n'), unix.UnixRights(int(files.root.Fd())), nil); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// mountAll mounts what the runtime would mount in a root that is prepared, but for what is new at each start.
func (n *node) mountAll(b box) (rootfs string, err error) {
	rootfs = b.rootfs
	if !filepath.IsAbs(rootfs) {
		rootfs = filepath.Join(n.bundle(n.name), rootfs)
	}
	mounts, err := readMounts("thread-self")
	if err != nil {
		return "", err
	}
	store, err := filepath.EvalSymlinks(n.root(n.name))
	if err != nil {
		return "", err
	}
	if mountOf(mounts, store).path == store {
		return "", errors.New("its files were in memory, and went with its process")
	}
	list := slices.DeleteFunc(slices.Clone(b.Mounts), func(m kernel.Mount) bool { return m.Kind == kernel.TmpfsMount })
	slices.SortStableFunc(list, func(x, y kernel.Mount) int { return cmp.Compare(depth(x.Target), depth(y.Target)) })
	// As in [box.mounts], what the file states comes after these, and may hide them.
	kept := []kernel.Mount{{Source: b.Hosts, Target: "/etc/hosts", ReadOnly: true}, {Source: b.Resolv, Target: "/etc/resolv.conf", ReadOnly: true}}
	for _, m := range append(kept, list...) {
		if m.Source == "" {
			continue
		}
		if err := mountIn(rootfs, m); err != nil {
			return "", fmt.Errorf("mounting %s: %w", m.Target, err)
		}
	}
	if b.ReadOnly {
		err = readOnly(rootfs)
	}
	return rootfs, err
}

// mountIn binds a source in a root, which links in that don't lead out of.
func mountIn(rootfs string, m kernel.Mount) error {
	at, err := openIn(rootfs, m.Target, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := unix.Mount(m.Source, threadFile(at), "", unix.MS_BIND|unix.MS_REC, ""); err != nil || !m.ReadOnly {
		return err
	}
	mounted, err := openIn(rootfs, m.Target, 0)
	if err != nil {
		return err
	}
	defer mounted.Close()
	return readOnly(threadFile(mounted))
}

// borrow asks the supervisor for the files of a container that has ended.
func borrow(ctx context.Context, l layout, node string) (*NodeFiles, error) {
	conn, err := dial(ctx, l)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	root, err := receive(conn.(*net.UnixConn), request{Op: opLend, Node: node})
	if err == nil {
		var first uint32
		if first, err = l.claimedIDs(node); err == nil {
			return &NodeFiles{IDs: idsFrom(first), root: root, held: conn}, nil
		}
		err = errors.Join(err, root.Close())
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return nil, errors.Join(err, conn.Close())
}

// receive sends a request whose answer has a file with it.
func receive(conn *net.UnixConn, r request) (*os.File, error) {
	// A socket gives what one message had, with the file of that.
	data, rights := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	n, nr := 0, 0
	err := json.NewEncoder(conn).Encode(r)
	if err == nil {
		n, nr, _, _, err = conn.ReadMsgUnix(data, rights)
	}
	switch {
	case hungUp(err), err == nil && n == 0:
		return nil, errNoSupervisor
	case err != nil:
		return nil, fmt.Errorf("asking the supervisor: %w", err)
	}
	var answer response
	if err := json.Unmarshal(data[:n], &answer); err != nil {
		return nil, fmt.Errorf("asking the supervisor: %w", err)
	}
	if err := answer.err(); err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:nr])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("the supervisor sent no file"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "root"), nil
}

// idsFrom are those of a user namespace whose ids begin with one of the host's; 0: of none.
func idsFrom(first uint32) user.IdentityMapping {
	if first == 0 {
		return user.IdentityMapping{}
	}
	ids := []user.IDMap{{ParentID: int64(first), Count: idCount}}
	return user.IdentityMapping{UIDMaps: ids, GIDMaps: ids}
}
