package fake

import (
	"slices"
	"syscall"

	"topo/internal/kernel"
)

func contractKinds(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{
		A: kernel.VethEnd{Netns: "a", Name: "eth0", MAC: "02:00:00:00:00:0a", MTU: 1500, Group: contractGroupNumber, Up: true},
		B: kernel.VethEnd{Name: "near", Up: true},
	})
	for _, c := range []struct {
		option string
		add    kernel.LinkAdd
		set    []kernel.Param // what can be changed in place
	}{
		{"DUMMY", kernel.LinkAdd{Kind: "dummy", MAC: "02:00:00:00:00:01", MTU: 9000}, nil},
		{"IFB", kernel.LinkAdd{Kind: "ifb", MAC: "02:00:00:00:00:02", MTU: 1400}, nil},
		{"TUN", kernel.LinkAdd{Kind: "tun", MAC: "02:00:00:00:00:03", MTU: 1400, Params: []kernel.Param{{Name: "mode", Value: "tap"}}}, nil},
		{"MACVLAN", kernel.LinkAdd{
			Kind: "macvlan", Parent: kernel.End{Netns: "a", Name: "eth0"}, MAC: "02:00:00:00:00:04", MTU: 1400, Params: []kernel.Param{{Name: "mode", Value: "bridge"}},
		}, []kernel.Param{{Name: "mode", Value: "private"}}},
		{"MACVTAP", kernel.LinkAdd{
			Kind: "macvtap", Parent: kernel.End{Name: "near"}, MAC: "02:00:00:00:00:05", MTU: 1500, Params: []kernel.Param{{Name: "mode", Value: "bridge"}},
		}, nil},
		{"IPVLAN", kernel.LinkAdd{
			Kind: "ipvlan", Parent: kernel.End{Netns: "a", Name: "eth0"}, MTU: 1500, Params: []kernel.Param{{Name: "mode", Value: "l2"}},
		}, []kernel.Param{{Name: "mode", Value: "l3"}}},
		{"VLAN_8021Q", kernel.LinkAdd{
			Kind: "vlan", Parent: kernel.End{Netns: "a", Name: "eth0"}, MAC: "02:00:00:00:00:0a", MTU: 1500,
			Params: []kernel.Param{{Name: "protocol", Value: "802.1ad"}, {Name: "id", Value: "101"}},
		}, nil},
		{"VXLAN", kernel.LinkAdd{
			Kind: "vxlan", Parent: kernel.End{Netns: "a", Name: "eth0"}, MAC: "02:00:00:00:00:06", MTU: 1450,
			Params: []kernel.Param{
				{Name: "id", Value: "77"}, {Name: "local", Value: "10.0.0.1"}, {Name: "port", Value: "4789"}, {Name: "ttl", Value: "64"}, {Name: "learning", Value: "off"},
			},
		}, nil},
		{"VXLAN", kernel.LinkAdd{
			Kind: "vxlan", Parent: kernel.End{Netns: "a", Name: "eth0"}, MAC: "02:00:00:00:00:06", MTU: 1430,
			Params: []kernel.Param{{Name: "id", Value: "78"}, {Name: "local", Value: "fd00::1"}, {Name: "group", Value: "ff05::100"}, {Name: "port", Value: "4789"}},
		}, nil},
		{"GENEVE", kernel.LinkAdd{
			Kind: "geneve", MAC: "02:00:00:00:00:07", MTU: 1450,
			Params: []kernel.Param{{Name: "id", Value: "9"}, {Name: "remote", Value: "10.0.0.2"}, {Name: "port", Value: "6081"}, {Name: "ttl", Value: "64"}},
		}, nil},
		{"NET_IPGRE", kernel.LinkAdd{Kind: "gre", MTU: 1472, Params: []kernel.Param{
			{Name: "local", Value: "10.0.0.1"}, {Name: "remote", Value: "10.0.0.2"}, {Name: "ttl", Value: "64"}, {Name: "key", Value: "7"},
		}}, nil},
		{"NET_IPIP", kernel.LinkAdd{Kind: "ipip", MTU: 1480, Params: []kernel.Param{
			{Name: "local", Value: "10.0.0.1"}, {Name: "remote", Value: "10.0.0.2"}, {Name: "ttl", Value: "64"},
		}}, []kernel.Param{{Name: "remote", Value: "10.0.0.3"}, {Name: "ttl", Value: "64"}}},
		{"WIREGUARD", kernel.LinkAdd{Kind: "wireguard", MTU: 1420}, nil},
		{"NET_VRF", kernel.LinkAdd{Kind: "vrf", MAC: "02:00:00:00:00:08", MTU: 1500, Params: []kernel.Param{{Name: "table", Value: "10"}}}, nil},
		{"BONDING", kernel.LinkAdd{Kind: "bond", MAC: "02:00:00:00:00:09", MTU: 1500, Params: []kernel.Param{
			{Name: "mode", Value: "802.3ad"}, {Name: "miimon", Value: "100"}, {Name: "lacp_rate", Value: "fast"}, {Name: "xmit_hash_policy", Value: "layer3+4"},
		}}, []kernel.Param{{Name: "miimon", Value: "50"}, {Name: "xmit_hash_policy", Value: "layer2"}}},
	} {
		for _, netns := range []string{"a", ""} {
			add := c.add
			add.Netns, add.Name, add.Group, add.Up = netns, "new", contractGroupNumber, true
			if netns == "" {
				add.Alias = contractMark("link/host:new")
			}
			if h.lacks(c.option, add) {
				h.noLink(netns, "new")
				continue
			}
			h.do(add)
			l := h.link(netns, "new")
			what := add.Kind + " in " + netns + ": "
			equal(h, what+"kind", l.Kind, add.Kind)
			equal(h, what+"parameters", l.Params, add.Params)
			equal(h, what+"parent", l.Parent, add.Parent)
			equal(h, what+"MTU", l.MTU, add.MTU)
			if add.MAC != "" {
				equal(h, what+"MAC", l.MAC, add.MAC)
			}
			equal(h, what+"group", l.Group, contractGroupNumber)
			equal(h, what+"alias", l.Alias, add.Alias)
			equal(h, what+"up", l.Up, true)
			equal(h, what+"qdisc", l.Qdisc, nil)
			h.refuse(syscall.EEXIST, add)
			if add.Kind == "ifb" {
				h.refuse(syscall.EOPNOTSUPP, kernel.LinkSet{Netns: netns, Name: "new", MAC: ref("02:00:00:00:00:aa")})
			}
			if c.set != nil {
				h.do(kernel.LinkParams{Netns: netns, Name: "new", Kind: add.Kind, Params: c.set})
				for _, p := range kernel.Params(add.Kind, c.set...) {
					if got := h.link(netns, "new").Params; !slices.Contains(got, p) {
						h.Errorf("%s%v is not among %v", what, p, got)
					}
				}
				if add.Kind == "ipip" {
					equal(h, what+"parameters", h.link(netns, "new").Params, c.set)
				}
				equal(h, what+"index", h.link(netns, "new").Index, l.Index)
			}
			h.do(kernel.LinkDelete{Netns: netns, Name: "new"})
			h.noLink(netns, "new")
		}
	}
}

// contractTwins: of some kinds a namespace has no second link that does the same, whatever its name and whichever namespace it is moved to.
func contractTwins(h *host) {
	h.addNetns("a", "b")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Group: contractGroupNumber, Up: true}, B: kernel.VethEnd{Name: "near", Up: true}})
	ends := []kernel.Param{{Name: "local", Value: "10.0.0.1"}, {Name: "remote", Value: "10.0.0.2"}, {Name: "ttl", Value: "64"}}
	for _, c := range []struct {
		option, kind string
		params       []kernel.Param
		other        kernel.Param // makes it another one
		refuse       syscall.Errno
	}{
		{"VLAN_8021Q", "vlan", []kernel.Param{{Name: "protocol", Value: "802.1Q"}, {Name: "id", Value: "5"}}, kernel.Param{Name: "id", Value: "6"}, syscall.EEXIST},
		{"VXLAN", "vxlan", []kernel.Param{{Name: "id", Value: "5"}, {Name: "port", Value: "4789"}}, kernel.Param{Name: "port", Value: "4790"}, syscall.EEXIST},
		{"GENEVE", "geneve", []kernel.Param{{Name: "id", Value: "5"}, {Name: "remote", Value: "10.0.0.2"}, {Name: "port", Value: "6081"}}, kernel.Param{Name: "id", Value: "6"}, syscall.EBUSY},
		{"NET_IPGRE", "gre", ends, kernel.Param{Name: "key", Value: "7"}, syscall.EEXIST},
		{"NET_IPIP", "ipip", ends, kernel.Param{Name: "remote", Value: "10.0.0.3"}, syscall.EEXIST},
	} {
		add := kernel.LinkAdd{Netns: "a", Name: "one", Kind: c.kind, Group: contractGroupNumber, Params: c.params}
		if c.kind == "vlan" || c.kind == "vxlan" {
			add.Parent = kernel.End{Netns: "a", Name: "eth0"}
		}
		if h.lacks(c.option, add) {
			continue
		}
		h.do(add)
		second := add
		second.Name = "two"
		h.refuse(c.refuse, second)
		h.noLink("a", "two")
		if add.Parent.Name != "" {
			second.Netns = "b"
			h.refuse(c.refuse, second)
			h.noLink("b", "two")
		}
		second.Params = append(slices.DeleteFunc(slices.Clone(c.params), func(p kernel.Param) bool { return p.Name == c.other.Name }), c.other)
		h.do(second, kernel.LinkDelete{Netns: second.Netns, Name: "two"}, kernel.LinkDelete{Netns: "a", Name: "one"})
	}
}

func contractParents(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{
		A: kernel.VethEnd{Netns: "a", Name: "eth0", MTU: 1500, Group: contractGroupNumber, Up: true},
		B: kernel.VethEnd{Name: "near", MTU: 1400, Up: true},
	})
	over := func(netns, name string, parent kernel.End) kernel.LinkAdd {
		return kernel.LinkAdd{Netns: netns, Name: name, Kind: "macvlan", Parent: parent, Group: contractGroupNumber, Params: []kernel.Param{{Name: "mode", Value: "bridge"}}}
	}
	inNode := over("a", "mac0", kernel.End{Netns: "a", Name: "eth0"})
	if h.lacks("MACVLAN", inNode) {
		return
	}
	h.refuse(syscall.ENODEV, over("a", "mac0", kernel.End{Netns: "a", Name: "gone"}))
	h.refuse(syscall.ENOENT, over("gone", "mac0", kernel.End{Netns: "a", Name: "eth0"}))
	h.refuse(syscall.ENOENT, over("a", "mac0", kernel.End{Netns: "gone", Name: "eth0"}))
	h.do(inNode, over("a", "mac1", kernel.End{Name: "near"}))
	equal(h, "MTU when not stated", h.link("a", "mac1").MTU, 1400)
	big := over("a", "mac2", kernel.End{Name: "near"})
	big.MTU = 1500
	h.refuse(syscall.EINVAL, big)
	h.noLink("a", "mac2")
	// With one end of the veth goes the other, and with both what stands on them.
	h.do(kernel.LinkDelete{Name: "near"})
	h.noLink("a", "mac0")
	h.noLink("a", "mac1")
}

func contractMembers(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", MTU: 1500, Group: contractGroupNumber, Up: true}, B: kernel.VethEnd{Name: "near", Up: true}})
	bond := kernel.LinkAdd{Netns: "a", Name: "bond0", Kind: "bond", MAC: "02:00:00:00:00:09", Up: true, Params: []kernel.Param{{Name: "mode", Value: "active-backup"}}}
	if !h.lacks("BONDING", bond) {
		h.do(bond)
		h.refuse(syscall.ENODEV, kernel.Enslave{Netns: "a", Name: "eth0", Master: "bond1", Down: true})
		h.do(kernel.Enslave{Netns: "a", Name: "eth0", Master: "bond0", Down: true})
		l := h.link("a", "eth0")
		equal(h, "master", l.Master, "bond0")
		equal(h, "MAC of a member", l.MAC, "02:00:00:00:00:09")
		equal(h, "up", l.Up, true)
		h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Master: ref("")})
		l = h.link("a", "eth0")
		equal(h, "master of one that left", l.Master, "")
		equal(h, "up, that it left", l.Up, false)
		h.do(
			kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(true)},
			kernel.Enslave{Netns: "a", Name: "eth0", Master: "bond0", Down: true},
			kernel.Enslave{Netns: "a", Name: "eth0", Down: true},
		)
		l = h.link("a", "eth0")
		equal(h, "master of one that was let go", l.Master, "")
		equal(h, "up, that it was let go", l.Up, true)
		h.do(
			kernel.Enslave{Netns: "a", Name: "eth0", Master: "bond0", Down: true},
			kernel.LinkDelete{Netns: "a", Name: "bond0"},
		)
		l = h.link("a", "eth0")
		equal(h, "master when that is gone", l.Master, "")
		equal(h, "up when the bond is gone", l.Up, false)
		h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(true)})
	}
	vrf := kernel.LinkAdd{Netns: "a", Name: "red", Kind: "vrf", Up: true, Params: []kernel.Param{{Name: "table", Value: "10"}}}
	if !h.lacks("NET_VRF", vrf) {
		h.do(vrf, kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")}, kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")})
		h.do(kernel.Enslave{Netns: "a", Name: "eth0", Master: "red"})
		equal(h, "master", h.link("a", "eth0").Master, "red")
		equal(h, "addresses of a new member of a VRF", h.addrs("a", "eth0"), []string{"10.0.0.1/24"})
		h.do(kernel.LinkDelete{Netns: "a", Name: "red"})
		equal(h, "master when that is gone", h.link("a", "eth0").Master, "")
	}
}

func contractRemotes(h *host) {
	h.addNetns("a")
	add := kernel.LinkAdd{Netns: "a", Name: "vx0", Kind: "vxlan", Group: contractGroupNumber, Up: true, Params: []kernel.Param{{Name: "id", Value: "1"}, {Name: "port", Value: "4789"}}}
	if h.lacks("VXLAN", add) {
		return
	}
	h.do(add)
	equal(h, "remotes of a new one", len(h.link("a", "vx0").Remotes), 0)
	one, two := kernel.VXLANRemote{MAC: kernel.NoMAC, Remote: "10.0.0.2"}, kernel.VXLANRemote{MAC: kernel.NoMAC, Remote: "10.0.0.3"}
	known := kernel.VXLANRemote{MAC: "02:00:00:00:00:01", Remote: "10.0.0.3"}
	for _, r := range []kernel.VXLANRemote{two, known, one} {
		h.do(kernel.RemoteAdd{Netns: "a", Link: "vx0", VXLANRemote: r})
	}
	equal(h, "remotes", h.link("a", "vx0").Remotes, []kernel.VXLANRemote{one, two, known})
	h.do(kernel.RemoteDelete{Netns: "a", Link: "vx0", VXLANRemote: one})
	equal(h, "remotes", h.link("a", "vx0").Remotes, []kernel.VXLANRemote{two, known})
	h.do(kernel.RemoteDelete{Netns: "a", Link: "vx0", VXLANRemote: one})
	h.do(kernel.RemoteDelete{Netns: "a", Link: "gone", VXLANRemote: one})
	h.refuse(syscall.ENODEV, kernel.RemoteAdd{Netns: "a", Link: "gone", VXLANRemote: one})

	// One that is a bridge's port.
	h.do(kernel.BridgeAdd{Name: "br0", MTU: 1450, Group: contractGroupNumber})
	port := kernel.LinkAdd{
		Name: "vx1", Kind: "vxlan", MTU: 1450, Group: contractGroupNumber, Up: true, Alias: contractMark("link/host:vx1"), Master: "br0",
		Params: []kernel.Param{{Name: "id", Value: "2"}, {Name: "port", Value: "4789"}},
	}
	h.do(port)
	l := h.link("", "vx1")
	equal(h, "master", l.Master, "br0")
	equal(h, "alias", l.Alias, port.Alias)
	equal(h, "up", l.Up, true)
	port.Name, port.Master, port.Params[0].Value = "vx2", "gone", "3"
	h.refuse(syscall.ENODEV, port)
	h.noLink("", "vx2")
}
