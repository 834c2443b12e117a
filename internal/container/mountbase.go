package container

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// netnsDir is where network namespaces have names, ip-netns(8).
const netnsDir = "/run/netns"

// mountBase is a mount namespace like the host's, without the mounts in /run/netns. Nodes' mount
// namespaces are copies of it, for two reasons: a copy with 200 of those mounts takes longer (200
// containers 1.57–1.71 s instead of 1.40–1.54), and each of them would keep a network namespace
// alive in every node, after its name was removed on a host whose mounts are private.
//
// Its mounts are slaves of the host's: what is mounted or unmounted there later is so here, too.
// Where the host's mounts don't propagate, it is made again when the host's mounts have changed.
type mountBase struct {
	mu   sync.Mutex
	ns   *os.File
	seen string // the host's mounts when it was made
}

// enter takes the calling thread (see onThread) into a new mount namespace, a copy of the base.
func (b *mountBase) enter() error {
	ns, err := b.current()
	if err != nil {
		return err
	}
	// A thread that shares its root and working directory with others can't change namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unsharing the working directory: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("entering the mount namespace of the supervisor: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	return nil
}

func (b *mountBase) current() (*os.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	seen := withoutNetns(string(data))
	if b.ns != nil && seen == b.seen {
		return b.ns, nil
	}
	var ns *os.File
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("making a mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return fmt.Errorf("making mounts slaves: %w", err)
		}
		if err := dropNetns(); err != nil {
			return err
		}
		ns, err = os.Open("/proc/thread-self/ns/mnt")
		return err
	})
	if err != nil {
		return nil, err
	}
	// An old one is left to the garbage collector: a thread may be about to enter it.
	b.ns, b.seen = ns, seen
	return ns, nil
}

// withoutNetns drops the lines of the mounts in /run/netns: these come and go all the time.
func withoutNetns(mountinfo string) string {
	var b strings.Builder
	for line := range strings.Lines(mountinfo) {
		if !strings.Contains(line, " "+netnsDir+"/") && !strings.Contains(line, " "+netnsDir+" ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// dropNetns unmounts what is in /run/netns, and what that is itself mounted on, so that nothing that
// is mounted there later arrives here.
func dropNetns() error {
	mounts, err := readMounts("thread-self")
	if err != nil {
		return err
	}
	if on := mountOf(mounts, netnsDir); on.path != "" && on.path != netnsDir {
		if err := unix.Mount("", on.path, "", unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("making %s private: %w", on.path, err)
		}
	}
	for {
		before := len(mounts)
		// The last line is the topmost mount.
		for i := len(mounts) - 1; i >= 0; i-- {
			if !within(mounts[i].path, netnsDir) {
				continue
			}
			// What is hidden below a mount that came later has no path, and whatever has that path now is none.
			err := unix.Unmount(mounts[i].path, unix.MNT_DETACH)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmounting %s: %w", mounts[i].path, err)
			}
		}
		if mounts, err = readMounts("thread-self"); err != nil {
			return err
		}
		// Where /run is shared, as systemd has it, each of them is there twice: also below the mount of /run/netns on itself.
		// That one can be reached once the other has gone.
		left := slices.ContainsFunc(mounts, func(m mountPoint) bool { return within(m.path, netnsDir) })
		if !left || len(mounts) >= before {
			return nil
		}
	}
}
