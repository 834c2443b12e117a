// Floor makes, reads and removes a star of network namespaces with the fewest netlink messages that
// do it. It is what topo is measured against: it knows nothing, compares nothing, and breaks off at
// the first error.
//
//	floor up N     one bridge, N namespaces on it: names, marks, addresses, routes, hosts files
//	floor read N   links, addresses and routes of all of them
//	floor down N   remove it, and wait until nothing is left
package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	netnsDir = "/run/netns" // as of ip-netns(8)
	etcDir   = "/etc/netns"
	group    = 0x74f100 // of all links of the star
	bridge   = "star-net"
	mtu      = 1500
	// workers is how many threads make namespaces: of three to eight none is faster, the kernel
	// holds one lock (RTNL) while it makes a link.
	workers = 2
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: floor up|read|down N")
		os.Exit(1)
	}
	verbs := map[string]func(int) error{"up": up, "read": read, "down": down}
	n, err := strconv.Atoi(os.Args[2])
	if verb := verbs[os.Args[1]]; verb == nil {
		err = fmt.Errorf("unknown verb %q", os.Args[1])
	} else if err == nil {
		err = verb(n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func nodeName(i int) string { return "star-n" + strconv.Itoa(i) }

// nodeAddr is the i-th address of 10.80.0.0/16 after the gateway's, 10.80.0.1.
func nodeAddr(i int) netip.Addr {
	i += 2
	return netip.AddrFrom4([4]byte{10, 80, byte(i >> 8), byte(i)})
}

// on runs f(0) … f(n-1) on threads that die afterwards, as each leaves its network namespace.
func on(n int, f func(i int, host *socket) error) error {
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			runtime.LockOSThread()
			host, err := dial()
			if err != nil {
				errs[w] = err
				return
			}
			defer host.close()
			for i := w; i < n && errs[w] == nil; i += workers {
				if err := f(i, host); err != nil {
					errs[w] = fmt.Errorf("node %d: %w", i, err)
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func up(n int) error {
	if err := shareNetnsDir(); err != nil {
		return err
	}
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	var m batch
	addBridge(&m)
	if err := host.send(&m); err != nil {
		return fmt.Errorf("adding the bridge: %w", err)
	}
	index, err := bridgeIndex()
	if err != nil {
		return err
	}
	hosts := []byte("# topo:star:hosts\n127.0.0.1 localhost\n")
	for i := range n {
		hosts = fmt.Appendf(hosts, "%s n%d\n", nodeAddr(i), i)
	}
	if err := on(n, func(i int, host *socket) error { return addNode(i, index, hosts, host) }); err != nil {
		return err
	}
	if err := filterAndForward(index); err != nil {
		return err
	}
	// Up last: a bridge that is up floods what every new port says to all others.
	bridgeUp(&m, index)
	return host.send(&m)
}

func shareNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
}

func bridgeIndex() (int32, error) {
	b, err := os.ReadFile("/sys/class/net/" + bridge + "/ifindex")
	if err != nil {
		return 0, err
	}
	index, err := strconv.Atoi(string(b[:len(b)-1]))
	return int32(index), err
}

// addNode makes node i, mounted last, as nothing unmarked may be seen. Two messages go to the
// host's socket, four to the node's own.
func addNode(i int, bridge int32, hosts []byte, host *socket) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unsharing: %w", err)
	}
	own := "/proc/thread-self/ns/net"
	fd, err := unix.Open(own, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	inside, err := dial()
	if err != nil {
		return err
	}
	defer inside.close()

	var m batch
	addVeth(&m, i, bridge, fd)
	if err := host.send(&m); err != nil {
		return fmt.Errorf("adding the veth: %w", err)
	}
	setUpInside(&m, i)
	if err := inside.send(&m); err != nil {
		return fmt.Errorf("setting up: %w", err)
	}

	target := filepath.Join(netnsDir, nodeName(i))
	file, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	if err := unix.Mount(own, target, "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	dir := filepath.Join(etcDir, nodeName(i))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hosts"), hosts, 0o644)
}

func read(n int) error {
	all := func(s *socket) error {
		for _, d := range []struct {
			kind uint16
			body int
		}{
			{unix.RTM_GETLINK, unix.SizeofIfInfomsg},
			{unix.RTM_GETADDR, unix.SizeofIfAddrmsg},
			{unix.RTM_GETROUTE, unix.SizeofRtMsg},
		} {
			if _, err := s.dump(d.kind, d.body); err != nil {
				return err
			}
		}
		return nil
	}
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	if err := all(host); err != nil {
		return err
	}
	return on(n, func(i int, _ *socket) error {
		fd, err := unix.Open(filepath.Join(netnsDir, nodeName(i)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			return err
		}
		inside, err := dial()
		if err != nil {
			return err
		}
		defer inside.close()
		return all(inside)
	})
}
