package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// place is where a program of a `namespaces:` node runs: in the node's network namespace, with a
// mount and a UTS namespace of its own.
type place struct {
	netns    string // in /run/netns; "" = the host's own
	hostname string
	hosts    string // bound over /etc/hosts, "" = the host's
	resolv   string // bound over /etc/resolv.conf, "" = the host's
}

func placeOf(p kernel.Process) place {
	return place{netns: p.Netns, hostname: p.Hostname, hosts: p.Hosts, resolv: p.Resolv}
}

// enter makes the place anew around the calling thread, see onThread.
func (pl place) enter(base *mountBase) error {
	var netns *os.File
	if pl.netns != "" {
		// Opened first: the mount namespace that comes next has no /run/netns.
		var err error
		if netns, err = os.Open(netnsDir + "/" + pl.netns); err != nil {
			return fmt.Errorf("opening network namespace %s: %w", pl.netns, err)
		}
		defer netns.Close()
	}
	if err := base.enter(); err != nil {
		return err
	}
	if netns != nil {
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering network namespace %s: %w", pl.netns, err)
		}
		if err := mountSys(); err != nil {
			return err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("making a UTS namespace: %w", err)
	}
	if pl.hostname != "" {
		if err := unix.Sethostname([]byte(pl.hostname)); err != nil {
			return fmt.Errorf("setting host name %s: %w", pl.hostname, err)
		}
	}
	if err := bindFile(pl.hosts, "/etc/hosts"); err != nil {
		return err
	}
	return bindFile(pl.resolv, "/etc/resolv.conf")
}

// bindFile shows source at target, as `ip netns exec` does with the files of /etc/netns. A host
// without the target has no use for it, and gets none.
func bindFile(source, target string) error {
	if source == "" {
		return nil
	}
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding %s on %s: %w", source, target, err)
	}
	return nil
}

// joinPlace takes the calling thread into the namespaces of a process that runs in its place.
func joinPlace(id identity) error {
	fd, err := id.open()
	if err != nil {
		return fmt.Errorf("opening process %d: %w", id.PID, err)
	}
	defer fd.close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unsharing the working directory: %w", err)
	}
	var serr error
	// Since Linux 5.8 a pidfd stands for all namespaces of its process, setns(2).
	err = fd.control(func(n int) { serr = unix.Setns(n, unix.CLONE_NEWNET|unix.CLONE_NEWUTS|unix.CLONE_NEWNS) })
	if err := errors.Join(err, serr); err != nil {
		return fmt.Errorf("entering the namespaces of process %d: %w", id.PID, err)
	}
	return nil
}
