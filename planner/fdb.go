package planner

import (
	"strconv"

	"topo/internal/kernel"
	"topo/spec"
)

// fdb is a static entry of a bridge's forwarding database: a MAC address that is behind a port.
type fdb struct {
	netns string
	iface string
	port  ID
	in    []ID
	entry kernel.FDBEntry
}

var fdbKind = Kind{Name: "fdb", Desire: desireFDB, Observe: observeFDB}

func desireFDB(w *Want) []Resource {
	var out []Resource
	bridges := bridgesByName(w.Topology)
	add := func(bridge, iface string, port ID, said *spec.BridgePort) {
		if said == nil {
			return
		}
		for _, e := range said.FDB {
			out = append(out, fdb{
				netns: bridges[bridge].Netns, iface: iface, port: port, in: []ID{port, {"bridge", bridge}}, entry: kernel.FDBEntry{MAC: e.MAC, VLAN: e.VLAN},
			})
		}
	}
	for _, n := range w.Topology.Nodes {
		for _, a := range n.Attachments {
			add(a.Bridge, a.HostInterface, ID{"port", n.Name + ":" + a.Interface}, a.Port)
		}
	}
	for _, l := range w.Topology.Links {
		for i, e := range l.Ends {
			if e.Bridge {
				add(e.Node, e.Interface, portID(e, l.Ends[1-i]), e.Port)
			}
		}
	}
	return out
}

// observeFDB lists the entries of the project's ports that have an effect: those of a VLAN where VLANs are filtered, or are to
// be, and those of none elsewhere. On somebody else's bridge others may put some, too.
func observeFDB(h *Have) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		of, id, ours := h.bridgeAt(l.netns, l.Master)
		if len(l.FDB) == 0 || of.Bridge == nil || !h.isPort(l) {
			continue
		}
		filters := of.Bridge.VLANFiltering
		if b, ok := h.bridges[place{l.netns, of.Name}]; ok {
			filters = b.attrs.VLANFiltering
		}
		for _, e := range l.FDB {
			r := fdb{netns: l.netns, iface: l.Name, port: l.id, in: []ID{l.id, id}, entry: e}
			if h.want[r.ID()] != nil || ours && filters == (e.VLAN != 0) {
				out = append(out, r)
			}
		}
	}
	return out
}

// isPort reports whether an interface is a port that stays where it is: a veth's end, or a VXLAN that is wanted there.
func (h *Have) isPort(l iface) bool {
	if d, ok := h.want[l.id].(device); ok {
		return d.own.Master == l.Master
	}
	master, wanted := h.ports[l.id]
	return l.id.Kind == "port" && (!wanted || master == l.Master)
}

func (r fdb) ID() ID {
	name := r.port.Name + "/" + r.entry.MAC
	if r.entry.VLAN != 0 {
		name += "/" + strconv.Itoa(r.entry.VLAN)
	}
	return ID{"fdb", name}
}

func (r fdb) In() []ID { return r.in }

// Needs: the kernel takes no entry of a VLAN that the port does not belong to.
func (r fdb) Needs() []ID { return append([]ID{{"vlan", r.port.Name}}, r.in...) }

func (r fdb) Attrs() []Attr { return []Attr{{"mac", r.entry.MAC}, {"vlan", number(r.entry.VLAN)}} }

func (r fdb) Detail() string { return r.iface }

// Claims: a MAC address is behind one port of a bridge, and what is told later counts; what is told of no VLAN is told of all.
func (r fdb) Claims() []string {
	of := "fdb " + r.in[1].Name + " " + r.entry.MAC + " "
	if r.entry.VLAN == 0 {
		return []string{of + "0"}
	}
	return []string{of + number(r.entry.VLAN), of + "0"}
}

// Lost: the removal of an entry of no VLAN takes those of all VLANs along.
func (r fdb) Lost(gone func(ID) bool) (ID, Action, bool) {
	all := r
	all.entry.VLAN = 0
	return all.ID(), Create, r.entry.VLAN != 0 && gone(all.ID())
}

func (r fdb) Create() []kernel.Op {
	return []kernel.Op{kernel.FDBReplace{Netns: r.netns, Link: r.iface, FDBEntry: r.entry}}
}

func (r fdb) Delete() []kernel.Op {
	return []kernel.Op{kernel.FDBDelete{Netns: r.netns, Link: r.iface, FDBEntry: r.entry}}
}

func (r fdb) Update(Resource) ([]kernel.Op, bool) { return nil, false }
