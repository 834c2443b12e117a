package fake

import (
	"syscall"
	"time"

	"topo/internal/kernel"
)

func contractNetns(h *host) {
	h.addNetns("a")
	n := h.netns("a")
	equal(h, "mark", n.Mark, kernel.Mark{Project: contractProject, ID: "netns/a"})
	equal(h, "group", n.Group, contractGroupNumber)
	equal(h, "unfinished", n.Unfinished, false)
	lo := h.link("a", "lo")
	equal(h, "lo up", lo.Up, true)
	equal(h, "kind of lo", lo.Kind, "loopback")
	equal(h, "addresses of lo that are not the kernel's", h.addrs("a", "lo"), nil)
	h.refuse(syscall.EEXIST, kernel.NetnsAdd{Name: "a", Alias: contractMark("netns/a")})
	equal(h, "the cookie at the next reading", h.netns("a").Cookie, n.Cookie)
	h.do(kernel.NetnsDelete{Name: "a"})
	equal(h, "a is there after its removal", h.hasNetns("a"), false)
	h.addNetns("a")
	equal(h, "the same as the one before", h.netns("a").Cookie == n.Cookie, false)
}

func contractForeignNetns(h *host) {
	h.do(kernel.NetnsAdd{Name: "theirs", Alias: kernel.Mark{Project: "other", ID: "netns/theirs"}.String(), Group: 7})
	n := h.netns("theirs")
	equal(h, "mark", n.Mark.Project, "other")
	equal(h, "links that were read", len(n.Links), 0)
	h.do(kernel.NetnsAdd{Name: "nobodys"})
	n = h.netns("nobodys")
	equal(h, "mark", n.Mark, kernel.Mark{})
	equal(h, "links that were read", len(n.Links), 0)
}

func contractNetnsCascade(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "near", Up: true}})
	h.do(kernel.NetnsDelete{Name: "a"})
	h.settle()
	equal(h, "a is there", h.hasNetns("a"), false)
	h.do(kernel.LinkDelete{Name: "near"}) // where Settle need not wait for links without the project's group
	h.addNetns("a")
	h.noLink("a", "eth0")
	h.do(kernel.VethAdd{
		A: kernel.VethEnd{Netns: "a", Name: "eth0", Group: contractGroupNumber, Alias: contractMark("link/a:eth0")},
		B: kernel.VethEnd{Name: "near", Group: contractGroupNumber, Alias: contractMark("port/a:eth0")},
	})
	h.do(kernel.NetnsDelete{Name: "a"})
	h.settle()
	h.noLink("", "near")
}

func contractVeth(h *host) {
	h.addNetns("a")
	h.do(kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500, Group: contractGroupNumber})
	h.do(kernel.VethAdd{
		A: kernel.VethEnd{Netns: "a", Name: "eth0", MAC: "02:00:00:00:00:0a", MTU: 1400, Group: contractGroupNumber, Up: true, Alias: contractMark("link/a:eth0")},
		B: kernel.VethEnd{Name: "near", MTU: 1400, Group: contractGroupNumber, Up: true, Master: "br0", Alias: contractMark("port/a:eth0")},
	})
	far, near := h.link("a", "eth0"), h.link("", "near")
	equal(h, "kind", far.Kind, "veth")
	equal(h, "MTU", far.MTU, 1400)
	equal(h, "MAC", far.MAC, "02:00:00:00:00:0a")
	equal(h, "up", far.Up, true)
	h.oper("a", "eth0", "up")
	equal(h, "group", far.Group, contractGroupNumber)
	equal(h, "alias", far.Alias, contractMark("link/a:eth0"))
	equal(h, "peer", far.Peer, kernel.End{Name: "near"})
	equal(h, "master of the far end", far.Master, "")
	equal(h, "MTU", near.MTU, 1400)
	equal(h, "up", near.Up, true)
	equal(h, "group", near.Group, contractGroupNumber)
	equal(h, "alias", near.Alias, contractMark("port/a:eth0"))
	equal(h, "peer", near.Peer, kernel.End{Netns: "a", Name: "eth0"})
	equal(h, "master", near.Master, "br0")
	if near.Port == nil || near.Port.Isolated {
		h.Errorf("port: %+v", near.Port)
	}
	h.do(kernel.LinkDelete{Netns: "a", Name: "eth0"})
	h.noLink("a", "eth0")
	h.noLink("", "near")
	h.do(kernel.LinkDelete{Netns: "a", Name: "eth0"})
	h.do(kernel.LinkDelete{Netns: "gone", Name: "eth0"})

	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "x"}, B: kernel.VethEnd{Netns: "a", Name: "y"}})
	equal(h, "peer in the same namespace", h.link("a", "x").Peer, kernel.End{Netns: "a", Name: "y"})
	equal(h, "MTU when not stated", h.link("a", "x").MTU, 1500)
	equal(h, "up when not stated", h.link("a", "x").Up, false)
}

func contractVethRefused(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "taken"}, B: kernel.VethEnd{Name: "near"}})
	for _, c := range []struct {
		want syscall.Errno
		op   kernel.VethAdd
	}{
		{syscall.EEXIST, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "taken"}, B: kernel.VethEnd{Name: "new"}}},
		{syscall.EEXIST, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "new"}, B: kernel.VethEnd{Name: "near"}}},
		{syscall.ENOENT, kernel.VethAdd{A: kernel.VethEnd{Netns: "gone", Name: "new"}, B: kernel.VethEnd{Name: "new"}}},
		{syscall.ENODEV, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "new"}, B: kernel.VethEnd{Name: "new", Master: "gone"}}},
		{0, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "new"}, B: kernel.VethEnd{Name: "new", Master: "near"}}},
		{0, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "new", MTU: 60}, B: kernel.VethEnd{Name: "new"}}},
		{0, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "new", MAC: "01:00:00:00:00:01"}, B: kernel.VethEnd{Name: "new"}}},
		{0, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "new"}, B: kernel.VethEnd{Name: "longer-than-15-b"}}},
	} {
		h.refuse(c.want, c.op)
		h.noLink("a", "new")
		h.noLink("", "new")
	}
}

func contractLinkSet(h *host) {
	h.wire()
	h.do(kernel.LinkSet{
		Netns: "a", Name: "eth0", MTU: ref(1300), MAC: ref("02:00:00:00:00:aa"), Group: ref(uint32(9)), Alias: ref("something else"),
	})
	l := h.link("a", "eth0")
	equal(h, "MTU", l.MTU, 1300)
	equal(h, "MAC of an up link", l.MAC, "02:00:00:00:00:aa")
	equal(h, "group", l.Group, uint32(9))
	equal(h, "alias", l.Alias, "something else")
	equal(h, "up, which was not asked for", l.Up, true)
	equal(h, "MTU of the peer", h.link("b", "eth0").MTU, 1500)

	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(false), Alias: ref("")})
	l = h.link("a", "eth0")
	equal(h, "up", l.Up, false)
	equal(h, "alias", l.Alias, "")
	h.oper("a", "eth0", "down")
	h.oper("b", "eth0", "lowerlayerdown", "down") // down: where both ends have the same index

	h.refuse(syscall.ENODEV, kernel.LinkSet{Netns: "a", Name: "gone", Up: ref(true)})
	h.refuse(syscall.ENOENT, kernel.LinkSet{Netns: "gone", Name: "eth0", Up: ref(true)})
	h.refuse(syscall.EINVAL, kernel.LinkSet{Netns: "a", Name: "eth0", MTU: ref(60)})
	h.refuse(syscall.EINVAL, kernel.LinkSet{Netns: "a", Name: "eth0", MTU: ref(70000)})
	h.refuse(syscall.EADDRNOTAVAIL, kernel.LinkSet{Netns: "a", Name: "eth0", MAC: ref("01:00:00:00:00:01")})
}

func contractBridge(h *host) {
	h.do(kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500, Group: contractGroupNumber, STP: true, ForwardDelay: 4 * time.Second})
	l := h.link("", "br0")
	equal(h, "kind", l.Kind, "bridge")
	equal(h, "MAC", l.MAC, "02:00:00:00:00:01")
	equal(h, "MTU", l.MTU, 1500)
	equal(h, "group", l.Group, contractGroupNumber)
	equal(h, "up", l.Up, false)
	equal(h, "alias", l.Alias, "")
	equal(h, "parameters", *l.Bridge, bridgeAttrs(h, true, 4*time.Second))
	h.do(kernel.BridgeSet{Name: "br0", STP: ref(false)})
	equal(h, "parameters", *h.link("", "br0").Bridge, bridgeAttrs(h, false, 4*time.Second))
	h.do(kernel.BridgeSet{Name: "br0", ForwardDelay: ref(15 * time.Second)})
	equal(h, "parameters", *h.link("", "br0").Bridge, bridgeAttrs(h, false, 15*time.Second))
	h.do(kernel.LinkSet{Name: "br0", Up: ref(true), Alias: ref(contractMark("bridge/br0"))})
	l = h.link("", "br0")
	equal(h, "up", l.Up, true)
	equal(h, "alias", l.Alias, contractMark("bridge/br0"))
	h.do(kernel.BridgeAdd{Name: "br1"})
	equal(h, "parameters when not stated", *h.link("", "br1").Bridge, bridgeAttrs(h, false, 15*time.Second))
	equal(h, "MTU when not stated", h.link("", "br1").MTU, 1500)
	h.refuse(syscall.EEXIST, kernel.BridgeAdd{Name: "br0"})
	h.refuse(syscall.ENODEV, kernel.BridgeSet{Name: "gone", STP: ref(true)})
	h.refuse(0, kernel.LinkSet{Name: "br1", Master: ref("br0")})
	h.refuse(0, kernel.LinkSet{Name: "lo", Master: ref("br0")})
	h.refuse(0, kernel.LinkDelete{Name: "lo"})
	h.do(kernel.LinkDelete{Name: "br0"})
	h.noLink("", "br0")
	h.do(kernel.LinkDelete{Name: "br0"})
}

// bridgeAttrs are those of a bridge of which nothing else was stated.
func bridgeAttrs(h *host, stp bool, delay time.Duration) kernel.BridgeAttrs {
	h.Helper()
	a := kernel.DefaultBridge
	a.STP, a.ForwardDelay = stp, delay
	if !h.builtWithout("BRIDGE_VLAN_FILTERING") {
		a.DefaultPVID = 1
	}
	return a
}

func contractBridgePinned(h *host) {
	h.addNetns("a")
	h.do(kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:ff", MTU: 1500})
	h.do(kernel.VethAdd{
		A: kernel.VethEnd{Netns: "a", Name: "eth0"},
		B: kernel.VethEnd{Name: "near", MAC: "02:00:00:00:00:01", MTU: 1400, Master: "br0"},
	})
	l := h.link("", "br0")
	equal(h, "MAC of a bridge whose port has a lower one", l.MAC, "02:00:00:00:00:ff")
	equal(h, "MTU of a bridge whose port has a lower one", l.MTU, 1500)
}

func contractPort(h *host) {
	h.wire()
	h.do(
		kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500},
		kernel.VethAdd{
			A: kernel.VethEnd{Netns: "a", Name: "eth1", Up: true},
			B: kernel.VethEnd{Name: "near", Group: contractGroupNumber, Master: "br0", Up: true, Alias: contractMark("port/a:eth1")},
		},
	)
	equal(h, "state on a bridge that is down", h.link("", "near").Port.State, "disabled")
	h.do(kernel.LinkSet{Name: "br0", Up: ref(true)})
	h.settle()
	equal(h, "state", h.link("", "near").Port.State, "forwarding")
	h.oper("", "br0", "up")
	h.do(kernel.PortSet{Name: "near", Isolated: ref(true)})
	equal(h, "isolated", h.link("", "near").Port.Isolated, true)
	equal(h, "hairpin", h.link("", "near").Port.Hairpin, false)
	h.do(kernel.PortSet{Name: "near", Isolated: ref(false), Hairpin: ref(true)})
	equal(h, "isolated", h.link("", "near").Port.Isolated, false)
	equal(h, "hairpin", h.link("", "near").Port.Hairpin, true)

	h.do(kernel.PortSet{Name: "near", Isolated: ref(true)}, kernel.LinkSet{Name: "near", Master: ref("")})
	l := h.link("", "near")
	equal(h, "master", l.Master, "")
	if l.Port != nil {
		h.Errorf("a link without master has port parameters: %+v", l.Port)
	}
	h.refuse(0, kernel.PortSet{Name: "near", Isolated: ref(true)})
	h.refuse(syscall.ENODEV, kernel.PortSet{Name: "gone", Isolated: ref(true)})
	h.refuse(syscall.ENODEV, kernel.LinkSet{Name: "near", Master: ref("gone")})
	h.do(kernel.LinkSet{Name: "near", Master: ref("br0")})
	equal(h, "isolated, once attached anew", h.link("", "near").Port.Isolated, false)
}

func contractBridgeInNetns(h *host) {
	h.addNetns("a", "sw")
	h.do(
		kernel.BridgeAdd{Netns: "sw", Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500, Group: contractGroupNumber},
		kernel.LinkSet{Netns: "sw", Name: "br0", Alias: ref(contractMark("bridge/br0"))},
		kernel.BridgeSet{Netns: "sw", Name: "br0", Priority: ref(7)},
		kernel.VethAdd{
			A: kernel.VethEnd{Netns: "a", Name: "eth0", Group: contractGroupNumber, Up: true},
			B: kernel.VethEnd{Netns: "sw", Name: "port", Group: contractGroupNumber, Master: "br0", Up: true, Alias: contractMark("port/a:eth0")},
		},
		kernel.PortSet{Netns: "sw", Name: "port", Isolated: ref(true)},
		kernel.LinkSet{Netns: "sw", Name: "br0", Up: ref(true)},
		kernel.FDBReplace{Netns: "sw", Link: "port", FDBEntry: kernel.FDBEntry{MAC: "02:00:00:00:00:aa"}},
	)
	h.settle()
	l := h.link("sw", "port")
	equal(h, "master", l.Master, "br0")
	equal(h, "mark", l.Alias, contractMark("port/a:eth0"))
	equal(h, "state", l.Port.State, "forwarding")
	equal(h, "isolated", l.Port.Isolated, true)
	equal(h, "static entry", l.FDB[0].MAC, "02:00:00:00:00:aa")
	equal(h, "the other end", h.link("a", "eth0").Peer, kernel.End{Netns: "sw", Name: "port"})
	equal(h, "priority", h.link("sw", "br0").Bridge.Priority, 7)
	h.noLink("", "br0")
	h.refuse(syscall.ENOENT, kernel.BridgeAdd{Netns: "gone", Name: "br0"})
}

func contractPortParameters(h *host) {
	h.addNetns("a")
	h.do(
		kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "near", Master: "br0", Up: true}},
		kernel.LinkSet{Name: "br0", Up: ref(true)},
	)
	h.settle()
	want := kernel.DefaultPort
	want.State = "forwarding"
	equal(h, "a new port", *h.link("", "near").Port, want)
	h.do(kernel.PortSet{Name: "near", Learning: ref(false), Flood: ref(false), McastFlood: ref(false), BcastFlood: ref(false), Cost: ref(65535), Priority: ref(63)})
	equal(h, "a port", *h.link("", "near").Port, kernel.PortAttrs{State: "forwarding", Cost: 65535, Priority: 63})
	h.do(kernel.PortSet{Name: "near", Flood: ref(true), Cost: ref(1), Priority: ref(0)})
	equal(h, "a port", *h.link("", "near").Port, kernel.PortAttrs{State: "forwarding", Flood: true, Cost: 1})
	h.refuse(syscall.ERANGE, kernel.PortSet{Name: "near", Cost: ref(65536)})
	h.refuse(syscall.ERANGE, kernel.PortSet{Name: "near", Priority: ref(64)})
}

func contractBridgeParameters(h *host) {
	h.do(kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500})
	equal(h, "a new bridge", *h.link("", "br0").Bridge, bridgeAttrs(h, false, 15*time.Second))
	h.do(kernel.BridgeSet{
		Name: "br0", Priority: ref(4096), HelloTime: ref(time.Second), MaxAge: ref(6 * time.Second), AgeingTime: ref(time.Duration(0)), McastSnooping: ref(false),
	})
	want := bridgeAttrs(h, false, 15*time.Second)
	want.Priority, want.HelloTime, want.MaxAge, want.AgeingTime, want.McastSnooping = 4096, time.Second, 6*time.Second, 0, false
	equal(h, "a bridge", *h.link("", "br0").Bridge, want)
	h.do(kernel.BridgeSet{Name: "br0", Priority: ref(0), AgeingTime: ref(1_000_000 * time.Second), STP: ref(true)})
	want.Priority, want.AgeingTime, want.STP = 0, 1_000_000*time.Second, true
	equal(h, "a bridge", *h.link("", "br0").Bridge, want)
	h.refuse(syscall.ERANGE, kernel.BridgeSet{Name: "br0", HelloTime: ref(11 * time.Second)})
	h.refuse(syscall.ERANGE, kernel.BridgeSet{Name: "br0", MaxAge: ref(5 * time.Second)})
}

func contractBridgeCascade(h *host) {
	h.addNetns("a")
	h.do(
		kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01"},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "near", Master: "br0", Up: true}},
		kernel.LinkSet{Name: "br0", Up: ref(true)},
		kernel.AddrAdd{Link: "br0", Prefix: prefix("10.7.0.1/24")},
	)
	h.hasRoute("", "10.7.0.0/24", 0, true)
	h.do(kernel.LinkDelete{Name: "br0"})
	h.hasRoute("", "10.7.0.0/24", 0, false)
	equal(h, "master", h.link("", "near").Master, "")
	h.do(kernel.AddrDelete{Link: "br0", Prefix: prefix("10.7.0.1/24")})
}

func contractGroup(h *host) {
	h.addNetns("a")
	pair := func(near string, group uint32) kernel.Op {
		return kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: near + "far"}, B: kernel.VethEnd{Name: near, Group: group}}
	}
	const group = 0x74aaaaaa
	h.do(kernel.BridgeAdd{Name: "br0", Group: group}, pair("one", group), pair("two", group), pair("three", 5))
	h.refuse(0, kernel.GroupDelete{Group: group, Names: []string{"br0", "one"}})
	h.link("", "br0")
	h.link("", "one")
	h.do(kernel.GroupDelete{Group: group, Names: []string{"br0", "one", "two"}})
	for _, name := range []string{"br0", "one", "two"} {
		h.noLink("", name)
	}
	h.noLink("a", "onefar")
	h.link("", "three")
	h.do(kernel.GroupDelete{Group: group, Names: []string{"br0", "one", "two"}})
}
