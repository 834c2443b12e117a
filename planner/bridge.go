package planner

import (
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// bridge is a Linux bridge, on the host or in a node, with its own attributes but for its state: see up.
type bridge struct {
	id    ID
	kind  string // of the link: "bridge"
	mark  string
	spec  kernel.BridgeAdd // STP and delay aside
	attrs kernel.BridgeAttrs
	about string // its addresses, for the plan's line
	in    []ID   // the namespace of the node that it is in
	rules []ID   // of one that is there: those that go after it
}

// minMTU6 is the least for IPv6 (RFC 8200, section 5); below it the kernel switches IPv6 off.
const minMTU6 = 1280

var bridgeKind = Kind{Name: "bridge", Desire: desireBridges, Observe: observeBridges}

func desireBridges(w *Want) []Resource {
	var out []Resource
	for _, b := range w.Topology.Bridges {
		if b.External {
			continue
		}
		id := ID{"bridge", b.Name}
		mac := b.MAC
		if mac == "" {
			mac = uplinkMAC(w, b)
		}
		if mac == "" {
			mac = deriveMAC(w.Host.HostID, w.Project, id.String())
		}
		out = append(out, bridge{id: id, in: netnsOf(b.Node), kind: "bridge", mark: mark(w.Project, id), spec: kernel.BridgeAdd{
			Netns: b.Netns, Name: b.Interface, MAC: mac, MTU: b.MTU, Group: kernel.Group(w.Project),
		}, attrs: kernel.BridgeAttrs{
			STP: b.STP, ForwardDelay: b.ForwardDelay, VLANFiltering: b.VLANFiltering,
			Priority: b.Priority, HelloTime: b.HelloTime, MaxAge: b.MaxAge, AgeingTime: b.AgeingTime,
			McastSnooping: b.McastSnooping == nil || *b.McastSnooping,
		}, about: strings.Join(gateways(b), " ")})
	}
	return out
}

func observeBridges(h *Have) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		if l.id.Kind != "bridge" {
			continue
		}
		b := bridge{
			id: l.id, kind: l.Kind, mark: l.Alias,
			spec: kernel.BridgeAdd{Netns: l.netns, Name: l.Name, MAC: l.MAC, MTU: l.MTU, Group: l.Group},
		}
		if l.netns != "" {
			b.in = netnsOf(l.node)
		} else {
			b.rules = h.outlive(l.id.Name)
		}
		if l.Bridge != nil {
			b.attrs = readable(*l.Bridge, h.bridges[place{l.netns, l.Name}])
		}
		out = append(out, b)
	}
	return out
}

// netnsOf is the namespace of a node, as what something needs; "" = the host's, which is always there.
func netnsOf(node string) []ID {
	if node == "" {
		return nil
	}
	return []ID{{"netns", node}}
}

// readable is what can be read of a bridge: of the spanning tree's times the kernel shows the root's, and while the tree changes
// another ageing time. They are taken to be what is wanted then.
func readable(a kernel.BridgeAttrs, want bridge) kernel.BridgeAttrs {
	if want.id == (ID{}) {
		return a
	}
	if a.STP && a.Changing {
		a.AgeingTime = want.attrs.AgeingTime
	}
	if a.Follows {
		a.ForwardDelay, a.HelloTime, a.MaxAge = want.attrs.ForwardDelay, want.attrs.HelloTime, want.attrs.MaxAge
	}
	return a
}

// gateways lists the bridge's own addresses, for the plan's line.
func gateways(b spec.Bridge) []string {
	var out []string
	for _, s := range b.Subnets {
		if s.Gateway.IsValid() {
			out = append(out, prefixOf(s).String())
		}
	}
	return out
}

func (r bridge) ID() ID      { return r.id }
func (r bridge) In() []ID    { return r.in }
func (r bridge) Needs() []ID { return slices.Concat(r.in, r.rules) }

func (r bridge) Attrs() []Attr {
	return []Attr{
		{"interface", r.spec.Name},
		{"netns", orNone(r.spec.Netns)},
		{"kind", r.kind},
		{"mark", r.mark},
		{"group", number(r.spec.Group)},
		{"mtu", number(r.spec.MTU)},
		{"mac", r.spec.MAC},
		{"stp", onOff(r.attrs.STP)},
		{"forward_delay", r.attrs.ForwardDelay.String()},
		{"vlan_filtering", onOff(r.attrs.VLANFiltering)},
		{"priority", number(r.attrs.Priority)},
		{"hello_time", r.attrs.HelloTime.String()},
		{"max_age", r.attrs.MaxAge.String()},
		{"ageing_time", r.attrs.AgeingTime.String()},
		{"mcast_snooping", onOff(r.attrs.McastSnooping)},
	}
}

func (r bridge) Detail() string { return r.about }

func (r bridge) Claims() []string { return []string{claimLink(r.spec.Netns, r.spec.Name)} }

func (r bridge) Create() []kernel.Op {
	add := r.spec
	add.STP, add.ForwardDelay = r.attrs.STP, r.attrs.ForwardDelay
	ops := []kernel.Op{add, kernel.LinkSet{Netns: r.spec.Netns, Name: r.spec.Name, Alias: &r.mark}}
	made := kernel.DefaultBridge
	made.STP, made.ForwardDelay = add.STP, add.ForwardDelay
	return append(ops, r.set(made)...)
}

// set are the edits that give a bridge its parameters, where it has others.
func (r bridge) set(have kernel.BridgeAttrs) []kernel.Op {
	a := r.attrs
	set := kernel.BridgeSet{
		Netns:         r.spec.Netns,
		Name:          r.spec.Name,
		STP:           other(have.STP, a.STP),
		ForwardDelay:  other(have.ForwardDelay, a.ForwardDelay),
		VLANFiltering: other(have.VLANFiltering, a.VLANFiltering),
		Priority:      other(have.Priority, a.Priority),
		HelloTime:     other(have.HelloTime, a.HelloTime),
		MaxAge:        other(have.MaxAge, a.MaxAge),
		AgeingTime:    other(have.AgeingTime, a.AgeingTime),
		McastSnooping: other(have.McastSnooping, a.McastSnooping),
	}
	if have.STP && !a.STP {
		// A bridge that leaves a tree which has just changed keeps the tree's ageing time.
		set.AgeingTime = &a.AgeingTime
	}
	if set == (kernel.BridgeSet{Netns: r.spec.Netns, Name: r.spec.Name}) {
		return nil
	}
	return []kernel.Op{set}
}

// other is what is wanted where it is not what is there.
func other[T comparable](have, want T) *T {
	if have == want {
		return nil
	}
	return &want
}

func (r bridge) Delete() []kernel.Op {
	return []kernel.Op{kernel.LinkDelete{Netns: r.spec.Netns, Name: r.spec.Name}}
}

func (r bridge) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(bridge)
	if h.spec.Name != r.spec.Name || h.spec.Netns != r.spec.Netns || h.kind != r.kind {
		return nil, false
	}
	var ops []kernel.Op
	set := kernel.LinkSet{Netns: r.spec.Netns, Name: r.spec.Name}
	if h.spec.MTU != r.spec.MTU {
		set.MTU = &r.spec.MTU
	}
	if h.spec.MAC != r.spec.MAC {
		set.MAC = &r.spec.MAC
	}
	if h.spec.Group != r.spec.Group {
		set.Group = &r.spec.Group
	}
	if h.mark != r.mark {
		set.Alias = &r.mark
	}
	if set != (kernel.LinkSet{Netns: r.spec.Netns, Name: r.spec.Name}) {
		ops = append(ops, set)
	}
	if h.spec.MTU < minMTU6 && r.spec.MTU >= minMTU6 {
		// IPv6 begins on it, as the namespace has it begin: see BridgeAdd.
		ops = append(ops, kernel.SysctlSet{SysctlKey: kernel.AcceptRAKey(r.spec.Netns, r.spec.Name), Value: "0"})
	}
	return append(ops, r.set(h.attrs)...), true
}
