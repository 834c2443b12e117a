package linux

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// lasting reads, and leaves out what the kernel makes of itself in its own time.
func lasting(t *testing.T, h *Host, q kernel.Query) kernel.Snapshot {
	t.Helper()
	s, err := h.Snapshot(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	s.Netns = slices.Clone(s.Netns)
	strip := func(n *kernel.Netns) {
		n.Addrs = slices.DeleteFunc(slices.Clone(n.Addrs), func(a kernel.Addr) bool { return a.Kernel })
		for i := range n.Links {
			n.Links[i].Oper = "" // shown late
		}
		n.Routes = slices.DeleteFunc(slices.Clone(n.Routes), func(r kernel.Route) bool { return r.Protocol != kernel.Protocol })
	}
	strip(&s.Host)
	for i := range s.Netns {
		strip(&s.Netns[i])
	}
	return s
}

// A reading that leaves out what the Host did not change is no other than a new one, whatever that did: also where a change is felt in
// another namespace, and from there in a third.
func TestReadingAgainIsReadingAnew(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		do(t, h, node(name, "br0", "10.0.0."+itoa(i+2)+"/24", "10.0.0.1")...)
	}
	end := func(netns, name string) kernel.VethEnd {
		return kernel.VethEnd{Netns: netns, Name: name, MTU: 1500, Group: group, Up: true, Alias: mark("link/" + netns + ":" + name)}
	}
	do(t, h,
		kernel.LinkSet{Name: "br0", Up: ptr(true)},
		kernel.VethAdd{A: end("c", "d0"), B: end("d", "c0")},
		kernel.LinkAdd{Netns: "e", Name: "m0", Kind: "macvlan", Parent: kernel.End{Netns: "d", Name: "c0"}, Group: group, Up: true},
	)
	q := kernel.Query{Project: project}
	again := q
	again.Again = true
	same := cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	settle(t, h)
	anew := func() kernel.Snapshot {
		other, err := Open()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close() // its sockets would keep namespaces alive
		return lasting(t, other, q)
	}
	lasting(t, h, q)
	for _, ops := range [][]kernel.Op{
		{},
		{kernel.LinkSet{Netns: "a", Name: "eth0", Up: ptr(false)}},
		{kernel.LinkSet{Name: "vb", Up: ptr(false)}},
		{kernel.LinkSet{Netns: "c", Name: "d0", Up: ptr(false)}},
		{kernel.LinkSet{Netns: "d", Name: "c0", MTU: ptr(1400)}},
		{kernel.AddrAdd{Netns: "b", Link: "eth0", Prefix: prefix("10.0.0.99/24")}},
		{kernel.LinkDelete{Name: "va"}},
		node("f", "br0", "10.0.0.9/24", "10.0.0.1"),
		{kernel.VethAdd{A: end("f", "a0"), B: end("a", "f0")}},
		{kernel.NetnsDelete{Name: "c"}},
		node("c", "br0", "10.0.0.10/24", "10.0.0.1"),
		{kernel.FileWrite{Path: "/etc/netns/a/hosts", Content: kernel.Text{"# " + mark("hosts/a") + "\n127.0.0.1 a\n"}}},
		{kernel.FileWrite{Path: "/etc/netns/a/hosts", Content: kernel.Text{"# " + mark("hosts/a") + "\n127.0.0.1 b\n"}}},
		{kernel.FileDelete{Path: "/etc/netns/a/hosts"}},
	} {
		do(t, h, ops...)
		settle(t, h)
		if d := cmp.Diff(anew(), lasting(t, h, again), same); d != "" {
			t.Errorf("after %v: %s", ops, d)
		}
	}
	// What somebody else does where this Host did nothing is what a new reading is for.
	before := lasting(t, h, again)
	do(t, open(t), kernel.AddrAdd{Netns: "b", Link: "eth0", Prefix: prefix("10.0.0.98/24")})
	if d := cmp.Diff(before, lasting(t, h, again), same); d != "" {
		t.Errorf("all is read again: %s", d)
	}
	if cmp.Equal(before, lasting(t, h, q), same) {
		t.Error("a new reading doesn't find what somebody else did")
	}
}
