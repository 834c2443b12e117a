package planner

import (
	"fmt"
	"net/netip"

	"topo/internal/kernel"
	"topo/spec"
)

// route is an entry of a node's routing table.
type route struct {
	node string
	op   kernel.RouteReplace
	link ID
	// covers are the addresses that make its next hop reachable: the kernel drops the route with the last.
	covers []ID
	// member is the interface's place in a VRF, zero for none: the route goes when it joins or leaves one.
	member ID
}

var routeKind = Kind{Name: "route", Desire: desireRoutes, Observe: observeRoutes}

func desireRoutes(w *Want) []Resource {
	var out []Resource
	t := w.Topology
	bridges := bridgesByName(t)
	vrfs := memberOf(desireMembers(w))
	for _, n := range t.Nodes {
		if n.Network != spec.NetworkOwn {
			continue
		}
		addrs := addressesOf(t, n)
		add := func(op kernel.RouteReplace) {
			op.Netns = n.Netns
			out = append(out, newRoute(n.Name, op, addrs, vrfs))
		}
		stated := map[string]bool{}
		for _, r := range n.Routes {
			op := kernel.RouteReplace{Dst: r.Dst, Via: r.Via, Link: r.Interface, Metric: r.Metric, Table: r.Table}
			if op.Link == "" {
				op.Link = reaches(addrs, r.Via)
			}
			if op.Table == 0 {
				op.Table = kernel.TableMain
			}
			add(op)
			stated[routeName(n.Name, op)] = true
		}
		for _, a := range n.Attachments {
			if !a.DefaultRoute {
				continue
			}
			for _, s := range bridges[a.Bridge].Subnets {
				if !s.Gateway.IsValid() {
					continue
				}
				op := kernel.RouteReplace{
					Dst: netip.PrefixFrom(unspecified(s.Gateway), 0), Via: s.Gateway, Link: a.Interface, Table: kernel.TableMain,
				}
				// A default route that the file states takes the place of the bridge's.
				if !stated[routeName(n.Name, op)] {
					stated[routeName(n.Name, op)] = true
					add(op)
				}
			}
		}
	}
	return out
}

// observeRoutes lists the routes of the project's nodes over topo's interfaces that topo or a
// person made (protocol topo, boot, static). Those of the kernel and of routing daemons are theirs.
func observeRoutes(h *Have) []Resource {
	var out []Resource
	vrfs := memberOf(observeMembers(h))
	for _, n := range h.Snapshot.Netns {
		node, ok := h.nodes[n.Name]
		if !ok {
			continue
		}
		managed := h.managed(n)
		var addrs []address
		for _, a := range n.Addrs {
			addrs = append(addrs, nodeAddress(n.Name, node, a.Link, a.Prefix))
		}
		for _, r := range n.Routes {
			if r.Type != "unicast" || !managed[r.Link] {
				continue
			}
			switch r.Protocol {
			case kernel.Protocol, protoBoot, protoStatic:
			default:
				continue
			}
			op := kernel.RouteReplace{Netns: n.Name, Dst: r.Dst, Via: r.Via, Link: r.Link, Metric: r.Metric, Table: r.Table}
			if r.Dst.Addr().Is6() && op.Metric == defaultMetric6 {
				op.Metric = 0
			}
			out = append(out, newRoute(node, op, addrs, vrfs))
		}
	}
	return out
}

const (
	protoBoot   = 3 // RTPROT_BOOT, what ip route add writes
	protoStatic = 4 // RTPROT_STATIC
	// defaultMetric6 is what the kernel makes of no metric (IP6_RT_PRIO_USER).
	defaultMetric6 = 1024
)

func newRoute(node string, op kernel.RouteReplace, addrs []address, vrfs map[ID]ID) route {
	if op.Dst.Addr().Is6() && op.Metric == defaultMetric6 {
		op.Metric = 0
	}
	r := route{node: node, op: op, link: ID{"link", node + ":" + op.Link}}
	r.member = vrfs[r.link]
	for _, a := range addrs {
		if a.iface == op.Link {
			r.link = a.link // a bridge in the node, where it is one
		}
		if a.iface == op.Link && op.Via.IsValid() && a.prefix.Masked().Contains(op.Via) {
			r.covers = append(r.covers, a.ID())
		}
	}
	return r
}

// addressesOf lists all stated and allocated addresses of a node.
func addressesOf(t *spec.Topology, n spec.Node) []address {
	var out []address
	for _, b := range t.Bridges {
		for _, s := range b.Subnets {
			if b.Node == n.Name && s.Gateway.IsValid() {
				out = append(out, bridgeAddress(b, s))
			}
		}
	}
	for _, a := range n.Attachments {
		for _, p := range a.Addresses {
			out = append(out, nodeAddress(n.Netns, n.Name, a.Interface, p))
		}
	}
	for _, l := range t.Links {
		for _, e := range l.Ends {
			if e.Node != n.Name || e.Bridge {
				continue
			}
			for _, p := range e.Addresses {
				out = append(out, nodeAddress(n.Netns, n.Name, e.Interface, p))
			}
		}
	}
	for _, i := range t.Interfaces {
		if i.Node != n.Name {
			continue
		}
		for _, p := range i.Addresses {
			out = append(out, nodeAddress(n.Netns, n.Name, i.Name, p))
		}
	}
	return out
}

// reaches is the interface with an address in whose subnet a next hop is.
func reaches(addrs []address, via netip.Addr) string {
	for _, a := range addrs {
		if via.IsValid() && a.prefix.Masked().Contains(via) {
			return a.iface
		}
	}
	return ""
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func routeName(node string, op kernel.RouteReplace) string {
	dst := op.Dst.String()
	switch {
	case op.Dst.Bits() == 0 && op.Dst.Addr().Is4():
		dst = "default"
	case op.Dst.Bits() == 0:
		dst = "default-ipv6"
	}
	name := node + ":" + dst
	if op.Metric != 0 {
		name += fmt.Sprintf(" metric %d", op.Metric)
	}
	if op.Table != kernel.TableMain && op.Table != 0 {
		name += fmt.Sprintf(" table %d", op.Table)
	}
	return name
}

func (r route) ID() ID      { return ID{"route", routeName(r.node, r.op)} }
func (r route) In() []ID    { return []ID{r.link} }
func (r route) Needs() []ID { return append([]ID{r.link, r.member}, r.covers...) }

func (r route) Attrs() []Attr {
	via := "none"
	if r.op.Via.IsValid() {
		via = r.op.Via.String()
	}
	return []Attr{{"via", via}, {"interface", r.op.Link}}
}

func (r route) Detail() string {
	if r.op.Via.IsValid() {
		return "via " + r.op.Via.String()
	}
	return "dev " + r.op.Link
}

func (r route) Claims() []string { return []string{"route " + r.op.Netns + " " + r.ID().Name} }

func (r route) Create() []kernel.Op { return []kernel.Op{r.op} }
func (r route) Delete() []kernel.Op { return []kernel.Op{kernel.RouteDelete(r.op)} }

func (r route) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }

// Lost: routes go with the last address that reaches their next hop.
func (r route) Lost(gone func(ID) bool) (ID, Action, bool) {
	if r.member != (ID{}) && gone(r.member) {
		return r.member, Create, true
	}
	for _, id := range r.covers {
		if !gone(id) {
			return ID{}, "", false
		}
	}
	if len(r.covers) == 0 {
		return ID{}, "", false
	}
	return r.covers[0], Create, true
}
