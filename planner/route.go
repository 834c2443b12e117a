package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// route is an entry of a node's routing table.
type route struct {
	node string
	op   kernel.RouteReplace
	// links are those that it leads out by; none of a route that leads nowhere.
	links []ID
	// covers are, for each way, the addresses that make its next hop reachable, or of one that needs none, all of IPv4 on its link: the
	// kernel drops the route with the last.
	covers [][]ID
	// source is the address that it has the node's packets come from; the zero ID for none.
	source ID
	// members are its links' places in VRFs: the route goes, or loses a way, when one joins or leaves.
	members []ID
}

var routeKind = Kind{Name: "route", Desire: desireRoutes, Observe: observeRoutes}

func desireRoutes(w *Want) []Resource {
	var out []Resource
	t := w.Topology
	bridges := bridgesByName(t)
	vrfs := memberOf(w.of(memberKind))
	for _, n := range t.Nodes {
		if n.Network != spec.NetworkOwn {
			continue
		}
		in := w.inside(n)
		addrs := addressesOf(n, in)
		add := func(op kernel.RouteReplace) {
			op.Netns = n.Netns
			out = append(out, newRoute(n.Name, op, addrs, vrfs))
		}
		down := downIn(in)
		stated := map[string]bool{}
		for _, r := range n.Routes {
			op, up := withoutDown(statedRoute(r, addrs), down)
			if !up {
				continue
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

// statedRoute is a route of the file, with the interfaces that reach its next hops.
func statedRoute(r spec.Route, addrs []address) kernel.RouteReplace {
	op := kernel.RouteReplace{
		Dst: r.Dst, Via: r.Via, Link: r.Interface, Metric: r.Metric, Table: r.Table, Type: r.Type,
		RouteMore: kernel.RouteMore{Src: r.Src, MTU: r.MTU, OnLink: r.OnLink},
	}
	if op.Link == "" {
		op.Link = reaches(addrs, r.Via)
	}
	if op.Table == 0 {
		op.Table = kernel.TableMain
	}
	for _, h := range r.NextHops {
		w := kernel.Way{Via: h.Via, Link: h.Interface, Weight: h.Weight, OnLink: r.OnLink}
		if w.Link == "" {
			w.Link = reaches(addrs, h.Via)
		}
		op.Ways = append(op.Ways, w)
	}
	if op.Ways != nil {
		op.OnLink = false
		kernel.SortWays(op.Ways)
	}
	return op
}

// downIn lists the interfaces of a node that the file wants down.
func downIn(in inside) map[string]bool {
	down := map[string]bool{}
	for _, e := range in.ends {
		if !e.Up {
			down[e.Interface] = true
		}
	}
	for _, i := range in.interfaces {
		if !i.Up {
			down[i.Name] = true
		}
	}
	return down
}

// withoutDown leaves out the ways by interfaces that are down: the kernel takes none, and drops those that it has. Not up: none is left.
func withoutDown(op kernel.RouteReplace, down map[string]bool) (_ kernel.RouteReplace, up bool) {
	if op.Ways == nil {
		return op, !down[op.Link]
	}
	op.Ways = slices.DeleteFunc(op.Ways, func(w kernel.Way) bool { return down[w.Link] })
	switch len(op.Ways) {
	case 0:
		return op, false
	case 1:
		op.Via, op.Link, op.OnLink, op.Ways = op.Ways[0].Via, op.Ways[0].Link, op.Ways[0].OnLink, nil
	}
	return op, true
}

// observeRoutes lists the routes of the project's nodes over topo's interfaces, and to nowhere, that topo or a
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
			reject := slices.Contains(kernel.RejectTypes, r.Type)
			if !reject && (r.Type != "unicast" || !managed[r.Link] && !slices.ContainsFunc(r.Ways, func(w kernel.Way) bool { return managed[w.Link] })) {
				continue
			}
			switch r.Protocol {
			case kernel.Protocol, protoBoot, protoStatic:
			default:
				continue
			}
			op := kernel.RouteReplace{Netns: n.Name, Dst: r.Dst, Via: r.Via, Link: r.Link, Metric: r.Metric, Table: r.Table, RouteMore: r.RouteMore}
			if reject {
				op.Type = r.Type
			}
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
	r := route{node: node, op: op}
	for _, w := range r.ways() {
		link := ID{"link", node + ":" + w.Link}
		for _, a := range addrs {
			if a.iface == w.Link {
				link = a.link // a bridge in the node, where it is one
			}
		}
		r.links = append(r.links, link)
		if member := vrfs[link]; member != (ID{}) {
			r.members = append(r.members, member)
		}
		var covers, four []ID
		for _, a := range addrs {
			if a.iface != w.Link {
				continue
			}
			if w.Via.IsValid() && a.prefix.Masked().Contains(w.Via) {
				covers = append(covers, a.ID())
			}
			if a.prefix.Addr().Is4() {
				four = append(four, a.ID())
			}
		}
		if covers == nil && op.Dst.Addr().Is4() && op.Ways == nil {
			covers = four
		}
		if covers != nil {
			r.covers = append(r.covers, covers)
		}
	}
	for _, a := range addrs {
		if op.Src.IsValid() && a.prefix.Addr() == op.Src {
			r.source = a.ID()
		}
	}
	return r
}

// ways are the next hops, be it one or several; none of a route that leads nowhere.
func (r route) ways() []kernel.Way {
	switch {
	case r.op.Type != "":
		return nil
	case r.op.Ways != nil:
		return r.op.Ways
	}
	return []kernel.Way{{Via: r.op.Via, Link: r.op.Link, Weight: 1, OnLink: r.op.OnLink}}
}

// addressesOf lists all stated and allocated addresses of a node.
func addressesOf(n spec.Node, in inside) []address {
	var out []address
	for _, b := range in.bridges {
		for _, s := range b.Subnets {
			if s.Gateway.IsValid() {
				out = append(out, bridgeAddress(b, s))
			}
		}
	}
	add := func(iface string, prefixes []netip.Prefix) {
		for _, p := range prefixes {
			out = append(out, nodeAddress(n.Netns, n.Name, iface, p))
		}
	}
	for _, a := range n.Attachments {
		add(a.Interface, a.Addresses)
	}
	for _, e := range in.ends {
		add(e.Interface, e.Addresses)
	}
	for _, i := range in.interfaces {
		add(i.Name, i.Addresses)
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

func (r route) ID() ID { return ID{"route", routeName(r.node, r.op)} }

// In: an IPv4 route with several ways goes with the link of any of them, an IPv6 one keeps the others (fib6_ifdown), and has to be
// removed itself.
func (r route) In() []ID {
	if len(r.links) == 0 || len(r.links) > 1 && r.op.Dst.Addr().Is6() {
		return []ID{{"netns", r.node}}
	}
	return r.links
}

func (r route) Needs() []ID {
	needs := slices.Concat([]ID{{"netns", r.node}}, r.links, r.members)
	if r.source != (ID{}) {
		needs = append(needs, r.source)
	}
	return append(needs, slices.Concat(r.covers...)...)
}

func (r route) Attrs() []Attr {
	kind := r.op.Type
	if kind == "" {
		kind = "unicast"
	}
	via, iface := "none", "none"
	if ways := r.ways(); len(ways) > 0 {
		var hops, links []string
		for _, w := range ways {
			hops, links = append(hops, hopText(w)), append(links, w.Link)
		}
		via, iface = strings.Join(hops, ", "), strings.Join(links, ", ")
	}
	source, mtu := "any", "the link's"
	if r.op.Src.IsValid() {
		source = r.op.Src.String()
	}
	if r.op.MTU != 0 {
		mtu = strconv.Itoa(r.op.MTU)
	}
	return []Attr{{"type", kind}, {"via", via}, {"interface", iface}, {"src", source}, {"mtu", mtu}}
}

// hopText is a next hop in words.
func hopText(w kernel.Way) string {
	if !w.Via.IsValid() && w.Weight == 1 {
		return "none"
	}
	return w.String()
}

func (r route) Detail() string {
	var text string
	switch ways := r.ways(); {
	case r.op.Type != "":
		return r.op.Type
	case len(ways) == 1 && !ways[0].Via.IsValid():
		text = "dev " + ways[0].Link
	default:
		var hops []string
		for _, w := range ways {
			hops = append(hops, w.String())
		}
		text = "via " + strings.Join(hops, ", ")
	}
	if r.op.Src.IsValid() {
		text += " src " + r.op.Src.String()
	}
	if r.op.MTU != 0 {
		text += " mtu " + strconv.Itoa(r.op.MTU)
	}
	return text
}

func (r route) Claims() []string { return []string{"route " + r.op.Netns + " " + r.ID().Name} }

func (r route) Create() []kernel.Op { return []kernel.Op{r.op} }
func (r route) Delete() []kernel.Op { return []kernel.Op{r.op.Delete()} }

func (r route) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }

// Lost: routes go with the last address that reaches a next hop of theirs, or lose that way; with the address that they have packets
// come from, or lose that; and of several links, IPv6 loses one. RouteReplace makes good all of it.
func (r route) Lost(gone func(ID) bool) (ID, Action, bool) {
	for _, id := range slices.Concat(r.members, r.links, []ID{r.source}) {
		if id != (ID{}) && gone(id) {
			return id, Create, true
		}
	}
	for _, covers := range r.covers {
		if !slices.ContainsFunc(covers, func(id ID) bool { return !gone(id) }) {
			return covers[0], Create, true
		}
	}
	return ID{}, "", false
}

// routeNeeds are the options of the kernel's build that routes need, where an embedded one may lack them.
func routeNeeds(t *spec.Topology, need func(pos spec.Pos, what, option string)) {
	for _, n := range t.Nodes {
		for _, r := range n.Routes {
			if r.Table != kernel.TableMain {
				need(r.Pos, "several routing tables", tablesOption(r.Dst.Addr()))
			}
			if len(r.NextHops) > 0 && r.Dst.Addr().Is4() {
				need(r.Pos, "routes with several next hops", "IP_ROUTE_MULTIPATH")
			}
		}
	}
}

func tablesOption(a netip.Addr) string {
	if a.Is4() {
		return "IP_MULTIPLE_TABLES"
	}
	return "IPV6_MULTIPLE_TABLES"
}
