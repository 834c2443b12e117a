package spec

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// tableMain is the main routing table, and tableLocal the kernel's own (ip-route(8)).
const tableMain, tableLocal = 254, 255

// defaultMetric6 is what the kernel makes of no metric of an IPv6 route (IP6_RT_PRIO_USER).
const defaultMetric6 = 1024

// routeKey is what tells routes apart in the kernel.
type routeKey struct {
	dst    netip.Prefix
	metric int
	table  int
}

// readRoutes reads the routes of a node.
func (r *resolver) readRoutes(s *nodeState, n *Node) {
	seen := map[routeKey]Pos{}
	for _, raw := range s.raw.Routes {
		if !raw.Set || !raw.To.Set || raw.Interface.Bad || raw.Type.Bad {
			continue
		}
		rt, ok := r.route(s, n, raw)
		if !ok {
			continue
		}
		key := routeKey{rt.Dst, rt.Metric, rt.Table}
		if rt.Dst.Addr().Is6() && rt.Metric == 0 {
			key.metric = defaultMetric6
		}
		if first, twice := seen[key]; twice {
			r.add(rt.Pos, "route to %s is there twice, first in %s; give one another metric", raw.To.Value, line(first))
			continue
		}
		seen[key] = rt.Pos
		n.Routes = append(n.Routes, rt)
	}
	for i := range n.Routes {
		rt := &n.Routes[i]
		for _, h := range rt.NextHops {
			if h.Via.IsValid() && !rt.OnLink {
				r.checkNextHop(s, n, h)
			}
		}
		if len(rt.NextHops) == 1 {
			rt.Via, rt.Interface, rt.NextHops = rt.NextHops[0].Via, rt.NextHops[0].Interface, nil
		}
	}
}

// route reads a route, with all its next hops, be it but one, in NextHops.
func (r *resolver) route(s *nodeState, n *Node, raw route) (Route, bool) {
	rt := Route{
		Pos:    raw.Pos,
		Metric: raw.Metric.Value,
		Table:  raw.Table.or(tableMain),
		MTU:    raw.MTU.Value,
		OnLink: raw.Onlink.Value,
	}
	hops, ok := r.nextHops(raw)
	if !ok {
		return rt, false
	}
	var via netip.Addr
	if len(hops) > 0 {
		via = hops[0].Via
	}
	if raw.Src.Set {
		if rt.Src, ok = r.addr(raw.Src.Pos, raw.Src.Value, "src"); !ok {
			return rt, false
		}
	}
	if !via.IsValid() {
		via = rt.Src // default is of that family, then
	}
	if rt.Dst, ok = r.destination(raw.To, via); !ok {
		return rt, false
	}
	switch {
	case rt.Table == tableLocal:
		r.add(raw.Table.Pos, "table %d is the kernel's own", tableLocal)
		return rt, false
	case raw.Type.Set && raw.Type.Value != unicast:
		rt.Type = raw.Type.Value
		return rt, r.leadsNowhere(raw)
	case len(hops) == 0:
		r.add(raw.Pos, "a route needs via or interface")
		return rt, false
	case rt.Src.IsValid() && rt.Src.Is4() != rt.Dst.Addr().Is4():
		r.add(raw.Src.Pos, "src %s is not of the family of %s", rt.Src, rt.Dst)
		return rt, false
	}
	for _, h := range hops {
		if !r.nextHop(s, n, rt, h) {
			return rt, false
		}
		rt.NextHops = append(rt.NextHops, h.NextHop)
	}
	r.checkSource(s, n, raw.Src, rt)
	if rt.MTU != 0 && rt.MTU < minMTU6 && rt.Dst.Addr().Is6() {
		r.add(raw.MTU.Pos, "mtu must be at least %d for IPv6", minMTU6)
	}
	return rt, true
}

// unicast is the type of a route that states none.
const unicast = "unicast"

// leadsNowhere notes what a route to nowhere can't have.
func (r *resolver) leadsNowhere(raw route) bool {
	ok := true
	var hops origin
	if len(raw.Nexthops) > 0 {
		hops = origin{Pos: raw.Nexthops[0].Pos, Set: true}
	}
	for _, key := range []struct {
		name string
		origin
	}{
		{"via", raw.Via.origin},
		{"interface", raw.Interface.origin},
		{"src", raw.Src.origin},
		{"mtu", raw.MTU.origin},
		{"onlink", raw.Onlink.origin},
		{"nexthops", hops},
	} {
		if key.Set {
			r.add(key.Pos, "%s has no meaning for a route of type %s", key.name, raw.Type.Value)
			ok = false
		}
	}
	return ok
}

// statedHop is a next hop, and where its interface stands.
type statedHop struct {
	NextHop
	iface Pos
}

// nextHops reads those of either form: via and interface, or nexthops.
func (r *resolver) nextHops(raw route) (hops []statedHop, ok bool) {
	read := func(pos Pos, via, iface text, weight int) bool {
		h := statedHop{NextHop{Pos: pos, Interface: iface.Value, Weight: weight}, iface.Pos}
		if via.Set {
			h.Pos = via.Pos
			if h.Via, ok = r.addr(via.Pos, via.Value, "via"); !ok {
				return false
			}
		}
		hops = append(hops, h)
		return true
	}
	if len(raw.Nexthops) > 0 {
		if raw.Via.Set || raw.Interface.Set {
			r.add(raw.Nexthops[0].Pos, "nexthops take the place of via and interface")
			return nil, false
		}
		for _, h := range raw.Nexthops {
			switch {
			case !h.Set || h.Via.Bad || h.Interface.Bad:
				return nil, false
			case !h.Via.Set && !h.Interface.Set:
				r.add(h.Pos, "a next hop needs via or interface")
				return nil, false
			case !read(h.Pos, h.Via, h.Interface, h.Weight.or(1)):
				return nil, false
			}
		}
		return hops, true
	}
	if raw.Via.Bad || raw.Via.Scalar.Bad || len(raw.Via.all()) < len(raw.Via.List) {
		return nil, false
	}
	for _, via := range raw.Via.all() {
		if !read(via.Pos, via, raw.Interface, 1) {
			return nil, false
		}
	}
	if len(hops) == 0 && raw.Interface.Set {
		read(raw.Pos, text{}, raw.Interface, 1)
	}
	return hops, true
}

// nextHop checks one next hop by itself.
func (r *resolver) nextHop(s *nodeState, n *Node, rt Route, h statedHop) bool {
	twice := slices.ContainsFunc(rt.NextHops, func(o NextHop) bool { return o.Via == h.Via && o.Interface == h.Interface })
	switch {
	case h.Via.IsValid() && h.Via.Is4() != rt.Dst.Addr().Is4():
		r.add(h.Pos, "via %s is not of the family of %s", h.Via, rt.Dst)
	case h.Interface != "" && h.Interface != "lo" && !s.vague && !hasInterface(s, h.Interface):
		r.add(h.iface, "%s has no interface %q%s", n.Name, h.Interface, s.nearInterface(h.Interface))
	case rt.OnLink && (h.Interface == "" || !h.Via.IsValid()):
		r.add(h.Pos, "onlink needs via and interface")
	case twice:
		r.add(h.Pos, "a next hop is there twice; give it more weight")
	default:
		return true
	}
	return false
}

// checkSource checks that src is an address of the node: the kernel takes no other. One that is allocated can't be known.
func (r *resolver) checkSource(s *nodeState, n *Node, at text, rt Route) {
	if !rt.Src.IsValid() || s.vague {
		return
	}
	var known []string
	for _, p := range n.stated(s) {
		if p.Addr() == rt.Src {
			return
		}
		known = append(known, p.Addr().String())
	}
	slices.Sort(known)
	if len(known) == 0 {
		r.add(at.Pos, "src %s is not stated as an address of %s", rt.Src, n.Name)
		return
	}
	r.add(at.Pos, "src %s is not stated as an address of %s, which has %s", rt.Src, n.Name, strings.Join(known, ", "))
}

// stated are the addresses of a node that the file states.
func (n *Node) stated(s *nodeState) []netip.Prefix {
	var stated []netip.Prefix
	for _, a := range n.Attachments {
		stated = append(stated, a.Addresses...)
	}
	for _, e := range s.ends {
		stated = append(stated, e.Addresses...)
	}
	return stated
}

func hasInterface(s *nodeState, name string) bool {
	_, ok := s.names[name]
	return ok
}

// nearInterface suggests an interface of the node that is called nearly so.
func (s *nodeState) nearInterface(name string) string {
	return suggest(name, slices.Sorted(maps.Keys(s.names)))
}

// destination reads default, a CIDR or an address. default is of the family of its next hop.
func (r *resolver) destination(to text, via netip.Addr) (netip.Prefix, bool) {
	if to.Value == "default" {
		if via.Is6() {
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0), true
		}
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), true
	}
	if a, err := netip.ParseAddr(to.Value); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	if !strings.Contains(to.Value, "/") {
		r.add(to.Pos, "to %q is not a CIDR like 10.0.0.0/24%s", to.Value, suggest(to.Value, []string{"default"}))
		return netip.Prefix{}, false
	}
	return r.cidr(to, "to")
}

// checkNextHop checks that the node has an interface on which via is a neighbour: the kernel refuses the
// route otherwise ("Nexthop has invalid gateway"). Where a subnet is allocated nothing can be said yet.
func (r *resolver) checkNextHop(s *nodeState, n *Node, rt NextHop) {
	if s.vague {
		return
	}
	pos := rt.Pos
	if rt.Via.Is6() && rt.Via.IsLinkLocalUnicast() {
		if rt.Interface == "" {
			r.add(pos, "via %s is a link-local address, and needs an interface", rt.Via)
		}
		return
	}
	reach, certain := r.reach(s, n, rt.Interface)
	if !certain {
		return
	}
	var words []string
	for _, p := range reach {
		if p.Contains(rt.Via) {
			return
		}
		words = append(words, p.String())
	}
	switch {
	case len(words) == 0 && rt.Interface != "":
		r.add(pos, "via %s can't be reached: %s has no address", rt.Via, rt.Interface)
	case len(words) == 0:
		r.add(pos, "via %s can't be reached: %s has no address", rt.Via, n.Name)
	default:
		slices.Sort(words)
		r.add(pos, "via %s can't be reached: it is not in %s", rt.Via, strings.Join(slices.Compact(words), ", "))
	}
}

// reach lists what the node's interfaces (or one of them) are directly on. certain is false where that depends on
// an allocation.
func (r *resolver) reach(s *nodeState, n *Node, iface string) (reach []netip.Prefix, certain bool) {
	certain = true
	for _, a := range n.Attachments {
		if iface != "" && a.Interface != iface {
			continue
		}
		state := r.bridges[a.Bridge]
		b := r.bridge(state)
		if state.vague || b.allocated() {
			certain = false
		}
		for _, p := range a.Addresses {
			reach = append(reach, p.Masked())
		}
		if len(a.Addresses) == 0 {
			for _, sub := range b.Subnets {
				if sub.Prefix.IsValid() {
					reach = append(reach, sub.Prefix)
				}
			}
		}
	}
	for _, b := range r.bridgesOf(n) {
		for _, sub := range b.Subnets {
			if sub.Prefix.IsValid() && !sub.NoGateway && (iface == "" || iface == b.Interface) {
				reach = append(reach, sub.Prefix)
			}
		}
	}
	for _, e := range s.ends {
		if iface != "" && e.Interface != iface {
			continue
		}
		for _, p := range e.Addresses {
			reach = append(reach, p.Masked())
		}
	}
	for _, rt := range n.Routes {
		for _, h := range append(rt.NextHops[:len(rt.NextHops):len(rt.NextHops)], NextHop{Via: rt.Via, Interface: rt.Interface}) {
			if !h.Via.IsValid() && h.Interface != "" && rt.Dst.Bits() > 0 && (iface == "" || h.Interface == iface) {
				reach = append(reach, rt.Dst)
			}
		}
	}
	return reach, certain
}
