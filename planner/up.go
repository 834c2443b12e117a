package planner

import "topo/internal/kernel"

// up is the state of a bridge. It stands apart from the bridge because a bridge is brought up after
// its ports: until then nothing floods to them (duplicate address detection, MLD), which with 1,000
// ports halves the time; and after the rules that isolate it.
type up struct {
	bridge string
	netns  string
	iface  string
	up     bool
	needs  []ID
}

var upKind = Kind{Name: "up", Desire: desireUp, Observe: observeUp}

func desireUp(w *Want) []Resource {
	ports := map[place][]ID{}
	for _, r := range w.of(portKind) {
		v := r.(veth)
		at := place{v.own.Netns, v.own.Master}
		ports[at] = append(ports[at], v.id, v.carrier, ID{"vlan", v.id.Name})
	}
	var out []Resource
	for _, b := range w.Topology.Bridges {
		if b.External {
			continue
		}
		needs := []ID{{"bridge", b.Name}, {"vlan", b.Name}}
		for _, f := range families {
			needs = append(needs, ruleID("isolation", b.Name, f), ruleID("guard", b.Name, f))
		}
		out = append(out, up{bridge: b.Name, netns: b.Netns, iface: b.Interface, up: true, needs: append(needs, ports[place{b.Netns, b.Interface}]...)})
	}
	return out
}

func observeUp(h *Have) []Resource {
	var out []Resource
	for _, r := range observeBridges(h) {
		b := r.(bridge)
		out = append(out, up{bridge: b.id.Name, netns: b.spec.Netns, iface: b.spec.Name, up: h.link(b.spec.Netns, b.spec.Name).Up})
	}
	return out
}

func (r up) ID() ID              { return ID{"up", r.bridge} }
func (r up) In() []ID            { return []ID{{"bridge", r.bridge}} }
func (r up) Needs() []ID         { return r.needs }
func (r up) Attrs() []Attr       { return []Attr{{"state", upDown(r.up)}} }
func (r up) Detail() string      { return r.iface }
func (r up) Delete() []kernel.Op { return nil }

func (r up) Create() []kernel.Op {
	return []kernel.Op{kernel.LinkSet{Netns: r.netns, Name: r.iface, Up: &r.up}}
}

func (r up) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }
