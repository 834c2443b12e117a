package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	h.memory.change(o.Name)
	var c *conn
	err := h.borrowThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return lacking(fmt.Errorf("making a network namespace: %w", err), "network namespaces", "CONFIG_NET_NS")
		}
		if c, err = h.dial(o.Name); err != nil {
			return err
		}
		if err := h.deafen("default"); err != nil {
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
	err := writePlain(path, unix.O_CREAT|unix.O_EXCL, nil, 0)
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
	h.memory.change(o.Name)
	// Mounts can be stacked; the last answer is EINVAL: not a mount.
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
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
	if errors.Is(err, unix.EINVAL) { // not a mount yet
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
