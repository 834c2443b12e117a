package planner

import "topo/internal/kernel"

// remote is a static entry of a VXLAN's forwarding database.
type remote struct {
	netns string
	owner string // node, or "host"
	iface string
	link  ID
	entry kernel.VXLANRemote
}

var remoteKind = Kind{Name: "remote", Desire: desireRemotes, Observe: observeRemotes}

func desireRemotes(w *Want) []Resource {
	var out []Resource
	netns := netnsByNode(w.Topology)
	for _, i := range interfacesHere(w) {
		for _, r := range i.Remotes {
			e := kernel.VXLANRemote{MAC: r.MAC, Remote: r.Addr.String()}
			if e.MAC == "" {
				e.MAC = kernel.NoMAC
			}
			out = append(out, remote{netns: netns[i.Node], owner: i.Node, iface: i.Name, link: ID{"link", i.Node + ":" + i.Name}, entry: e})
		}
	}
	return out
}

func observeRemotes(h *Have) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		for _, e := range l.Remotes {
			out = append(out, remote{netns: l.netns, owner: l.node, iface: l.Name, link: l.id, entry: e})
		}
	}
	return out
}

func (r remote) ID() ID {
	name := r.owner + ":" + r.iface + "/" + r.entry.Remote
	if r.entry.MAC != kernel.NoMAC {
		name += "/" + r.entry.MAC
	}
	return ID{"remote", name}
}

func (r remote) In() []ID      { return []ID{r.link} }
func (r remote) Needs() []ID   { return []ID{r.link} }
func (r remote) Attrs() []Attr { return []Attr{{"interface", r.iface}} }

// Detail says what goes there, where that is not all.
func (r remote) Detail() string {
	if r.entry.MAC == kernel.NoMAC {
		return ""
	}
	return r.entry.MAC
}

func (r remote) Create() []kernel.Op {
	return []kernel.Op{kernel.RemoteAdd{Netns: r.netns, Link: r.iface, VXLANRemote: r.entry}}
}

func (r remote) Delete() []kernel.Op {
	return []kernel.Op{kernel.RemoteDelete{Netns: r.netns, Link: r.iface, VXLANRemote: r.entry}}
}

func (r remote) Update(Resource) ([]kernel.Op, bool) { return nil, false }
