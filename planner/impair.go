package planner

import (
	"cmp"
	"fmt"
	"time"

	"topo/internal/kernel"
	"topo/spec"
)

// impair is what becomes of the packets that an interface sends: a netem for all but the rate, and a token bucket below it, or alone,
// for the rate. So a packet is under way first and waits for its turn then; lost ones take no turn.
type impair struct {
	netns string
	owner string // node, or "host"
	iface string
	link  ID // the interface
	q     kernel.Qdisc
}

var impairKind = Kind{Name: "impair", Desire: desireImpair, Observe: observeImpair}

func desireImpair(w *Want) []Resource {
	var out []Resource
	add := func(netns, owner, iface string, link ID, i *spec.Impair, mtu int) {
		if i != nil {
			out = append(out, impair{netns: netns, owner: owner, iface: iface, link: link, q: qdiscOf(*i, mtu)})
		}
	}
	for _, n := range w.Topology.Nodes {
		for _, a := range n.Attachments {
			add(n.Netns, n.Name, a.Interface, ID{"link", n.Name + ":" + a.Interface}, a.Impair, a.MTU)
		}
	}
	netns, bridges := netnsByNode(w.Topology), bridgesByName(w.Topology)
	for _, l := range w.Topology.Links {
		for i, e := range l.Ends {
			switch far := l.Ends[1-i]; {
			case e.Bridge:
				b := bridges[e.Node]
				add(b.Netns, cmp.Or(b.Node, spec.Host), e.Interface, portID(e, far), e.Impair, e.MTU)
			default:
				add(netns[e.Node], e.Node, e.Interface, ID{"link", e.Node + ":" + e.Interface}, e.Impair, e.MTU)
			}
		}
	}
	if len(w.Topology.Interfaces) > 0 {
		mtu := map[ID]int{}
		for _, r := range w.of(linkKind) {
			if d, ok := r.(device); ok { // a card is not impaired
				mtu[d.id] = d.own.MTU
			}
		}
		for _, i := range w.Topology.Interfaces {
			id := ID{"link", i.Node + ":" + i.Name}
			add(netns[i.Node], i.Node, i.Name, id, i.Impair, mtu[id])
		}
	}
	return out
}

// The defaults of what waits. A queue of 100 ms is what a router has; a packet that is under way takes no room in it.
const (
	burstTime   = 5 * time.Millisecond
	queueTime   = 100 * time.Millisecond
	leastQueue  = 10   // packets, whatever the rate
	leastBurst  = 2    // packets
	header      = 18   // bytes of a frame besides its packet: Ethernet with a VLAN tag
	netemQueue  = 1000 // tc's own default
	netemPerSec = 1_000_000
)

func qdiscOf(i spec.Impair, mtu int) kernel.Qdisc {
	var q kernel.Qdisc
	frame := int64(mtu + header)
	if i.Rate > 0 {
		rate := i.Rate / 8
		burst := cmp.Or(i.Burst, max(int64(float64(rate)*burstTime.Seconds()), leastBurst*frame))
		limit := max(int64(float64(rate)*queueTime.Seconds()), leastQueue*frame)
		if i.Limit > 0 {
			limit = int64(i.Limit) * frame
		}
		q.Kind = "tbf"
		q.TBF = &kernel.TBF{Rate: rate, Burst: kernel.BurstTicks(burst, rate), Limit: uint32(min(limit, 1<<32-1))}
	}
	rest := i
	rest.Pos, rest.Rate, rest.Burst, rest.Limit = spec.Pos{}, 0, 0, 0
	if rest == (spec.Impair{}) {
		return q
	}
	// What is under way is no queue: there is room for it, however long it takes.
	limit := netemQueue + uint32(min((i.Delay+i.Jitter).Seconds(), 1000)*netemPerSec)
	if i.Limit > 0 && i.Rate == 0 {
		limit = uint32(i.Limit)
	}
	n := kernel.Netem{
		Delay: i.Delay, Jitter: i.Jitter, Distribution: i.Distribution, DelayCorr: kernel.ChanceOf(i.Correlation), Limit: limit,
		Loss:      lossOf(i.Loss),
		Duplicate: kernel.ChanceOf(i.Duplicate.Percent), DupCorr: kernel.ChanceOf(i.Duplicate.Correlation),
		Corrupt: kernel.ChanceOf(i.Corrupt.Percent), CorruptCorr: kernel.ChanceOf(i.Corrupt.Correlation),
		Reorder: kernel.ChanceOf(i.Reorder.Percent), ReorderCorr: kernel.ChanceOf(i.Reorder.Correlation),
	}
	if n.Reorder != 0 {
		n.Gap = uint32(max(1, i.Gap)) // 0 would be no reordering
	}
	if q.TBF != nil {
		q.Below = q.Kind
	}
	q.Kind, q.Netem = "netem", &n
	return q
}

func lossOf(l spec.Loss) kernel.Loss {
	k := kernel.Loss{Model: string(l.Model)}
	if l.Model == spec.LossRandom {
		k.Model = "" // the kernel knows it as none other
	}
	p := l.P
	if l.Model == spec.LossGilbertElliott {
		p[2] = 100 - p[2] // the kernel takes h
	}
	for i := range p {
		k.P[i] = kernel.ChanceOf(p[i])
	}
	return k
}

// observeImpair lists the interfaces of the project that send through anything.
func observeImpair(h *Have) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		if l.Qdisc != nil && l.id.Kind != "bridge" {
			out = append(out, impair{netns: l.netns, owner: l.node, iface: l.Name, link: l.id, q: *l.Qdisc})
		}
	}
	return out
}

func (r impair) ID() ID      { return ID{"impair", r.owner + ":" + r.iface} }
func (r impair) In() []ID    { return []ID{r.link} }
func (r impair) Needs() []ID { return []ID{r.link} }

func (r impair) Attrs() []Attr {
	attrs := []Attr{{"qdisc", orNone(r.q.Kind)}, {"below", orNone(r.q.Below)}}
	if n := r.q.Netem; n != nil {
		attrs = append(
			attrs, Attr{"delay", n.Delay.String()}, Attr{"jitter", withCorrelation(n.Jitter.String(), n.DelayCorr)},
			Attr{"distribution", orNone(n.Distribution)}, Attr{"loss", orNone(n.Loss.String())},
			Attr{"duplicate", withCorrelation(n.Duplicate.String(), n.DupCorr)}, Attr{"corrupt", withCorrelation(n.Corrupt.String(), n.CorruptCorr)},
			Attr{"reorder", withCorrelation(n.Reorder.String(), n.ReorderCorr)}, Attr{"gap", number(n.Gap)},
			Attr{"packets", number(n.Limit)}, Attr{"netem rate", orNone(rateText(n.Rate))},
		)
	}
	if t := r.q.TBF; t != nil {
		attrs = append(attrs, Attr{"rate", rateText(t.Rate)}, Attr{"burst", fmt.Sprintf("%d bytes", t.Bytes())}, Attr{"queue", fmt.Sprintf("%d bytes", t.Limit)})
	}
	return attrs
}

func withCorrelation(value string, c kernel.Chance) string {
	if c == 0 {
		return value
	}
	return value + " " + c.String()
}

// rateText is a rate in bits; "" for none.
func rateText(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return spec.RateText(8 * bytes)
}

// Detail says what differs from a perfect wire.
func (r impair) Detail() string {
	text := ""
	if n := r.q.Netem; n != nil {
		text = n.String()
	}
	if t := r.q.TBF; t != nil {
		if text != "" {
			text += " "
		}
		text += "rate " + rateText(t.Rate)
	}
	return text
}

func (r impair) Create() []kernel.Op { return r.from(kernel.Qdisc{}) }

// from are the edits that make what is wanted of what is there.
func (r impair) from(have kernel.Qdisc) []kernel.Op {
	var ops []kernel.Op
	if n := r.q.Netem; n != nil && (have.Netem == nil || *have.Netem != *n) {
		ops = append(ops, kernel.NetemSet{Netns: r.netns, Link: r.iface, Netem: *n})
	}
	switch t := r.q.TBF; {
	case t != nil && (have.TBF == nil || *have.TBF != *t):
		ops = append(ops, kernel.TBFSet{Netns: r.netns, Link: r.iface, Below: r.q.Below != "", TBF: *t})
	case t == nil && have.Below != "":
		ops = append(ops, kernel.QdiscDelete{Netns: r.netns, Link: r.iface, Below: true})
	}
	return ops
}

func (r impair) Delete() []kernel.Op {
	return []kernel.Op{kernel.QdiscDelete{Netns: r.netns, Link: r.iface}}
}

// Update changes what is there in place: packets that wait stay, and those of a root of another kind go with it.
func (r impair) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(impair).q
	if h.Kind != r.q.Kind || h.Below != "" && h.Below != "tbf" {
		return nil, false
	}
	return r.from(h), true
}

// impairNeeds are what impairments need of the kernel.
func impairNeeds(t *spec.Topology, need func(pos spec.Pos, what, option string)) {
	each := func(i *spec.Impair) {
		if i == nil {
			return
		}
		if i.Rate > 0 {
			need(i.Pos, "rate", "NET_SCH_TBF")
		}
		if qdiscOf(*i, 0).Netem != nil {
			need(i.Pos, "delay, loss and the like", "NET_SCH_NETEM")
		}
	}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			each(a.Impair)
		}
	}
	for _, l := range t.Links {
		for _, e := range l.Ends {
			each(e.Impair)
		}
	}
	for _, i := range t.Interfaces {
		each(i.Impair)
	}
}
