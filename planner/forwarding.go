package planner

import "topo/internal/kernel"

var families = []kernel.Family{kernel.IPv4, kernel.IPv6}

// forwarding is whether the host forwards packets of a family. All projects share it: it is turned on
// by the first that needs it and put back with the last.
type forwarding struct {
	family kernel.Family
	on     bool
}

var forwardingKind = Kind{Name: "forwarding", Desire: desireForwarding, Observe: observeForwarding}

func desireForwarding(w *Want) []Resource {
	var out []Resource
	for _, f := range families {
		if len(routedBridges(w.Topology, f)) > 0 {
			out = append(out, forwarding{f, true})
		}
	}
	return out
}

func observeForwarding(h *Have) []Resource {
	var out []Resource
	for _, f := range h.Snapshot.Forwards {
		r := forwarding{f.Family, f.On}
		switch {
		case h.want[r.ID()] != nil:
			if f.On || f.Recorded {
				out = append(out, r)
			}
		case f.Recorded && !h.Others.forward(f.Family):
			out = append(out, r)
		}
	}
	return out
}

func (r forwarding) ID() ID         { return ID{"forwarding", string(r.family)} }
func (r forwarding) Needs() []ID    { return nil }
func (r forwarding) Shared() bool   { return true }
func (r forwarding) Attrs() []Attr  { return []Attr{{"state", onOff(r.on)}} }
func (r forwarding) Detail() string { return onOff(r.on) }

func (r forwarding) Create() []kernel.Op {
	ops := []kernel.Op{kernel.ForwardingOn{Family: r.family}}
	if !r.on {
		ops = append(ops, r.off())
	}
	return ops
}

// off is wanted on the way back alone, to where somebody had turned it off: what it was before topo stays recorded.
func (r forwarding) off() kernel.Op {
	return kernel.SysctlSet{SysctlKey: kernel.ForwardingKey(r.family), Value: "0"}
}

func (r forwarding) Delete() []kernel.Op {
	return []kernel.Op{kernel.ForwardingRestore{Family: r.family}}
}

func (r forwarding) Update(Resource) ([]kernel.Op, bool) {
	if !r.on {
		return []kernel.Op{r.off()}, true
	}
	return r.Create(), true
}
