package planner

import (
	"net/netip"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// link: the ends of veths that are in nodes, and those in the host's namespace that are no bridge's port.
var linkKind = Kind{
	Name:    "link",
	Desire:  func(w *Want) []Resource { return w.linksOf("link") },
	Observe: func(h *Have) []Resource { return append(observeLinks(h, "link"), observeCards(h)...) },
}

// macName is what the MAC address of an attachment is derived from: its address on the bridge. So an address has one MAC address
// whichever node has it, and neighbours who knew the node that had it before reach the next one at once.
func macName(name string, a spec.Attachment) ID {
	i := slices.IndexFunc(a.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() })
	switch {
	case i >= 0:
		return ID{"address", a.Bridge + "/" + a.Addresses[i].Addr().String()}
	case len(a.Addresses) > 0:
		return ID{"address", a.Bridge + "/" + a.Addresses[0].Addr().String()}
	}
	return ID{"link", name}
}

// desireVeths lists both ends of every veth: attachments of nodes to bridges, and links. Members of bonds are given their MAC addresses
// and MTUs.
func desireVeths(w *Want, bonds map[ID]kernel.LinkAdd) []veth {
	var out []veth
	join := func(a, b veth) {
		for _, v := range []*veth{&a, &b} {
			if bond, ok := bonds[v.id]; ok {
				v.own.MAC, v.own.MTU = bond.MAC, bond.MTU
			}
		}
		out = append(out, pair(a, b)...)
	}
	t := w.Topology
	group := kernel.Group(w.Project)
	bridges := bridgesByName(t)
	netns := netnsByNode(t)
	derive := func(mac string, id ID) string {
		if mac != "" {
			return mac
		}
		return deriveMAC(w.Host.HostID, w.Project, id.String())
	}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			b := bridges[a.Bridge]
			name := n.Name + ":" + a.Interface
			node := veth{
				id:    ID{"link", name},
				own:   kernel.VethEnd{Netns: n.Netns, Name: a.Interface, MAC: derive(a.MAC, macName(name, a)), MTU: a.MTU, Group: group, Up: true},
				needs: []ID{{"netns", n.Name}},
			}
			id := ID{"port", name}
			port := veth{
				id: id,
				own: kernel.VethEnd{
					Netns: b.Netns, Name: a.HostInterface, MTU: a.MTU, Group: group, Up: true,
					Master: b.Interface, Alias: mark(w.Project, id),
				},
				port:  portAttrs(w.Host, b, len(n.Ports) > 0, a.Port),
				needs: append([]ID{{"bridge", b.Name}}, netnsOf(b.Node)...),
			}
			join(node, port)
		}
	}
	for _, l := range t.Links {
		ends := [2]veth{}
		for i, e := range l.Ends {
			far := l.Ends[1-i]
			end := kernel.VethEnd{Name: e.Interface, MTU: e.MTU, Group: group, Up: e.Up}
			switch {
			case e.Bridge:
				b := bridges[e.Node]
				id := portID(e, far)
				end.Netns, end.Master, end.Alias = b.Netns, b.Interface, mark(w.Project, id)
				ends[i] = veth{id: id, own: end, port: portAttrs(w.Host, b, false, e.Port), needs: append([]ID{{"bridge", b.Name}}, netnsOf(b.Node)...)}
			case e.Node == spec.Host:
				id := ID{"link", e.Node + ":" + e.Interface}
				end.MAC, end.Alias = derive(e.MAC, id), mark(w.Project, id)
				ends[i] = veth{id: id, own: end}
			default:
				id := ID{"link", e.Node + ":" + e.Interface}
				end.Netns, end.MAC = netns[e.Node], derive(e.MAC, id)
				ends[i] = veth{id: id, own: end, needs: []ID{{"netns", e.Node}}}
			}
		}
		join(ends[0], ends[1])
	}
	return out
}

// portID is the resource of a link's end that is a bridge's port: it is called as what is plugged in.
func portID(e, far spec.Endpoint) ID {
	if far.Bridge {
		return ID{"port", e.Node + ":" + e.Interface}
	}
	return ID{"port", far.Node + ":" + far.Interface}
}

// portAttrs: nodes of a bridge with icc: false are kept apart by the bridge itself, and what is published to them
// reaches them because the host routes it. Where bridged packets go through iptables (br_netfilter), what is
// published is bridged, not routed: then the rules keep the nodes apart, and a node that publishes reaches
// itself only if its port may send frames back.
// What the file says of a port goes before all that.
func portAttrs(host kernel.Snapshot, b spec.Bridge, publishes bool, said *spec.BridgePort) kernel.PortAttrs {
	calls := callsIptables(host, kernel.IPv4) || callsIptables(host, kernel.IPv6)
	p := kernel.DefaultPort
	p.Isolated, p.Hairpin = !b.ICC && !calls, publishes && calls && b.Node == ""
	if said == nil {
		return p
	}
	if said.Isolated != nil {
		p.Isolated = *said.Isolated
	}
	if said.Hairpin != nil {
		p.Hairpin = *said.Hairpin
	}
	p.Learning, p.Flood, p.McastFlood, p.BcastFlood = said.Learning, said.Flood, said.McastFlood, said.BcastFlood
	p.Cost, p.Priority = said.Cost, said.Priority
	return p
}

// observeLinks lists the project's links of one kind.
func observeLinks(h *Have, kind string) []Resource {
	var out []Resource
	for _, l := range h.interfaces() {
		if l.id.Kind == kind && !h.isLent(l.netns, l.Name) {
			out = append(out, observeLink(h, l))
		}
	}
	return out
}

func observeLink(h *Have, l iface) Resource {
	if _, made := deviceOptions[l.Kind]; made {
		return observeDevice(h, l)
	}
	return observeVeth(h, l)
}

func observeVeth(h *Have, l iface) veth {
	r := veth{
		id: l.id, carrier: l.id, kind: l.Kind, peer: peerOf(h, l.Link),
		own: kernel.VethEnd{
			Netns: l.netns, Name: l.Name, MAC: l.MAC, MTU: l.MTU, Group: l.Group, Up: l.Up,
			Alias: l.Alias,
		},
	}
	// What is on no bridge is as a new port.
	r.port = kernel.DefaultPort
	if l.Port != nil {
		r.own.Master = l.Master
		r.port = *l.Port
		r.port.State = "" // not the file's
	}
	// Removing one end removes the other: the plan says so once.
	if far := parseID(r.peer); far.Kind == "link" && (l.id.Kind == "port" || far.Name < l.id.Name) {
		r.carrier = far
	}
	if l.netns != "" {
		r.needs = append(r.needs, ID{"netns", l.node})
	}
	if node, ok := h.nodes[l.Peer.Netns]; ok {
		r.needs = append(r.needs, ID{"netns", node})
		r.other.Netns = l.Peer.Netns
	}
	for _, m := range []place{{l.netns, l.Master}, {l.Peer.Netns, h.link(l.Peer.Netns, l.Peer.Name).Master}} {
		if _, id, ok := h.bridgeAt(m.netns, m.name); ok {
			r.needs = append(r.needs, id)
		}
	}
	return r
}

// peerOf is the resource at the other end.
func peerOf(h *Have, l *kernel.Link) string {
	if l.Peer.Name == "" {
		return ""
	}
	p, ok := h.spaces[l.Peer.Netns][l.Peer.Name]
	if _, inside := h.nodes[l.Peer.Netns]; inside {
		if !ok {
			p = &kernel.Link{Name: l.Peer.Name}
		}
		return h.insideID(l.Peer.Netns, p).String()
	}
	if ok && l.Peer.Netns == "" && h.own(p) {
		return h.linkID(p).String()
	}
	return l.Peer.Netns + ":" + l.Peer.Name
}

func bridgesByName(t *spec.Topology) map[string]spec.Bridge {
	m := make(map[string]spec.Bridge, len(t.Bridges))
	for _, b := range t.Bridges {
		m[b.Name] = b
	}
	return m
}

func netnsByNode(t *spec.Topology) map[string]string {
	m := make(map[string]string, len(t.Nodes))
	for _, n := range t.Nodes {
		m[n.Name] = n.Netns
	}
	return m
}
