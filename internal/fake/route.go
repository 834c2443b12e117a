package fake

import (
	"cmp"
	"net/netip"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// route is an entry of a routing table; Link of the embedded one is left empty.
type route struct {
	kernel.Route
	link *link // nil: it has ways, or leads nowhere
	// ways are the links of the embedded one's Ways, in that order.
	ways []*link
}

const (
	protocolKernel   = 2    // RTPROT_KERNEL
	metricIPv6       = 1024 // IP6_RT_PRIO_USER: what none becomes
	metricIPv6Prefix = 256  // IP6_RT_PRIO_ADDRCONF
)

// connect adds the route to the subnet of an address that is on an up link. Those of lo
// are in the local table, which nobody reads.
func (l *link) connect(p netip.Prefix) {
	metric := 0
	switch {
	case l.kind == "loopback":
		return
	case p.Addr().Is6():
		metric = metricIPv6Prefix
	case p.Bits() == 32:
		return
	}
	r := kernel.Route{Dst: p.Masked(), Metric: metric, Table: kernel.TableMain, Protocol: protocolKernel, Type: "unicast"}
	if p.Addr().Is4() {
		r.Src = p.Addr()
	}
	if slices.ContainsFunc(l.space.routes, func(x *route) bool { return x.link == l && sameRoute(x.Route, r) }) {
		return
	}
	l.space.routes = append(l.space.routes, &route{Route: r, link: l})
}

func (l *link) disconnect(subnet netip.Prefix) {
	l.space.routes = slices.DeleteFunc(l.space.routes, func(r *route) bool {
		return r.link == l && r.Dst == subnet && r.Protocol == protocolKernel
	})
}

// sameRoute: what RTM_NEWROUTE with NLM_F_REPLACE replaces.
func sameRoute(a, b kernel.Route) bool {
	return a.Dst == b.Dst && a.Metric == b.Metric && a.Table == b.Table
}

func (m *Machine) replaceRoute(netns string, r kernel.Route) error {
	s, err := m.find(netns)
	if err != nil {
		return err
	}
	r.Table = cmp.Or(r.Table, kernel.TableMain)
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		r.Metric = metricIPv6
	}
	if !r.Dst.IsValid() || r.Dst != r.Dst.Masked() || r.Via.IsValid() && r.Via.Is4() != r.Dst.Addr().Is4() {
		return syscall.EINVAL
	}
	if r.Src.IsValid() && (r.Src.Is4() != r.Dst.Addr().Is4() || !s.has(r.Src)) {
		return syscall.EINVAL
	}
	made := &route{Route: r}
	made.Link, made.Type = "", "unicast"
	switch {
	case r.Type != "" && r.Type != "unicast":
		made.Type = r.Type
		if r.Dst.Addr().Is6() {
			made.link = s.links[0] // lo
		}
	case len(r.Ways) > 0:
		if made.ways, err = s.waysOf(r); err != nil {
			return err
		}
		made.Ways = slices.Clone(r.Ways)
		for i := range made.Ways {
			made.Ways[i].Link = ""
		}
	default:
		if made.link, err = s.out(kernel.Way{Via: r.Via, Link: r.Link, OnLink: r.OnLink}); err != nil {
			return err
		}
	}
	for _, x := range s.routes {
		if sameRoute(x.Route, r) && (r.Dst.Addr().Is4() || x.Protocol != protocolKernel) {
			*x = *made
			return nil
		}
	}
	s.routes = append(s.routes, made)
	return nil
}

// waysOf finds the links of a route's next hops.
func (s *space) waysOf(r kernel.Route) ([]*link, error) {
	var links []*link
	for i, w := range r.Ways {
		if w.Weight < 1 || w.Weight > 256 {
			return nil, syscall.EINVAL
		}
		l, err := s.out(w)
		if err != nil {
			return nil, err
		}
		if r.Dst.Addr().Is6() && slices.Contains(r.Ways[:i], w) {
			return nil, syscall.EEXIST
		}
		links = append(links, l)
	}
	return links, nil
}

// out finds the link that leads to a next hop.
func (s *space) out(w kernel.Way) (out *link, err error) {
	if w.Link != "" {
		if out = s.link(w.Link); out == nil {
			return nil, syscall.ENODEV
		}
	}
	if w.Via.IsValid() && !w.OnLink {
		if out, err = s.gateway(w.Via, out); err != nil {
			return nil, err
		}
	}
	switch {
	case out == nil:
		return nil, syscall.ENODEV
	case !out.up: // with a gateway, that was out of reach already
		return nil, syscall.ENETDOWN
	}
	return out, nil
}

// has reports whether an address is one of the namespace's own.
func (s *space) has(a netip.Addr) bool {
	return slices.ContainsFunc(s.links, func(l *link) bool {
		return slices.ContainsFunc(l.addrs, func(x kernel.Addr) bool { return x.Prefix.Addr() == a })
	})
}

// unroute takes a family's routes off a link that is set down, or that has lost its last address of IPv4: those by it alone, and those
// of whose ways none is left.
func (l *link) unroute(is4 bool) {
	l.space.routes = slices.DeleteFunc(l.space.routes, func(r *route) bool {
		switch {
		case r.Dst.Addr().Is4() != is4:
			return false
		case r.ways == nil:
			return r.link == l
		}
		return slices.Contains(r.ways, l) && !slices.ContainsFunc(r.ways, func(x *link) bool { return x != l && x.up })
	})
}

// removeRoutes takes the routes off a link that goes. IPv4: a route with ways goes with any of them. IPv6: the others stay.
func (l *link) removeRoutes() {
	l.unroute(true)
	l.unroute(false)
	l.space.routes = slices.DeleteFunc(l.space.routes, func(r *route) bool { return r.Dst.Addr().Is4() && slices.Contains(r.ways, l) })
	for _, r := range l.space.routes {
		for i := len(r.ways) - 1; i >= 0; i-- {
			if r.ways[i] == l {
				r.ways, r.Ways = slices.Delete(r.ways, i, i+1), slices.Delete(r.Ways, i, i+1)
			}
		}
		if len(r.ways) == 1 {
			r.link, r.Via, r.OnLink = r.ways[0], r.Ways[0].Via, r.Ways[0].OnLink
			r.ways, r.Ways = nil, nil
		}
	}
}

// dropSources removes the IPv4 routes whose source is no address of the namespace any more (fib_sync_down_addr).
func (s *space) dropSources() {
	s.routes = slices.DeleteFunc(s.routes, func(r *route) bool {
		return r.Src.Is4() && r.Protocol != protocolKernel && !s.has(r.Src)
	})
}

// loseSource takes an IPv6 address that was deleted off the routes that have it for a source (rt6_remove_prefsrc). One that goes with
// its link stays there.
func (s *space) loseSource(a netip.Addr) {
	for _, r := range s.routes {
		if r.Src == a && a.Is6() {
			r.Src = netip.Addr{}
		}
	}
}

// fact is what a reading finds of a route.
func (r *route) fact() kernel.Route {
	f := r.Route
	if r.link != nil && !slices.Contains(kernel.RejectTypes, r.Type) {
		f.Link = r.link.name
	}
	f.Ways = slices.Clone(r.Ways)
	for i := range f.Ways {
		f.Ways[i].Link = r.ways[i].name
	}
	kernel.SortWays(f.Ways)
	return f
}

// gateway checks that a gateway is directly reachable, and finds the link.
func (s *space) gateway(via netip.Addr, out *link) (*link, error) {
	unreachable := syscall.ENETUNREACH
	if via.Is6() {
		unreachable = syscall.EHOSTUNREACH
		if via.IsLinkLocalUnicast() {
			if out == nil {
				return nil, syscall.EINVAL
			}
			return out, nil
		}
	}
	for _, l := range s.links {
		for _, a := range l.addrs {
			if a.Prefix.Addr() == via && via.Is6() { // Linux takes an IPv4 address of its own
				return nil, syscall.EINVAL
			}
		}
	}
	var best *route
	for _, r := range s.routes {
		if r.Table == kernel.TableMain && r.Dst.Contains(via) && (out == nil || r.link == out) &&
			(best == nil || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric) {
			best = r
		}
	}
	if best == nil || best.Via.IsValid() {
		return nil, unreachable
	}
	return best.link, nil
}

// deleteRoute removes the one of the lowest metric that matches. An IPv4 route matches metric 0 whatever its own is, as in the kernel.
func (m *Machine) deleteRoute(o kernel.RouteDelete) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return errAbsent
	}
	if o.Metric == 0 && o.Dst.Addr().Is6() {
		o.Metric = metricIPv6
	}
	at := -1
	for i, r := range s.routes {
		if r.Dst == o.Dst && r.Table == cmp.Or(o.Table, kernel.TableMain) && (o.Metric == 0 || r.Metric == o.Metric) &&
			(!o.Via.IsValid() || r.Via == o.Via) && (o.Link == "" || r.link != nil && r.link.name == o.Link) &&
			(at < 0 || r.Metric < s.routes[at].Metric) {
			at = i
		}
	}
	if at < 0 {
		return errAbsent
	}
	s.routes = slices.Delete(s.routes, at, at+1)
	return nil
}
