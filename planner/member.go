package planner

import (
	"topo/internal/kernel"
)

// member is an interface's place in a bond or a VRF.
type member struct {
	netns  string
	owner  string // node, or "host"
	iface  string
	link   ID
	master string
	kind   string // of the master
	on     ID     // the master
	// before is the one that the file names before it: a bond begins with the first that it gets.
	before ID
}

var memberKind = Kind{Name: "member", Desire: desireMembers, Observe: observeMembers}

func memberID(owner, iface string) ID { return ID{"member", owner + ":" + iface} }

func desireMembers(w *Want) []Resource {
	var out []Resource
	netns := netnsByNode(w.Topology)
	for _, i := range w.Topology.Interfaces {
		var before ID
		for _, m := range i.Members {
			r := member{
				netns: netns[m.Node], owner: m.Node, iface: m.Name, link: ID{"link", m.Node + ":" + m.Name},
				master: i.Name, kind: i.Kind, on: ID{"link", i.Node + ":" + i.Name}, before: before,
			}
			out = append(out, r)
			before = r.ID()
		}
	}
	return out
}

// observeMembers lists the links of the project that have a master which is no bridge.
func observeMembers(h *Have) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		if l.Master != "" && l.Port == nil {
			out = append(out, member{
				netns: l.netns, owner: l.node, iface: l.Name, link: l.id, master: l.Master, kind: h.link(l.netns, l.Master).Kind,
				on: h.interfaceID(kernel.End{Netns: l.netns, Name: l.Master}),
			})
		}
	}
	return out
}

func (r member) ID() ID { return memberID(r.owner, r.iface) }

// In: with a bond a membership doesn't go alone, for the kernel would set the link down.
func (r member) In() []ID {
	if r.kind == "bond" {
		return []ID{r.link}
	}
	return []ID{r.link, r.on}
}

// Lost: who is in a bond leaves it before it is made anew.
func (r member) Lost(gone func(ID) bool) (ID, Action, bool) {
	return r.on, Replace, r.kind == "bond" && gone(r.on)
}

func (r member) Needs() []ID    { return []ID{r.link, r.on, r.before} }
func (r member) Attrs() []Attr  { return []Attr{{"master", r.master}, {"kind", r.kind}} }
func (r member) Detail() string { return "of " + r.kind + " " + r.master }

func (r member) Create() []kernel.Op {
	return []kernel.Op{kernel.Enslave{Netns: r.netns, Name: r.iface, Master: r.master, Down: r.kind == "bond"}}
}

func (r member) Delete() []kernel.Op {
	return []kernel.Op{kernel.Enslave{Netns: r.netns, Name: r.iface, Down: r.kind == "bond"}}
}

func (r member) Update(Resource) ([]kernel.Op, bool) { return nil, false }

// memberOf are the memberships of VRFs, by link: whoever joins or leaves one loses its routes and IPv6 addresses.
func memberOf(rs []Resource) map[ID]ID {
	out := map[ID]ID{}
	for _, r := range rs {
		if m := r.(member); m.kind == "vrf" {
			out[m.link] = m.ID()
		}
	}
	return out
}
