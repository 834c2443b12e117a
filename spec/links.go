package spec

import (
	"net/netip"
	"strings"
)

// readLinks reads the top level's links, without names for interfaces that state none.
func (r *resolver) readLinks() {
	used := map[string]claim{}
	for _, raw := range r.file.Links {
		if raw.ofKind() {
			r.kindLink(raw, used)
			continue
		}
		r.refuseKind(&raw)
		l, ok := r.linkEnds(raw)
		if !ok {
			continue
		}
		there := true
		for i := range l.Ends {
			r.plug(&l.Ends[i], used)
			there = there && r.inactive[l.Ends[i].Node] == nil
		}
		r.linkConflicts(l)
		if there { // a cable to what is not there is not, either
			r.topo.Links = append(r.topo.Links, l)
		}
	}
}

// linkEnds reads either form of a link.
func (r *resolver) linkEnds(raw link) (l Link, ok bool) {
	l.Pos = raw.Pos
	switch {
	case raw.Bad || !raw.Set:
		return l, false
	case raw.List != nil && len(raw.List) != 2:
		r.add(raw.Pos, "a link has two ends, not %d", len(raw.List))
		return l, false
	case raw.List != nil:
		for i, t := range raw.List {
			if !t.Set {
				return l, false
			}
			node, iface, _ := strings.Cut(t.Value, ":")
			l.Ends[i] = Endpoint{Pos: t.Pos, Node: node, Interface: iface, MTU: defaultMTU, Up: true}
			if strings.HasSuffix(t.Value, ":") || node == "" {
				r.add(t.Pos, "an end of a link is NODE:INTERFACE, not %q", t.Value)
				return l, false
			}
		}
		return l, true
	case len(raw.Endpoints) == 0:
		return l, false
	case len(raw.Endpoints) != 2:
		r.add(raw.Endpoints[0].Pos, "a link has two ends, not %d", len(raw.Endpoints))
		return l, false
	}
	for i, e := range raw.Endpoints {
		if !e.Set || !e.Node.Set || e.Interface.Bad {
			return l, false
		}
		l.Ends[i] = r.endpoint(e, raw)
	}
	return l, true
}

func (r *resolver) endpoint(raw endpoint, of link) Endpoint {
	e := Endpoint{
		Pos:       raw.Node.Pos,
		Node:      raw.Node.Value,
		Interface: raw.Interface.Value,
		MAC:       r.mac(raw.MAC),
		MTU:       raw.MTU.or(of.MTU.or(defaultMTU)),
		Up:        raw.Up.or(true),
		Impair:    r.impairment(of.Impair),
	}
	if raw.Impair != nil && raw.Impair.Set {
		e.Impair = r.impairment(raw.Impair)
	}
	e.AcceptRA = raw.AcceptRA.Value
	r.checkAcceptRA(raw.AcceptRA, e.MTU)
	if raw.Interface.Set {
		e.Pos = raw.Interface.Pos
		if e.Interface == "" {
			r.add(e.Pos, "an interface needs a name")
		}
	}
	if b := r.bridges[e.Node]; b != nil {
		e.VLANs = r.portVLANs(raw.VLAN, r.bridge(b))
		e.Port = r.bridgePort(raw.Port, r.bridge(b), e.VLANs)
	} else {
		if raw.VLAN != nil && raw.VLAN.Set {
			r.add(raw.VLAN.Pos, "vlan is for an end that is a bridge's port")
		}
		if raw.Port != nil && raw.Port.Set {
			r.add(raw.Port.Pos, "port is for an end that is a bridge's port")
		}
	}
	for _, t := range raw.Address.all() {
		p, ok := r.addressWithLength(t)
		if !ok {
			continue
		}
		if p.Addr().Is6() && e.MTU < minMTU6 {
			r.add(t.Pos, "mtu must be at least %d for IPv6", minMTU6)
		}
		e.Addresses = append(e.Addresses, p)
	}
	return e
}

// plug finds what an end is in, and takes its interface name there.
func (r *resolver) plug(e *Endpoint, used map[string]claim) {
	s, b := r.nodes[e.Node], r.bridges[e.Node]
	if e.AcceptRA && (e.Node == Host || b != nil && s == nil) {
		r.add(e.Pos, "accept_ra is for an interface of a node")
	}
	switch {
	case e.Node == Host:
	case r.inactive[e.Node] != nil:
		return
	case r.groups[e.Node] != nil:
		r.add(e.Pos, "%s", r.groups[e.Node].ambiguous(e.Node))
		return
	case s != nil && b != nil:
		r.add(e.Pos, "%q is both a node and a bridge; a link can't tell which", e.Node)
		return
	case s != nil:
		s.linked = true
	case b != nil:
		e.Bridge = true
		b.ports++
		if len(e.Addresses) > 0 {
			r.add(e.Pos, "an end on a bridge is a port and takes no address")
		}
	default:
		known := func() []string { return append(append(r.nodeNames(), r.bridgeNames()...), Host) }
		r.add(e.Pos, "there is no node or bridge %q%s", e.Node, r.near(e.Node, known))
		return
	}
	if e.Interface == "" {
		return
	}
	if !r.checkInterface(e.Pos, e.Interface) {
		return
	}
	key := e.Node + ":" + e.Interface
	if c, twice := used[key]; twice {
		r.add(e.Pos, "endpoint %s is used twice, first in %s", key, line(c.pos))
		return
	}
	used[key] = claim{e.Pos, key}
	if s != nil {
		r.claimInterface(s, r.node(s), e.Pos, e.Interface)
		return
	}
	if b != nil {
		r.claimPort(r.bridge(b), e.Pos, e.Interface, "a link of "+e.Node)
		return
	}
	r.claimHost(e.Pos, e.Interface, "a link of "+e.Node)
}

// linkConflicts checks the ends of a link together.
func (r *resolver) linkConflicts(l Link) {
	a, b := l.Ends[0], l.Ends[1]
	if a.Bridge && b.Bridge && a.Node == b.Node {
		r.add(b.Pos, "both ends are ports of bridge %s: a loop", a.Node)
	}
	hostSide := func(e Endpoint) bool { return e.Bridge || e.Node == Host }
	if hostSide(a) && hostSide(b) && (a.Interface == "" || b.Interface == "") {
		r.add(l.Pos, "a link without a node needs an interface at both ends")
	}
	taken := map[netip.Addr]bool{}
	for _, e := range l.Ends {
		for _, p := range e.Addresses {
			if taken[p.Addr()] {
				r.add(e.Pos, "address %s is at both ends, or twice", p.Addr())
			}
			taken[p.Addr()] = true
		}
		s := r.nodes[e.Node]
		if s == nil || e.Bridge {
			continue
		}
		if n := r.node(s); n.Network != NetworkOwn {
			r.add(e.Pos, "a link excludes network_mode %s of %s", s.raw.NetworkMode.Value, e.Node)
		}
	}
}
