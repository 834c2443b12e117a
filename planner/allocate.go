package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// Allocate chooses what the file leaves open: subnets of bridges and addresses of nodes. The result
// is a copy of the topology in which every subnet has a prefix and every attachment an address of each.
//
// It is deterministic and sticky: addresses written in the file are reserved first; what a bridge or a node holds
// in the kernel and is still free and valid it keeps (if somebody took it away, what the node's hosts file says
// of it); the others get the lowest free ones in the file's order. An allocated subnet overlaps no address and
// no route of the host and no other project.
//
// The error is a [spec.Errors]: subnets that overlap something of the host's, subnets that are full.
func Allocate(t *spec.Topology, s kernel.Snapshot) (*spec.Topology, error) {
	a := newAllocator(t, s)
	a.subnets()
	a.addresses()
	if len(a.errs) > 0 {
		return nil, a.errs
	}
	return a.t, nil
}

type allocator struct {
	t    *spec.Topology
	s    kernel.Snapshot
	host map[string]kernel.Link
	errs spec.Errors

	stated  map[string]bool           // attachments and families whose addresses the file states
	nodes   map[string]kernel.Netns   // the project's namespaces, by node
	written map[string][]netip.Prefix // addresses that nodes' hosts files give themselves, by node
}

func newAllocator(t *spec.Topology, s kernel.Snapshot) *allocator {
	a := &allocator{
		t: clone(t), s: s, host: map[string]kernel.Link{},
		stated: map[string]bool{}, nodes: map[string]kernel.Netns{}, written: map[string][]netip.Prefix{},
	}
	for _, l := range s.Host.Links {
		a.host[l.Name] = l
	}
	for _, n := range t.Nodes {
		for _, at := range n.Attachments {
			for _, p := range at.Addresses {
				a.stated[attachmentKey(n, at, p.Addr())] = true
			}
		}
	}
	for _, n := range s.Netns {
		if n.Mark.Project == t.Name {
			a.nodes[nodeOf(n.Mark)] = n
		}
	}
	for _, f := range s.Files {
		if id := parseID(f.Mark.ID); f.Mark.Project == t.Name && id.Kind == "hosts" {
			a.written[id.Name] = ownAddresses(f.Content, id.Name)
		}
	}
	return a
}

func attachmentKey(n spec.Node, at spec.Attachment, addr netip.Addr) string {
	return n.Name + ":" + at.Interface + " " + string(kernel.FamilyOf(addr))
}

// ownAddresses reads a node's own lines from its hosts file.
func ownAddresses(content kernel.Text, node string) []netip.Prefix {
	var out []netip.Prefix
	name := " " + node
	for _, piece := range content {
		for {
			at := strings.Index(piece, name)
			if at < 0 {
				break
			}
			begin := strings.LastIndexByte(piece[:at], '\n') + 1
			line, rest, _ := strings.Cut(piece[begin:], "\n")
			piece = rest
			f := strings.Fields(line)
			if len(f) < 2 || !slices.Contains(f[1:], node) {
				continue // that of another, whose name begins so
			}
			if addr, err := netip.ParseAddr(f[0]); err == nil && !addr.IsLoopback() {
				out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
			}
		}
	}
	return out
}

func (a *allocator) fail(p spec.Pos, format string, args ...any) {
	a.errs = append(a.errs, &spec.Error{Pos: p, Msg: fmt.Sprintf(format, args...)})
}

// clone copies what Allocate fills in.
func clone(t *spec.Topology) *spec.Topology {
	c := *t
	c.Bridges = slices.Clone(t.Bridges)
	for i := range c.Bridges {
		c.Bridges[i].Subnets = slices.Clone(c.Bridges[i].Subnets)
	}
	c.Nodes = slices.Clone(t.Nodes)
	for i := range c.Nodes {
		c.Nodes[i].Attachments = slices.Clone(c.Nodes[i].Attachments)
		for j := range c.Nodes[i].Attachments {
			at := &c.Nodes[i].Attachments[j]
			at.Addresses = slices.Clone(at.Addresses)
		}
	}
	return &c
}

// poolRange is where allocated subnets come from: the end of 172.16.0.0/12 (RFC 1918), behind Docker's first choices.
var poolRange = netip.MustParsePrefix("172.28.0.0/14")

// minBits is the largest length of an allocated subnet's prefix: 253 nodes.
const minBits = 24

func (a *allocator) subnets() {
	taken := a.foreign()
	var stated []netip.Prefix
	nodes := map[string]int{}
	for _, n := range a.t.Nodes {
		for _, at := range n.Attachments {
			nodes[at.Bridge]++
		}
	}
	for _, b := range a.t.Bridges {
		for _, sub := range b.Subnets {
			if !sub.Prefix.IsValid() {
				continue
			}
			stated = append(stated, sub.Prefix)
			others := slices.DeleteFunc(slices.Clone(taken), func(u use) bool { return u.lan == b.Name })
			if o, ok := overlapping(sub.Prefix, others); ok && !b.External && b.Node == "" {
				a.fail(sub.Pos, "subnet %s of bridge %s overlaps %s", sub.Prefix, b.Name, o.what)
			}
		}
	}
	for _, s := range stated {
		taken = append(taken, use{prefix: s, what: "a subnet of the file"})
	}
	for i := range a.t.Bridges {
		b := &a.t.Bridges[i]
		for j := range b.Subnets {
			sub := &b.Subnets[j]
			if !sub.Prefix.IsValid() {
				p, ok := a.held(*b, taken)
				if !ok {
					p, ok = free(taken, nodes[b.Name])
				}
				if !ok {
					a.fail(b.Pos, "no free subnet is left in %s for bridge %s: write its subnet", poolRange, b.Name)
					continue
				}
				sub.Prefix = p
				taken = append(taken, use{prefix: p, what: "bridge " + b.Name})
			}
			if !sub.Gateway.IsValid() && !sub.NoGateway && !b.External {
				sub.Gateway = sub.Prefix.Addr().Next()
			}
		}
	}
}

type use struct {
	prefix netip.Prefix
	what   string
	lan    string // the bridge whose uplink has it: the LAN's addresses are the bridge's, too
}

func overlapping(p netip.Prefix, uses []use) (use, bool) {
	for _, u := range uses {
		if u.prefix.Overlaps(p) {
			return u, true
		}
	}
	return use{}, false
}

// foreign lists the ranges that the host uses otherwise than for this project.
func (a *allocator) foreign() []use {
	own := map[string]bool{}
	for _, l := range a.s.Host.Links {
		m, ok := kernel.ParseMark(l.Alias)
		own[l.Name] = ok && m.Project == a.t.Name || !ok && l.Group == kernel.Group(a.t.Name)
	}
	describe := func(link string) string {
		if m, ok := kernel.ParseMark(a.host[link].Alias); ok {
			return fmt.Sprintf("%s of project %s", parseID(m.ID), m.Project)
		}
		return link
	}
	var out []use
	lans := lansOf(a.t, a.s)
	for _, ad := range a.s.Host.Addrs {
		lan := lans.ofAddr(ad)
		if own[ad.Link] && lan == "" || ad.Prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		out = append(out, use{ad.Prefix.Masked(), fmt.Sprintf("%s on %s", ad.Prefix, describe(ad.Link)), lan})
	}
	for _, r := range a.s.Host.Routes {
		lan := lans.ofRoute(r)
		if own[r.Link] && lan == "" || r.Dst.Bits() == 0 || r.Dst.Addr().IsLinkLocalUnicast() || r.Dst.Addr().IsMulticast() || r.Type != "unicast" {
			continue
		}
		out = append(out, use{r.Dst, fmt.Sprintf("the host's route %s on %s", r.Dst, describe(r.Link)), lan})
	}
	return out
}

// held is the subnet that a bridge has in the kernel; where the bridge is gone, that of its nodes' addresses.
func (a *allocator) held(b spec.Bridge, taken []use) (netip.Prefix, bool) {
	var found []netip.Prefix
	if l, ok := a.host[b.Interface]; ok {
		if m, marked := kernel.ParseMark(l.Alias); marked && m.Project == a.t.Name {
			for _, ad := range a.s.Host.Addrs {
				if ad.Link == b.Interface && !ad.Kernel {
					found = append(found, ad.Prefix.Masked())
				}
			}
		}
	}
	for _, n := range a.t.Nodes {
		for _, at := range n.Attachments {
			if at.Bridge == b.Name {
				for _, p := range a.present(n, at) {
					if !p.IsSingleIP() {
						found = append(found, p.Masked())
					}
				}
			}
		}
	}
	for _, p := range found {
		if _, clash := overlapping(p, taken); !clash && p.Addr().Is4() && poolRange.Overlaps(p) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// free is the lowest free subnet that is large enough for so many nodes, the gateway and one to spare.
func free(taken []use, nodes int) (netip.Prefix, bool) {
	bits := minBits
	for bits > poolRange.Bits() && 1<<(32-bits)-3 < nodes+1 {
		bits--
	}
	for p := netip.PrefixFrom(poolRange.Addr(), bits); poolRange.Contains(p.Addr()); p = next(p) {
		if _, clash := overlapping(p, taken); !clash {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// next is the range of the same length behind p, in IPv4.
func next(p netip.Prefix) netip.Prefix {
	b := p.Addr().As4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n += 1 << (32 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), p.Bits())
}

func (a *allocator) addresses() {
	for _, b := range a.t.Bridges {
		for _, sub := range b.Subnets {
			if sub.Prefix.IsValid() {
				a.fill(b, sub)
			}
		}
	}
}

// fill gives an address of a subnet to each attachment of its bridge that states none of that family.
func (a *allocator) fill(b spec.Bridge, sub spec.Subnet) {
	taken := map[netip.Addr]bool{}
	if sub.Gateway.IsValid() {
		taken[sub.Gateway] = true
	}
	lans := lansOf(a.t, a.s)
	for _, ad := range a.s.Host.Addrs {
		if lans.ofAddr(ad) == b.Name {
			taken[ad.Prefix.Addr()] = true // the machine's own on that LAN
		}
	}
	for _, r := range a.s.Host.Routes {
		if lans.ofRoute(r) == b.Name && r.Via.IsValid() {
			taken[r.Via] = true // a router's
		}
	}
	type place struct{ node, at int }
	var open []place
	for i, n := range a.t.Nodes {
		for j, at := range n.Attachments {
			if at.Bridge != b.Name {
				continue
			}
			has := false
			for _, p := range at.Addresses {
				if sub.Prefix.Contains(p.Addr()) {
					taken[p.Addr()] = true
					has = true
				}
			}
			if !has && !a.stated[attachmentKey(n, at, sub.Prefix.Addr())] {
				open = append(open, place{i, j})
			}
		}
	}
	for _, l := range a.t.Links {
		for _, e := range l.Ends {
			for _, p := range e.Addresses {
				taken[p.Addr()] = true
			}
		}
	}
	for _, i := range a.t.Interfaces {
		for _, p := range i.Addresses {
			taken[p.Addr()] = true
		}
	}
	give := func(p place, addr netip.Addr) {
		taken[addr] = true
		at := &a.t.Nodes[p.node].Attachments[p.at]
		at.Addresses = append(at.Addresses, netip.PrefixFrom(addr, sub.Prefix.Bits()))
	}
	var rest []place
	for _, p := range open {
		n := a.t.Nodes[p.node]
		kept := false
		for _, q := range a.present(n, n.Attachments[p.at]) {
			if usable(sub, q.Addr()) && !taken[q.Addr()] && !kept {
				give(p, q.Addr())
				kept = true
			}
		}
		if !kept {
			rest = append(rest, p)
		}
	}
	addr := sub.Prefix.Addr()
	for _, p := range rest {
		for {
			addr = addr.Next()
			if !addr.IsValid() || !sub.Prefix.Contains(addr) {
				n := a.t.Nodes[p.node]
				a.fail(n.Attachments[p.at].Pos, "no free address is left in %s of bridge %s for %s", sub.Prefix, b.Name, n.Name)
				return
			}
			if !taken[addr] && usable(sub, addr) {
				give(p, addr)
				break
			}
		}
	}
}

// usable leaves out the subnet's first address and, in IPv4, the last: network and broadcast.
func usable(sub spec.Subnet, addr netip.Addr) bool {
	if !sub.Prefix.Contains(addr) || addr == sub.Gateway {
		return false
	}
	if sub.Prefix.Bits() >= addr.BitLen()-1 {
		return true
	}
	if addr == sub.Prefix.Addr() {
		return false
	}
	return addr.Is6() || sub.Prefix.Contains(addr.Next())
}

// present lists the addresses that a node holds on an attachment: in the kernel, else by its hosts file.
func (a *allocator) present(n spec.Node, at spec.Attachment) []netip.Prefix {
	var out []netip.Prefix
	for _, ad := range a.nodes[n.Name].Addrs {
		if ad.Link == at.Interface && !ad.Kernel {
			out = append(out, ad.Prefix)
		}
	}
	return append(out, a.written[n.Name]...)
}
