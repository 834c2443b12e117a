package planner

import (
	"strconv"

	"topo/internal/kernel"
	"topo/spec"
)

// advertisement is that an interface hears router advertisements, and takes addresses and routes from them. Interfaces of topo's begin
// without: a neighbour that sends some would be their router.
type advertisement struct {
	owner string // node, or the bridge's name with link of that kind
	netns string
	iface string
	link  ID
	value int // kernel.Link.AcceptRA
}

var advertisementKind = Kind{Name: "accept_ra", Desire: desireAdvertisements, Observe: observeAdvertisements}

func desireAdvertisements(w *Want) []Resource {
	var out []Resource
	for _, n := range w.Topology.Nodes {
		add := func(iface string, accept bool) {
			if !accept || n.Network != spec.NetworkOwn {
				return
			}
			value := 1
			if n.Forwards6() {
				value = 2 // a router hears no others by 1
			}
			out = append(out, newAdvertisement(n.Name, n.Netns, iface, ID{"link", n.Name + ":" + iface}, value))
		}
		for _, a := range n.Attachments {
			add(a.Interface, a.AcceptRA)
		}
		for _, e := range w.inside(n).ends {
			add(e.Interface, e.AcceptRA)
		}
	}
	return out
}

// observeAdvertisements lists what hears them among the project's bridges and the interfaces in its nodes.
func observeAdvertisements(h *Have) []Resource {
	var out []Resource
	for i := range h.Snapshot.Host.Links {
		l := &h.Snapshot.Host.Links[i]
		if id := h.linkID(l); l.AcceptRA != 0 && h.own(l) && id.Kind == "bridge" {
			out = append(out, newAdvertisement(spec.Host, "", l.Name, id, l.AcceptRA))
		}
	}
	for _, n := range h.Snapshot.Netns {
		node, ok := h.nodes[n.Name]
		if !ok {
			continue
		}
		managed := h.managed(n)
		for _, l := range n.Links {
			if l.AcceptRA != 0 && managed[l.Name] {
				out = append(out, newAdvertisement(node, n.Name, l.Name, ID{"link", node + ":" + l.Name}, l.AcceptRA))
			}
		}
	}
	return out
}

func newAdvertisement(owner, netns, iface string, link ID, value int) advertisement {
	return advertisement{owner, netns, iface, link, value}
}

func (r advertisement) ID() ID         { return ID{"accept_ra", r.owner + ":" + r.iface} }
func (r advertisement) In() []ID       { return []ID{r.link} }
func (r advertisement) Needs() []ID    { return []ID{r.link} }
func (r advertisement) Attrs() []Attr  { return []Attr{{"value", strconv.Itoa(r.value)}} }
func (r advertisement) Detail() string { return "hears router advertisements" }

func (r advertisement) set(value int) []kernel.Op {
	return []kernel.Op{kernel.SysctlSet{SysctlKey: kernel.AcceptRAKey(r.netns, r.iface), Value: strconv.Itoa(value)}}
}

func (r advertisement) Create() []kernel.Op                 { return r.set(r.value) }
func (r advertisement) Delete() []kernel.Op                 { return r.set(0) }
func (r advertisement) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }
