package planner

import (
	"net/netip"

	"topo/internal/kernel"
	"topo/spec"
)

// address is an address of an interface, of a node or of a bridge.
type address struct {
	netns  string
	owner  string // node, or "host"
	iface  string
	link   ID // the interface
	prefix netip.Prefix
	// primary is the address whose removal takes this one along; zero: none.
	primary ID
	// fence is the one around the subnet of a bridge's address: what is translated into it has a route as long as the address is there.
	fence ID
	// member is the interface's place in a VRF; zero: none. Who joins or leaves one loses IPv6 addresses.
	member ID
}

var addressKind = Kind{Name: "address", Desire: desireAddresses, Observe: observeAddresses}

func desireAddresses(w *Want) []Resource {
	var out []Resource
	t := w.Topology
	for _, b := range t.Bridges {
		if b.External {
			continue
		}
		for _, s := range b.Subnets {
			if s.Gateway.IsValid() {
				out = append(out, bridgeAddress(b, s))
			}
		}
	}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			for _, p := range a.Addresses {
				out = append(out, nodeAddress(n.Netns, n.Name, a.Interface, p))
			}
		}
	}
	netns := netnsByNode(t)
	for _, l := range t.Links {
		for _, e := range l.Ends {
			for _, p := range e.Addresses {
				out = append(out, nodeAddress(netns[e.Node], e.Node, e.Interface, p))
			}
		}
	}
	for _, i := range t.Interfaces {
		for _, p := range i.Addresses {
			out = append(out, nodeAddress(netns[i.Node], i.Node, i.Name, p))
		}
	}
	return onMembers(out, w.of(memberKind))
}

// onMembers tells addresses which memberships they are lost with.
func onMembers(addresses, members []Resource) []Resource {
	vrfs := memberOf(members)
	if len(vrfs) == 0 {
		return addresses
	}
	for i, r := range addresses {
		a := r.(address)
		a.member = vrfs[a.link]
		addresses[i] = a
	}
	return addresses
}

func nodeAddress(netns, node, iface string, p netip.Prefix) address {
	return address{netns: netns, owner: node, iface: iface, link: ID{"link", node + ":" + iface}, prefix: p}
}

// bridgeAddress is a bridge's own address, the host's or the node's that it is in.
func bridgeAddress(b spec.Bridge, s spec.Subnet) address {
	owner := spec.Host
	if b.Node != "" {
		owner = b.Node
	}
	return address{netns: b.Netns, owner: owner, iface: b.Interface, link: ID{"bridge", b.Name}, prefix: prefixOf(s)}
}

// observeAddresses lists the addresses of the interfaces that are the project's, but for those that
// the kernel gave them itself. What a program of the node put on lo or on an interface of its own is not topo's.
func observeAddresses(h *Have) []Resource {
	var out []Resource
	of := map[place]iface{}
	for _, l := range h.interfaces() {
		of[place{l.netns, l.Name}] = l
	}
	for _, n := range append([]kernel.Netns{h.Snapshot.Host}, h.Snapshot.Netns...) {
		for _, a := range n.Addrs {
			if l, ok := of[place{n.Name, a.Link}]; ok && !a.Kernel && (n.Name != "" || !h.movedHere(a)) { // what was a card's, it has back when it is no port any more
				r := address{netns: n.Name, owner: l.node, iface: a.Link, link: l.id, prefix: a.Prefix}
				if l.id.Kind == bridgeKind.Name && n.Name == "" {
					r.fence = fenceID(l.id.Name, a.Prefix)
				}
				out = append(out, r)
			}
		}
	}
	return withPrimaries(onMembers(out, observeMembers(h)), h.Snapshot)
}

// withPrimaries finds, for each secondary address, the one of its subnet that came first.
func withPrimaries(rs []Resource, s kernel.Snapshot) []Resource {
	type subnet struct {
		netns, iface string
		prefix       netip.Prefix
	}
	secondary := map[subnet]map[netip.Prefix]bool{}
	for _, n := range append([]kernel.Netns{s.Host}, s.Netns...) {
		for _, a := range n.Addrs {
			if a.Secondary {
				at := subnet{n.Name, a.Link, a.Prefix.Masked()}
				if secondary[at] == nil {
					secondary[at] = map[netip.Prefix]bool{}
				}
				secondary[at][a.Prefix] = true
			}
		}
	}
	if len(secondary) == 0 {
		return rs
	}
	primary := map[subnet]ID{}
	for _, r := range rs {
		a := r.(address)
		if at := (subnet{a.netns, a.iface, a.prefix.Masked()}); !secondary[at][a.prefix] {
			primary[at] = a.ID()
		}
	}
	for i, r := range rs {
		a := r.(address)
		if at := (subnet{a.netns, a.iface, a.prefix.Masked()}); secondary[at][a.prefix] {
			a.primary = primary[at]
			rs[i] = a
		}
	}
	return rs
}

// managed lists the interfaces of a node that are topo's.
func (h *Have) managed(n kernel.Netns) map[string]bool {
	m := map[string]bool{}
	for i := range n.Links {
		if l := &n.Links[i]; h.ownInside(n.Name, l) {
			m[l.Name] = true
		}
	}
	return m
}

func addressID(owner, iface string, p netip.Prefix) ID {
	return ID{"address", owner + ":" + iface + "/" + p.String()}
}

func (r address) ID() ID         { return addressID(r.owner, r.iface, r.prefix) }
func (r address) In() []ID       { return []ID{r.link} }
func (r address) Needs() []ID    { return []ID{r.link, r.member, r.primary, r.fence} }
func (r address) Attrs() []Attr  { return []Attr{{"interface", r.iface}} }
func (r address) Shared() bool   { return r.link.Kind == "bridge" }
func (r address) Detail() string { return "" }

// Claims makes the removals of a subnet's addresses on an interface precede the additions: with both
// there, the new one would be secondary, and go with the old.
func (r address) Claims() []string {
	return []string{"address " + r.netns + " " + r.iface + " " + r.prefix.Masked().String()}
}

func (r address) Create() []kernel.Op {
	return []kernel.Op{kernel.AddrAdd{Netns: r.netns, Link: r.iface, Prefix: r.prefix}}
}

func (r address) Delete() []kernel.Op {
	return []kernel.Op{kernel.AddrDelete{Netns: r.netns, Link: r.iface, Prefix: r.prefix}}
}

// Lost: an address goes with the one of its subnet that came first. It is removed and made anew, whichever
// of the two the kernel would do with it (promote_secondaries).
func (r address) Lost(gone func(ID) bool) (ID, Action, bool) {
	if r.member != (ID{}) && r.prefix.Addr().Is6() && gone(r.member) {
		return r.member, Create, true
	}
	return r.primary, Replace, r.primary != ID{} && gone(r.primary)
}

func (r address) Update(Resource) ([]kernel.Op, bool) { return nil, false }
