package kernel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// RouteMore is what few routes have (ip-route(8)).
type RouteMore struct {
	// Src is the address that the node's own packets come from by this route; invalid: the kernel chooses. The kernel's
	// own routes have one, too.
	Src netip.Addr
	// MTU is the largest packet by this route, in bytes; 0: the link's.
	MTU int
	// OnLink: the next hop is taken to be on the link, whatever the addresses say.
	OnLink bool
	// Ways are the next hops of a route that has several, sorted; Via, Link and OnLink are not set then. A flow takes one of
	// them, by its hash and their weights.
	Ways []Way
}

// Way is one of several next hops.
type Way struct {
	Via    netip.Addr // invalid: directly on the link
	Link   string
	Weight int // 1 to 256
	OnLink bool
}

// RejectTypes are the types of routes that lead nowhere: the packet is dropped, answered with "host unreachable" or
// "prohibited", or looked up in the next table as if this one had no route (throw).
var RejectTypes = []string{"blackhole", "unreachable", "prohibit", "throw"}

// SortWays puts ways in the order in which readings have them: the kernel's is that of their making.
func SortWays(ways []Way) {
	slices.SortFunc(ways, func(a, b Way) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), a.Via.Compare(b.Via), cmp.Compare(a.Weight, b.Weight))
	})
}

// Delete removes the route.
func (o RouteReplace) Delete() RouteDelete {
	return RouteDelete{Netns: o.Netns, Dst: o.Dst, Via: o.Via, Link: o.Link, Metric: o.Metric, Table: o.Table}
}

func (o RouteReplace) String() string {
	b := routeLine(o.Netns, "replace", o.Type, o.Dst)
	b.hop(o.Via, o.Link, o.OnLink)
	b.num("metric", o.Metric)
	if o.Table != TableMain {
		b.num("table", o.Table)
	}
	if o.Src.IsValid() {
		b.add("src", o.Src.String())
	}
	b.add("proto", strconv.Itoa(Protocol))
	b.num("mtu", o.MTU)
	for _, w := range o.Ways {
		b.add("nexthop")
		b.hop(w.Via, w.Link, w.OnLink)
		b.add("weight", strconv.Itoa(w.Weight))
	}
	return b.String()
}

func (o RouteDelete) String() string {
	b := routeLine(o.Netns, "delete", "", o.Dst)
	b.hop(o.Via, o.Link, false)
	b.num("metric", o.Metric)
	if o.Table != TableMain {
		b.num("table", o.Table)
	}
	return b.String()
}

func routeLine(netns, verb, kind string, dst netip.Prefix) *line {
	var b line
	b.add(ip(netns))
	if dst.Addr().Is6() {
		b.add("-6")
	}
	b.add("route", verb)
	if kind != "" {
		b.add(kind)
	}
	if dst.Bits() == 0 {
		b.add("default")
	} else {
		b.add(dst.String())
	}
	return &b
}

func (l *line) hop(via netip.Addr, link string, onLink bool) {
	if via.IsValid() {
		l.add("via", via.String())
	}
	l.opt("dev", link)
	if onLink {
		l.add("onlink")
	}
}

// String is the way as ip-route(8) has it, without its link.
func (w Way) String() string {
	hop := "link"
	if w.Via.IsValid() {
		hop = w.Via.String()
	}
	if w.Weight > 1 {
		hop += fmt.Sprintf(" weight %d", w.Weight)
	}
	if w.OnLink {
		hop += " onlink"
	}
	return hop
}
