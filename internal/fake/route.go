package fake

import (
	"net/netip"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// route is an entry of a routing table; Link of the embedded one is left empty.
type route struct {
	kernel.Route
	link *link
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
	if r.Table == 0 {
		r.Table = kernel.TableMain
	}
	if r.Metric == 0 && r.Dst.Addr().Is6() {
		r.Metric = metricIPv6
	}
	if !r.Dst.IsValid() || r.Dst != r.Dst.Masked() || r.Via.IsValid() && r.Via.Is4() != r.Dst.Addr().Is4() {
		return syscall.EINVAL
	}
	var out *link
	if r.Link != "" {
		if out = s.link(r.Link); out == nil {
			return syscall.ENODEV
		}
	}
	if r.Via.IsValid() {
		if out, err = s.gateway(r.Via, out); err != nil {
			return err
		}
	}
	switch {
	case out == nil:
		return syscall.ENODEV
	case !out.up: // with a gateway, that was out of reach already
		return syscall.ENETDOWN
	}
	r.Link, r.Type = "", "unicast"
	for _, x := range s.routes {
		if sameRoute(x.Route, r) && (r.Dst.Addr().Is4() || x.Protocol != protocolKernel) {
			x.Route, x.link = r, out
			return nil
		}
	}
	s.routes = append(s.routes, &route{r, out})
	return nil
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

// deleteRoute removes the first that matches; metric 0 matches any, as in the kernel.
func (m *Machine) deleteRoute(o kernel.RouteDelete) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return errAbsent
	}
	at := slices.IndexFunc(s.routes, func(r *route) bool {
		return r.Dst == o.Dst && (o.Table == 0 && r.Table == kernel.TableMain || r.Table == o.Table) &&
			(o.Metric == 0 || r.Metric == o.Metric) && (!o.Via.IsValid() || r.Via == o.Via) &&
			(o.Link == "" || r.link.name == o.Link)
	})
	if at < 0 {
		return errAbsent
	}
	s.routes = slices.Delete(s.routes, at, at+1)
	return nil
}
