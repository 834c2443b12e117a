package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"topo/bench/shape"
)

// costs makes a star on a host without links, and removes it, as up and down do, but one call after the other by one thread. It prints
// what each kind of calls takes: the median of the first tenth of the nodes, and of the last.
func costs(size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	s, err := shape.Make("star", n)
	if err != nil {
		return err
	}
	if err := shareNetnsDir(); err != nil {
		return err
	}
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	var b bill
	bridge := s.Bridges[0]
	b.message("bridge", host, func(m *batch) { addBridge(m, 0, bridge) })
	index, err := indexOf(bridge)
	if err = errors.Join(b.err, err); err != nil {
		return err
	}
	done := make(chan struct{})
	spaces := plan(s)
	hosts := hostsFiles(s)
	go func() {
		defer close(done)
		runtime.LockOSThread() // which ends with the goroutine: it is in the last namespace
		for i := range spaces {
			b.node(s, i, &spaces[i], hosts(i), index, host)
		}
	}()
	<-done
	b.call("the host's rules, address, forwarding", func() error { return filterAndForward(s, []int32{index}, host) })
	b.message("bridge: up", host, func(m *batch) { bridgeUp(m, index, bridge) })
	b.call("the host's rules, removed", func() error { return restore(noRules(), noTable("filter", "FORWARD")) })
	b.message("all links, by their group, and waiting for RCU", host, deleteGroup)
	for _, n := range s.Nodes {
		b.call("umount(2), unlink(2) of /run/netns/NAME", func() error {
			path := filepath.Join(netnsDir, project+"-"+n.Name)
			return errors.Join(unix.Unmount(path, unix.MNT_DETACH), os.Remove(path))
		})
		b.call("removal of the hosts file", func() error { return os.RemoveAll(filepath.Join(etcDir, project+"-"+n.Name)) })
	}
	b.call("the kernel, until all namespaces are down", func() error {
		return errors.Join(unix.Unmount(netnsDir, unix.MNT_DETACH), waitForNoLinks(host))
	})
	if b.err == nil {
		b.print(os.Stdout, n)
	}
	return b.err
}

// bill is what kinds of calls took, in the order in which they were first made.
type bill struct {
	kinds []string
	took  map[string][]time.Duration
	err   error
}

// call does nothing after an error.
func (b *bill) call(kind string, f func() error) {
	if b.err != nil {
		return
	}
	began := time.Now()
	err := f()
	took := time.Since(began)
	if err != nil {
		b.err = fmt.Errorf("%s: %w", kind, err)
	}
	if b.took == nil {
		b.took = map[string][]time.Duration{}
	}
	if b.took[kind] == nil {
		b.kinds = append(b.kinds, kind)
	}
	b.took[kind] = append(b.took[kind], took)
}

func (b *bill) message(kind string, to *socket, add func(*batch)) {
	var m batch
	add(&m)
	b.call(kind, func() error { return to.send(&m) })
}

func (b *bill) node(s shape.Shape, i int, n *space, hosts []byte, bridge int32, host *socket) {
	b.call("unshare(CLONE_NEWNET)", func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	b.call("net.ipv6.conf.default.accept_ra", deafen)
	b.call("open(2) of the namespace, socket(2)", n.open)
	b.call("mount(2) on /run/netns/NAME", n.mount)
	b.call("hosts file", func() error { return n.write(hosts) })
	if b.err != nil {
		return
	}
	gateway := s.Bridges[0].Gateway
	b.message("veth: both ends, group, port of the bridge, up", host, func(m *batch) { addPort(m, i, n, bridge) })
	b.message("alias of the port", host, func(m *batch) { markPort(m, i, n) })
	b.message("lo: alias, group, up", n.in, func(m *batch) { m.mark(1, "netns/"+n.node.Name) })
	b.message("eth0: alias, up", n.in, func(m *batch) { m.mark(firstIndex, "link/"+n.node.Name+":eth0") })
	b.message("address", n.in, func(m *batch) { m.address(firstIndex, netip.PrefixFrom(n.node.Addr, gateway.Bits())) })
	b.message("default route", n.in, func(m *batch) { m.route(netip.PrefixFrom(netip.IPv4Unspecified(), 0), gateway.Addr(), firstIndex) })
	n.in.close()
	unix.Close(n.fd)
}

func (b *bill) print(out io.Writer, nodes int) {
	us := func(of []time.Duration) float64 {
		of = slices.Sorted(slices.Values(of))
		return float64(of[len(of)/2].Nanoseconds()) / 1000
	}
	fmt.Fprintf(out, "| call | each, of the first %d nodes | each, of the last %d |\n|---|--:|--:|\n", nodes/10, nodes/10)
	for _, kind := range b.kinds {
		took := b.took[kind]
		if len(took) == 1 {
			fmt.Fprintf(out, "| %s | %.0f µs, once | |\n", kind, us(took))
			continue
		}
		fmt.Fprintf(out, "| %s | %.0f µs | %.0f µs |\n", kind, us(took[:len(took)/10]), us(took[len(took)-len(took)/10:]))
	}
}
