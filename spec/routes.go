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
	var vias []Pos // where each route's via stands
	for _, raw := range s.raw.Routes {
		if !raw.Set || !raw.To.Set || raw.Via.Bad || raw.Interface.Bad {
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
		vias = append(vias, raw.Via.Pos)
	}
	for i, rt := range n.Routes {
		if rt.Via.IsValid() {
			r.checkNextHop(s, n, vias[i], rt)
		}
	}
}

func (r *resolver) route(s *nodeState, n *Node, raw route) (Route, bool) {
	rt := Route{
		Pos:       raw.Pos,
		Interface: raw.Interface.Value,
		Metric:    raw.Metric.Value,
		Table:     raw.Table.or(tableMain),
	}
	ok := true
	if raw.Via.Set {
		rt.Via, ok = r.addr(raw.Via.Pos, raw.Via.Value, "via")
	}
	if !ok {
		return rt, false
	}
	if rt.Dst, ok = r.destination(raw.To, rt.Via); !ok {
		return rt, false
	}
	switch {
	case rt.Table == tableLocal:
		r.add(raw.Table.Pos, "table %d is the kernel's own", tableLocal)
		return rt, false
	case !raw.Via.Set && !raw.Interface.Set:
		r.add(raw.Pos, "a route needs via or interface")
		return rt, false
	case rt.Via.IsValid() && rt.Via.Is4() != rt.Dst.Addr().Is4():
		r.add(raw.Via.Pos, "via %s is not of the family of %s", rt.Via, rt.Dst)
		return rt, false
	case raw.Interface.Set && rt.Interface != "lo" && !s.vague && !hasInterface(s, rt.Interface):
		known := slices.Sorted(maps.Keys(s.names))
		r.add(raw.Interface.Pos, "%s has no interface %q%s", n.Name, rt.Interface, suggest(rt.Interface, known))
		return rt, false
	}
	return rt, true
}

func hasInterface(s *nodeState, name string) bool {
	_, ok := s.names[name]
	return ok
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
func (r *resolver) checkNextHop(s *nodeState, n *Node, pos Pos, rt Route) {
	if s.vague {
		return
	}
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
		if !rt.Via.IsValid() && rt.Dst.Bits() > 0 && (iface == "" || rt.Interface == iface) {
			reach = append(reach, rt.Dst)
		}
	}
	return reach, certain
}
