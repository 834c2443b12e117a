package kernel

import (
	"net/netip"
	"slices"
	"time"
)

type (
	// UplinkTake makes a card of the host's a port of a bridge, and sets it up. Its addresses, its routes in all tables and its
	// static neighbours go to the bridge; what it had is written down before, durably, for UplinkRelease. Done again, it does what
	// is left to do, and takes along what the card was given meanwhile. EBUSY where the card is another's.
	//
	// What the kernel keeps for each interface stays: its own link-local address, temporary addresses (RFC 8981).
	UplinkTake struct {
		Project, Card, Bridge string
		// Patience is how long a gateway of the card's default routes that answered before may take to answer by way of the
		// bridge. After that all is undone, and the edit fails with ETIMEDOUT.
		Patience time.Duration
		// Port are edits of the port, where the card was none before: its VLANs. They come before a gateway is asked.
		Port []Op
		// Addrs and Routes are what the card had when the plan was made, for the printed line: the edit itself moves what is there.
		Addrs  []netip.Prefix
		Routes []Route
	}
	// UplinkRelease gives a card back what it had, takes that from the bridge, and forgets what was written down.
	UplinkRelease struct{ Project, Card string }
)

// Uplink is what was written down of a card that is a bridge's port.
type Uplink struct {
	Project, Card, Bridge string
	// Addrs and Routes are those that the bridge has in the card's stead; without those that end by themselves, and of routes
	// those only that people make (protocol boot, static).
	Addrs  []netip.Prefix
	Routes []Route // Link is the bridge
}

func (UplinkTake) op()    {}
func (UplinkRelease) op() {}

func (o UplinkTake) String() string {
	var b line
	b.add("ip link set", o.Card, "up master", o.Bridge)
	for _, op := range o.Port {
		b.add("&&", op.String())
	}
	for _, p := range o.Addrs {
		b.add("&&", AddrAdd{Link: o.Bridge, Prefix: p}.String())
	}
	for _, r := range o.Routes {
		b.add("&&", r.line(o.Bridge))
	}
	for _, r := range slices.Backward(o.Routes) {
		b.add("&&", RouteDelete{Dst: r.Dst, Via: r.Via, Link: o.Card, Metric: r.Metric, Table: r.Table}.String())
	}
	for _, p := range slices.Backward(o.Addrs) {
		b.add("&&", AddrDelete{Link: o.Card, Prefix: p}.String())
	}
	return b.String() + "  # with its static neighbours, too"
}

// line is the one of ip(8) that gives a route to another link. Those before it with the same destination stay.
func (r Route) line(link string) string {
	b := routeLine("", "append", "", r.Dst)
	b.hop(r.Via, link, r.OnLink)
	b.num("metric", r.Metric)
	if r.Table != TableMain {
		b.num("table", r.Table)
	}
	if r.Src.IsValid() {
		b.add("src", r.Src.String())
	}
	b.num("proto", r.Protocol)
	b.num("mtu", r.MTU)
	return b.String()
}

func (o UplinkRelease) String() string {
	return "ip link set " + o.Card + " nomaster  # with the addresses, routes and static neighbours that it had"
}

// Static reports whether a route is one that people make, and that nobody withdraws by himself.
func (r Route) Static() bool { return r.Protocol == 3 || r.Protocol == 4 } // RTPROT_BOOT, RTPROT_STATIC

// Hops are the next hops of a route, however many it has.
func (r Route) Hops() []Way {
	if len(r.Ways) > 0 {
		return r.Ways
	}
	return []Way{{Via: r.Via, Link: r.Link, Weight: 1, OnLink: r.OnLink}}
}

// By reports whether a next hop of the route is by a link.
func (r Route) By(link string) bool {
	return slices.ContainsFunc(r.Hops(), func(w Way) bool { return w.Link == link })
}
