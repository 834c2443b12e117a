package planner

import (
	"strings"
	"time"

	"topo/internal/kernel"
	"topo/spec"
)

// bridge is a Linux bridge on the host, with its own attributes but for its state: see up.
type bridge struct {
	id    ID
	kind  string // of the link: "bridge"
	mark  string
	spec  kernel.BridgeAdd
	about string // its addresses, for the plan's line
}

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
			mac = deriveMAC(w.Host.HostID, w.Project, id.String())
		}
		out = append(out, bridge{id: id, kind: "bridge", mark: mark(w.Project, id), spec: kernel.BridgeAdd{
			Name: b.Interface, MAC: mac, MTU: b.MTU, Group: kernel.Group(w.Project),
			STP: b.STP, ForwardDelay: b.ForwardDelay,
		}, about: strings.Join(gateways(b), " ")})
	}
	return out
}

func observeBridges(h *Have) []Resource {
	var out []Resource
	for _, l := range h.Snapshot.Host.Links {
		if !h.own(l) {
			continue
		}
		id := h.linkID(l)
		if id.Kind != "bridge" {
			continue
		}
		b := bridge{id: id, kind: l.Kind, mark: l.Alias, spec: kernel.BridgeAdd{Name: l.Name, MAC: l.MAC, MTU: l.MTU, Group: l.Group}}
		if l.Bridge != nil {
			b.spec.STP, b.spec.ForwardDelay = l.Bridge.STP, l.Bridge.ForwardDelay
		}
		out = append(out, b)
	}
	return out
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
func (r bridge) Needs() []ID { return nil }

func (r bridge) Attrs() []Attr {
	return []Attr{
		{"interface", r.spec.Name},
		{"kind", r.kind},
		{"mark", r.mark},
		{"group", number(r.spec.Group)},
		{"mtu", number(r.spec.MTU)},
		{"mac", r.spec.MAC},
		{"stp", onOff(r.spec.STP)},
		{"forward_delay", r.spec.ForwardDelay.Round(10 * time.Millisecond).String()},
	}
}

func (r bridge) Detail() string { return r.about }

func (r bridge) Claims() []string { return []string{claimLink("", r.spec.Name)} }

func (r bridge) Create() []kernel.Op {
	return []kernel.Op{r.spec, kernel.LinkSet{Name: r.spec.Name, Alias: &r.mark}}
}

func (r bridge) Delete() []kernel.Op { return []kernel.Op{kernel.LinkDelete{Name: r.spec.Name}} }

func (r bridge) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(bridge)
	if h.spec.Name != r.spec.Name || h.kind != r.kind {
		return nil, false
	}
	var ops []kernel.Op
	set := kernel.LinkSet{Name: r.spec.Name}
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
	if set != (kernel.LinkSet{Name: r.spec.Name}) {
		ops = append(ops, set)
	}
	bset := kernel.BridgeSet{Name: r.spec.Name}
	if h.spec.STP != r.spec.STP {
		bset.STP = &r.spec.STP
	}
	if h.spec.ForwardDelay != r.spec.ForwardDelay {
		bset.ForwardDelay = &r.spec.ForwardDelay
	}
	if bset != (kernel.BridgeSet{Name: r.spec.Name}) {
		ops = append(ops, bset)
	}
	return ops, true
}
