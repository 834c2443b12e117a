package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// loIndex is the index of lo in every namespace (LOOPBACK_IFINDEX in include/net/flow.h).
const loIndex = 1

// netnsAdd makes a namespace on a thread of its own. The name comes last: what can be seen
// in /run/netns is marked.
func (h *Host) netnsAdd(o kernel.NetnsAdd) error {
	if err := h.netnsDir(); err != nil {
		return err
	}
	path := filepath.Join(netnsDir, o.Name)
	if err := reserve(path); err != nil {
		return err
	}
	h.traced("", "unshare and mount "+path)
	var c *conn
	err := h.borrowThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return lacking(fmt.Errorf("making a network namespace: %w", err), "network namespaces", "CONFIG_NET_NS")
		}
		if c, err = dial(o.Name, &h.trace); err != nil {
			return err
		}
		if err := markLo(c, o); err != nil {
			return fmt.Errorf("marking lo: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting the namespace on %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		if c != nil {
			c.close()
		}
		return errors.Join(err, removeUnmounted(path))
	}
	id, err := identify(o.Name)
	if err != nil {
		c.close()
		return err
	}
	h.spaces.release(h.spaces.keep(o.Name, id, c))
	return nil
}

// markLo gives lo alias and group and sets it up, in one message.
func markLo(c *conn, o kernel.NetnsAdd) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = loIndex
	header.Flags, header.Change = unix.IFF_UP, unix.IFF_UP
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
	req.AddData(header)
	req.AddData(numberAttr(unix.IFLA_GROUP, o.Group))
	req.AddData(alias(o.Alias))
	return c.change(req, "RTM_SETLINK lo")
}

// reserve makes the empty file that a namespace is mounted on. One that is there without a
// namespace is what a crash left, and is used.
func reserve(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, fs.ErrExist) && unfinished(path) {
		return nil
	}
	return err
}

// unfinished says whether an empty ordinary file stands where a namespace would.
func unfinished(path string) bool {
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Lstat(path, &st) != nil || unix.Statfs(path, &fs) != nil {
		return false
	}
	return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 && fs.Type != unix.NSFS_MAGIC
}

func removeUnmounted(path string) error {
	if !unfinished(path) {
		return nil
	}
	return os.Remove(path)
}

// netnsDelete removes the name. Our own socket is closed first: it would keep the namespace alive.
func (h *Host) netnsDelete(o kernel.NetnsDelete) error {
	path := filepath.Join(netnsDir, o.Name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := h.dying.add(h, o.Name); err != nil {
		return err
	}
	h.spaces.forget(o.Name)
	h.traced("", "unmount "+path)
	// Mounts can be stacked; the last answer is EINVAL: not a mount.
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if err == unix.EINVAL || err == unix.ENOENT {
			break
		}
		if err != nil {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// prepareNetnsDir makes /run/netns a shared mount, as "ip netns add" does: what is mounted in it is then
// seen from other mount namespaces, and what they unmount is gone here. The lock is that of ip(8), too
// (iproute2 since 5.1): two at once would mount it twice.
func prepareNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", netnsDir, err)
	}
	err = unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if err == unix.EINVAL { // not a mount yet
		if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s on itself: %w", netnsDir, err)
		}
		err = unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("making %s a shared mount: %w", netnsDir, err)
	}
	return nil
}

// deletions are the namespaces that this Host deleted, by the numbers that the host's namespace
// has for them (RTM_GETNSID): so links into one are known until the kernel has taken it down.
type deletions struct {
	mu  sync.Mutex
	ids map[int]bool
}

// add notes a namespace that is about to be deleted. One that can't be opened (an unfinished one) has no
// link into it. The kernel gives out a number when a link is first looked at; without one the
// link could not be told from others afterwards, so the number is asked for.
func (d *deletions) add(h *Host, name string) error {
	fd, done, err := h.descriptor(name)
	if err != nil {
		return gone(err)
	}
	err = numberNamespace(h.conn, fd)
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	id := unassigned
	if err == nil {
		id, err = nsid(h.conn, fd)
	}
	if err = errors.Join(err, done()); err != nil {
		return fmt.Errorf("looking for links into namespace %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil {
		d.ids = map[int]bool{}
	}
	d.ids[id] = true
	return nil
}

// numberNamespace makes the socket's namespace have a number for another one; EEXIST when it has.
func numberNamespace(c *conn, namespace int) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWNSID, unix.NLM_F_ACK)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(numberAttr(unix.NETNSA_FD, uint32(namespace)))
	req.AddData(numberAttr(unix.NETNSA_NSID, math.MaxUint32)) // -1: any
	return c.exchange(req, func(uint16, []byte) error { return nil })
}

func (d *deletions) has(id int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ids[id]
}

// clear forgets all: the numbers will be given out again.
func (d *deletions) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids = nil
}

// nsid is the number that the namespace of the socket has for another one, unassigned when no link between the
// two was ever looked at.
func nsid(c *conn, namespace int) (int, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNSID, 0)
	req.AddData(nl.NewRtGenMsg())
	req.AddData(numberAttr(unix.NETNSA_FD, uint32(namespace)))
	id := unassigned
	err := c.ask(req, func(body []byte) error {
		for kind, value := range attributes(after(body, align(unix.SizeofRtGenmsg))) {
			if kind == unix.NETNSA_NSID {
				id = signed(value)
			}
		}
		return nil
	})
	return id, err
}
