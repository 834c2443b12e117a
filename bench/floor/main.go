// Floor makes, reads and removes a topology of network namespaces with the fewest netlink messages that
// do it. It is what topo is measured against: it knows nothing, compares nothing, and breaks off at
// the first error.
//
//	floor up SHAPE N     names, marks, bridges, links, addresses, routes, hosts files
//	floor read SHAPE N   links, addresses and routes of all of them
//	floor down SHAPE N   remove it, and wait until the host has no link any more
//	floor containers …   containers in namespaces that are there, by crun alone
//	floor costs N        make and remove a star, one call after the other, and print what each kind of them takes
//
// The shapes are those of bench/shape.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"topo/bench/shape"
)

const (
	netnsDir = "/run/netns" // as of ip-netns(8)
	etcDir   = "/etc/netns"
	project  = "floor"
	group    = 0x74f100 // of all links
	mtu      = 1500
	// workers is how many threads make namespaces: of three to eight none is faster, the kernel
	// holds one lock (RTNL) while it makes a link.
	workers = 2
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == "containers" {
		return containers(args[1:])
	}
	if len(args) == 2 && args[0] == "costs" {
		return costs(args[1])
	}
	if len(args) != 3 {
		return errors.New("usage: floor up|read|down SHAPE N, floor containers …, floor costs N")
	}
	verb := map[string]func(shape.Shape) error{"up": up, "read": read, "down": down}[args[0]]
	if verb == nil {
		return fmt.Errorf("unknown verb %q", args[0])
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	s, err := shape.Make(args[1], size)
	if err != nil {
		return err
	}
	return verb(s)
}

// on runs f(0) … f(n-1) on threads that die afterwards, as each may leave its network namespace.
func on(n int, f func(i int) error) error {
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			runtime.LockOSThread()
			for i := w; i < n && errs[w] == nil; i += workers {
				if err := f(i); err != nil {
					errs[w] = fmt.Errorf("node %d: %w", i, err)
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// space is a node that is being made: its namespace, and a socket in it.
type space struct {
	node  shape.Node
	name  string
	fd    int
	in    *socket
	links []wire
}

// wire is an end of a link in a node.
type wire struct {
	shape.End
	index int32
	peer  *wire // of the end that is made with this one; nil: it is made with the other
}

func up(s shape.Shape) error {
	if err := shareNetnsDir(); err != nil {
		return err
	}
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	var m batch
	for i, b := range s.Bridges {
		addBridge(&m, i, b)
	}
	if err := host.send(&m); err != nil {
		return fmt.Errorf("adding the bridges: %w", err)
	}
	bridges := make([]int32, len(s.Bridges))
	for i, b := range s.Bridges {
		if bridges[i], err = indexOf(b); err != nil {
			return err
		}
	}
	spaces := plan(s)
	hosts := hostsFiles(s)
	ports, err := dials(workers) // one for each thread that makes namespaces
	if err != nil {
		return err
	}
	err = on(len(spaces), func(i int) error {
		n := &spaces[i]
		if err := n.make(hosts(i)); err != nil {
			return err
		}
		if n.node.Bridge >= 0 {
			if err := n.attach(i, bridges[n.node.Bridge], ports[i%workers]); err != nil {
				return fmt.Errorf("adding the veth: %w", err)
			}
		}
		if len(s.Links) > 0 {
			return nil
		}
		return n.configure(s)
	})
	if err != nil {
		return err
	}
	if len(s.Links) > 0 {
		err := on(len(spaces), func(i int) error { return spaces[i].wire(spaces) })
		if err == nil {
			err = on(len(spaces), func(i int) error { return spaces[i].configure(s) })
		}
		if err != nil {
			return err
		}
	}
	if len(s.Bridges) == 0 {
		return nil
	}
	if err := filterAndForward(s, bridges, host); err != nil {
		return err
	}
	// Up last: a bridge that is up floods what every new port says to all others.
	for i, b := range s.Bridges {
		bridgeUp(&m, bridges[i], b)
	}
	return host.send(&m)
}

// plan gives each interface its index: lo has 1, so nothing has to be looked up before the addresses and the routes.
func plan(s shape.Shape) []space {
	spaces := make([]space, len(s.Nodes))
	for i, n := range s.Nodes {
		spaces[i] = space{node: n, name: project + "-" + n.Name}
	}
	next := func(e shape.End) wire {
		n := &spaces[e.Node]
		index := firstIndex + int32(len(n.links))
		if n.node.Bridge >= 0 {
			index++
		}
		return wire{End: e, index: index}
	}
	for _, l := range s.Links {
		a, b := next(l[0]), next(l[1])
		a.peer = &b
		spaces[a.Node].links = append(spaces[a.Node].links, a)
		spaces[b.Node].links = append(spaces[b.Node].links, b)
	}
	return spaces
}

// hostsFiles gives each node's: its own addresses, and all names of its bridge, of which they are all the same.
func hostsFiles(s shape.Shape) func(i int) []byte {
	const local = "# topo:floor:hosts\n127.0.0.1 localhost\n"
	of := make([][]byte, len(s.Bridges))
	for b := range of {
		of[b] = []byte(local)
	}
	for _, n := range s.Nodes {
		if n.Bridge >= 0 {
			of[n.Bridge] = fmt.Appendf(of[n.Bridge], "%s %s\n", n.Addr, n.Name)
		}
	}
	own := make([][]byte, len(s.Nodes))
	for _, l := range s.Links {
		for _, e := range l {
			own[e.Node] = fmt.Appendf(own[e.Node], "%s %s\n", e.Addr.Addr(), s.Nodes[e.Node].Name)
		}
	}
	return func(i int) []byte {
		if b := s.Nodes[i].Bridge; b >= 0 {
			return of[b]
		}
		return append([]byte(local), own[i]...)
	}
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

func indexOf(b shape.Bridge) (int32, error) {
	text, err := os.ReadFile("/sys/class/net/" + bridgeName(b) + "/ifindex")
	if err != nil {
		return 0, err
	}
	index, err := strconv.Atoi(string(text[:len(text)-1]))
	return int32(index), err
}

// make makes a namespace, with what is to be known of it.
func (n *space) make(hosts []byte) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unsharing: %w", err)
	}
	if err := deafen(); err != nil {
		return err
	}
	if err := n.open(); err != nil {
		return err
	}
	if n.node.Forward {
		for _, parameter := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
			if err := os.WriteFile("/proc/sys/net/"+parameter, []byte("1\n"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	if err := n.mount(); err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	return n.write(hosts)
}

// deafen has a node hear no router advertisements. A kernel without IPv6 has no such parameter.
func deafen() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_ra", []byte("0"), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

const ownNetns = "/proc/thread-self/ns/net"

// open keeps the thread's namespace, and a socket in it.
func (n *space) open() (err error) {
	if n.fd, err = unix.Open(ownNetns, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	n.in, err = dial()
	return err
}

// mount gives the thread's namespace its name.
func (n *space) mount() error {
	target := filepath.Join(netnsDir, n.name)
	file, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	return unix.Mount(ownNetns, target, "none", unix.MS_BIND, "")
}

// write writes the hosts file.
func (n *space) write(hosts []byte) error {
	dir := filepath.Join(etcDir, n.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hosts"), hosts, 0o644)
}

// attach makes a port of the bridge and the node's eth0, by the host's socket.
func (n *space) attach(i int, bridge int32, host *socket) error {
	var m batch
	addPort(&m, i, n, bridge)
	markPort(&m, i, n)
	return host.send(&m)
}

// wire makes the links of which this node has the first end.
func (n *space) wire(spaces []space) error {
	var m batch
	for _, w := range n.links {
		if w.peer != nil {
			addLink(&m, w, spaces[w.peer.Node].fd)
		}
	}
	return n.in.send(&m)
}

// configure sets up what is in a node, in one send, and is done with it.
func (n *space) configure(s shape.Shape) error {
	var m batch
	setUp(&m, n, s)
	err := n.in.send(&m)
	n.in.close()
	return errors.Join(err, unix.Close(n.fd))
}

func read(s shape.Shape) error {
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
	return on(len(s.Nodes), func(i int) error {
		fd, err := unix.Open(filepath.Join(netnsDir, project+"-"+s.Nodes[i].Name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
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
