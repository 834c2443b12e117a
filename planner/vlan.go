package planner

import (
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// vlan is the VLANs that a bridge's port, or a bridge itself, belongs to, where these are not what a new one has.
type vlan struct {
	id    ID // vlan/NODE:INTERFACE as the port, vlan/NAME as the bridge
	netns string
	iface string
	self  bool // of the bridge itself
	in    []ID
	vlans []kernel.VLAN
	// initial is the VLAN that a new port of the bridge belongs to, untagged; 0 = none.
	initial int
}

var vlanKind = Kind{Name: "vlan", Desire: desireVLANs, Observe: observeVLANs}

// initialPVID is the default PVID of a new bridge.
const initialPVID = 1

func desireVLANs(w *Want) []Resource {
	var out []Resource
	bridges := bridgesByName(w.Topology)
	add := func(b spec.Bridge, r vlan, v *spec.VLANs) {
		if v == nil {
			return
		}
		r.vlans, r.initial, r.netns = vlansOf(*v), initialPVID, b.Netns
		if b.External {
			if l, ok := hostLink(w.Host, b.Interface); ok && l.Bridge != nil {
				r.initial = l.Bridge.DefaultPVID
			}
		}
		r.in = append(r.in, ID{"bridge", b.Name})
		if b.External || !isDefault(r.vlans, r.initial) {
			out = append(out, r)
		}
	}
	for _, b := range w.Topology.Bridges {
		add(b, vlan{id: ID{"vlan", b.Name}, iface: b.Interface, self: true}, b.VLANs)
	}
	for _, n := range w.Topology.Nodes {
		for _, a := range n.Attachments {
			name := n.Name + ":" + a.Interface
			add(bridges[a.Bridge], vlan{id: ID{"vlan", name}, iface: a.HostInterface, in: []ID{{"port", name}}}, a.VLANs)
		}
	}
	for _, l := range w.Topology.Links {
		for i, e := range l.Ends {
			if e.Bridge {
				port := portID(e, l.Ends[1-i])
				add(bridges[e.Node], vlan{id: ID{"vlan", port.Name}, iface: e.Interface, in: []ID{port}}, e.VLANs)
			}
		}
	}
	return out
}

// vlansOf are the VLANs of a port as the kernel has them.
func vlansOf(v spec.VLANs) []kernel.VLAN {
	var out []kernel.VLAN
	add := func(ranges []spec.VLANRange, untagged bool) {
		for _, r := range ranges {
			for id := r.First; id <= r.Last; id++ {
				out = append(out, kernel.VLAN{First: id, Last: id, PVID: id == v.PVID, Untagged: untagged})
			}
		}
	}
	add(v.Tagged, false)
	add(v.Untagged, true)
	return kernel.MergeVLANs(out)
}

func isDefault(vlans []kernel.VLAN, pvid int) bool {
	return slices.Equal(kernel.MergeVLANs(slices.Clone(vlans)), kernel.DefaultVLANs(pvid))
}

// statesVLANs reports whether a file says which VLANs a port belongs to.
func statesVLANs(t *spec.Topology) bool {
	states := false
	eachVLANs(t, func(*spec.VLANs) { states = true })
	return states
}

func eachVLANs(t *spec.Topology, f func(*spec.VLANs)) {
	each := func(v *spec.VLANs) {
		if v != nil {
			f(v)
		}
	}
	for _, b := range t.Bridges {
		each(b.VLANs)
		for _, u := range b.Uplinks {
			each(u.VLANs)
		}
	}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			each(a.VLANs)
		}
	}
	for _, l := range t.Links {
		for _, e := range l.Ends {
			each(e.VLANs)
		}
	}
}

// observeVLANs lists the project's bridges and ports that belong to other VLANs than new ones do. Where none are filtered, nor
// are to be, they are without effect. A port that is on another bridge than it is to be leaves its VLANs there.
func observeVLANs(h *Have) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		r := vlan{id: ID{"vlan", l.id.Name}, netns: l.netns, iface: l.Name, vlans: l.VLANs}
		of, ours := l.Link, true // the bridge
		switch l.id.Kind {
		case "bridge":
			r.in, r.self = []ID{l.id}, true
		case "port":
			var id ID
			master, wanted := h.ports[l.id]
			if of, id, ours = h.bridgeAt(l.netns, l.Master); wanted && master != l.Master {
				continue
			}
			r.in = []ID{l.id, id}
		default:
			continue
		}
		if of.Bridge == nil || h.want[r.id] == nil && (!ours || !of.Bridge.VLANFiltering && !h.bridges[place{l.netns, of.Name}].attrs.VLANFiltering) {
			continue
		}
		r.initial = of.Bridge.DefaultPVID
		if h.want[r.id] != nil && !ours || !isDefault(r.vlans, r.initial) {
			out = append(out, r)
		}
	}
	return out
}

func (r vlan) ID() ID      { return r.id }
func (r vlan) In() []ID    { return r.in }
func (r vlan) Needs() []ID { return r.in }

func (r vlan) Attrs() []Attr {
	pvid, tagged, untagged := r.words()
	return []Attr{{"pvid", orNone(pvid)}, {"untagged", orNone(untagged)}, {"tagged", orNone(tagged)}}
}

// words are the VLANs as the file says them.
func (r vlan) words() (pvid, tagged, untagged string) {
	var of [2][]kernel.VLAN
	for _, v := range r.vlans {
		if v.PVID {
			pvid = number(v.First)
		}
		i := 0
		if v.Untagged {
			i = 1
		}
		v.PVID = false
		of[i] = append(of[i], v)
	}
	return pvid, kernel.VLANsText(kernel.MergeVLANs(of[0])), kernel.VLANsText(kernel.MergeVLANs(of[1]))
}

func (r vlan) Detail() string {
	pvid, tagged, untagged := r.words()
	var words []string
	for _, w := range []Attr{{"pvid", pvid}, {"untagged", untagged}, {"tagged", tagged}} {
		if w.Value != "" {
			words = append(words, w.Name+" "+w.Value)
		}
	}
	return orNone(strings.Join(words, " "))
}

func (r vlan) Create() []kernel.Op { return r.from(kernel.DefaultVLANs(r.initial)) }

func (r vlan) Delete() []kernel.Op {
	left := r
	left.vlans = kernel.DefaultVLANs(r.initial)
	return left.from(r.vlans)
}

func (r vlan) Update(have Resource) ([]kernel.Op, bool) { return r.from(have.(vlan).vlans), true }

// from are the edits that make what is wanted of what is there.
func (r vlan) from(have []kernel.VLAN) []kernel.Op {
	var ops []kernel.Op
	for _, v := range missingVLANs(have, r.vlans) {
		ops = append(ops, kernel.VLANDelete{Netns: r.netns, Link: r.iface, Self: r.self, First: v.First, Last: v.Last})
	}
	for _, v := range changedVLANs(have, r.vlans) {
		ops = append(ops, kernel.VLANAdd{Netns: r.netns, Link: r.iface, Self: r.self, VLAN: v})
	}
	return ops
}

// changedVLANs are those of want that have has not, or not in the same way.
func changedVLANs(have, want []kernel.VLAN) []kernel.VLAN {
	is := spreadVLANs(have)
	var out []kernel.VLAN
	for id, v := range spreadVLANs(want) {
		if v.First != 0 && v != is[id] {
			out = append(out, v)
		}
	}
	return kernel.MergeVLANs(out)
}

// missingVLANs are those of have that want has not in any way.
func missingVLANs(have, want []kernel.VLAN) []kernel.VLAN {
	to := spreadVLANs(want)
	var out []kernel.VLAN
	for id, v := range spreadVLANs(have) {
		if v.First != 0 && to[id].First == 0 {
			out = append(out, kernel.VLAN{First: id, Last: id})
		}
	}
	return kernel.MergeVLANs(out)
}

// spreadVLANs is each VLAN by its number; those that are not there are zero.
func spreadVLANs(ranges []kernel.VLAN) []kernel.VLAN {
	all := make([]kernel.VLAN, kernel.MaxVLAN+1)
	for _, r := range ranges {
		for id := r.First; id <= r.Last; id++ {
			all[id] = kernel.VLAN{First: id, Last: id, PVID: r.PVID, Untagged: r.Untagged}
		}
	}
	return all
}

// bridgeNeeds are what bridges need of the kernel.
func bridgeNeeds(t *spec.Topology, need func(pos spec.Pos, what, option string)) {
	for _, b := range t.Bridges {
		if b.McastSnooping != nil {
			need(b.Pos, "mcast_snooping", "BRIDGE_IGMP_SNOOPING")
		}
		if b.VLANFiltering {
			need(b.Pos, "vlan_filtering", "BRIDGE_VLAN_FILTERING")
		}
	}
	eachVLANs(t, func(v *spec.VLANs) { need(v.Pos, "vlan", "BRIDGE_VLAN_FILTERING") })
}
