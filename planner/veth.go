package planner

import (
	"topo/internal/kernel"
)

// veth is one end of a veth pair: kind link for the end in a node (or in the host's
// namespace by the file's word), kind port for the end that is a bridge's port.
//
// Both ends are made by one message. The end that carries it is the first of the pair that is
// not a port; the other end is carried: its own creation needs no op, and where it alone is missing or
// must be made anew, the pair is.
type veth struct {
	id      ID
	carrier ID // the end whose creation makes this one; own ID for that end itself
	kind    string
	own     kernel.VethEnd
	other   kernel.VethEnd // wanted ends only
	// peer is what stands at the other end: a resource's ID.
	peer  string
	port  kernel.PortAttrs // of a port; its state is not the file's
	needs []ID
}

// pair makes the two resources of a veth.
func pair(a, b veth) []veth {
	carrier := a.id
	if a.id.Kind == "port" && b.id.Kind == "link" {
		carrier = b.id
	}
	needs := append(append([]ID{}, a.needs...), b.needs...)
	a.carrier, b.carrier = carrier, carrier
	a.kind, b.kind = "veth", "veth"
	a.other, b.other = b.own, a.own
	a.peer, b.peer = b.id.String(), a.id.String()
	a.needs, b.needs = needs, needs
	return []veth{a, b}
}

func (r veth) ID() ID      { return r.id }
func (r veth) Needs() []ID { return r.needs }

// CarriedBy is the resource whose creation makes this one too.
func (r veth) CarriedBy() (ID, bool) { return r.carrier, r.carrier != r.id }

func (r veth) Attrs() []Attr {
	attrs := []Attr{
		{"interface", r.own.Name},
		{"netns", orNone(r.own.Netns)},
		{"kind", r.kind},
		{"peer", orNone(r.peer)},
		{"mtu", number(r.own.MTU)},
	}
	if r.id.Kind == "link" {
		attrs = append(attrs, Attr{"mac", r.own.MAC})
	}
	attrs = append(attrs, Attr{"state", upDown(r.own.Up)}, Attr{"group", number(r.own.Group)})
	if r.marked() {
		attrs = append(attrs, Attr{"mark", orNone(r.own.Alias)})
	}
	attrs = append(attrs, Attr{"bridge", orNone(r.own.Master)})
	if r.id.Kind == "port" {
		attrs = append(attrs, portWords(r.port)...)
		attrs = append(attrs, Attr{"cost", number(r.port.Cost)})
	}
	return attrs
}

// marked: in a node a link is known by its name; what is none of the node's own interfaces has a mark there, too.
func (r veth) marked() bool { return r.own.Netns == "" || r.id.Kind == "port" }

func (r veth) Detail() string {
	if r.id.Kind == "port" {
		return r.own.Name + " on " + r.own.Master
	}
	return "veth to " + r.peer
}

func (r veth) Claims() []string {
	claims := []string{claimLink(r.own.Netns, r.own.Name)}
	if r.carrier == r.id && r.other.Name != "" {
		claims = append(claims, claimLink(r.other.Netns, r.other.Name))
	}
	return claims
}

func (r veth) Create() []kernel.Op {
	var ops []kernel.Op
	if r.carrier == r.id {
		ends := kernel.VethAdd{A: r.own, B: r.other}
		if r.other.Netns == "" && r.own.Netns != "" {
			// The near end is the host's: its master is honoured in the creating message.
			ends.A, ends.B = ends.B, ends.A
		}
		ops = append(ops, ends)
	}
	return append(ops, r.portSet(kernel.DefaultPort)...)
}

func (r veth) Delete() []kernel.Op {
	return []kernel.Op{kernel.LinkDelete{Netns: r.own.Netns, Name: r.own.Name}}
}

func (r veth) Update(have Resource) ([]kernel.Op, bool) {
	h, ok := have.(veth)
	if !ok || h.own.Name != r.own.Name || h.own.Netns != r.own.Netns || h.kind != r.kind || h.peer != r.peer {
		return nil, false
	}
	set := kernel.LinkSet{Netns: r.own.Netns, Name: r.own.Name}
	if h.own.MTU != r.own.MTU {
		set.MTU = &r.own.MTU
	}
	if r.own.MAC != "" && h.own.MAC != r.own.MAC && r.id.Kind == "link" {
		set.MAC = &r.own.MAC
	}
	if h.own.Group != r.own.Group {
		set.Group = &r.own.Group
	}
	if h.own.Up != r.own.Up {
		set.Up = &r.own.Up
	}
	if r.marked() && h.own.Alias != r.own.Alias {
		set.Alias = &r.own.Alias
	}
	if h.own.Master != r.own.Master {
		set.Master = &r.own.Master
	}
	var ops []kernel.Op
	if set != (kernel.LinkSet{Netns: r.own.Netns, Name: r.own.Name}) {
		ops = append(ops, set)
	}
	// A port that joins a bridge starts with the bridge's defaults.
	if h.own.Master != r.own.Master {
		h.port = kernel.DefaultPort
	}
	return append(ops, r.portSet(h.port)...), true
}

// portSet are the edits that give a port its parameters, where it has others.
func (r veth) portSet(have kernel.PortAttrs) []kernel.Op {
	if r.id.Kind != "port" {
		return nil
	}
	return portSet(r.own.Netns, r.own.Name, have, r.port)
}

// portWords are how a bridge treats a port, but for the cost.
func portWords(p kernel.PortAttrs) []Attr {
	return []Attr{
		{"isolated", onOff(p.Isolated)},
		{"hairpin", onOff(p.Hairpin)},
		{"learning", onOff(p.Learning)},
		{"flood", onOff(p.Flood)},
		{"mcast_flood", onOff(p.McastFlood)},
		{"bcast_flood", onOff(p.BcastFlood)},
		{"priority", number(p.Priority)},
	}
}

// portSet are the edits that give a port its parameters, where it has others.
func portSet(netns, name string, have, p kernel.PortAttrs) []kernel.Op {
	set := kernel.PortSet{
		Netns:      netns,
		Name:       name,
		Isolated:   other(have.Isolated, p.Isolated),
		Hairpin:    other(have.Hairpin, p.Hairpin),
		Learning:   other(have.Learning, p.Learning),
		Flood:      other(have.Flood, p.Flood),
		McastFlood: other(have.McastFlood, p.McastFlood),
		BcastFlood: other(have.BcastFlood, p.BcastFlood),
		Cost:       other(have.Cost, p.Cost),
		Priority:   other(have.Priority, p.Priority),
	}
	if set == (kernel.PortSet{Netns: netns, Name: name}) {
		return nil
	}
	return []kernel.Op{set}
}

// Lost: the ends of a pair go together, and a port comes off a bridge that is replaced.
func (r veth) Lost(gone func(ID) bool) (ID, Action, bool) {
	for _, id := range r.needs {
		if id.Kind == "netns" && gone(id) {
			return id, Replace, true
		}
	}
	return ID{}, "", false
}

// Without is the port as it is after its bridge was removed: attached to none.
func (r veth) Without(id ID) Resource {
	if id.Kind == "bridge" && r.id.Kind == "port" && r.own.Master != "" {
		r.own.Master, r.port = "", kernel.DefaultPort
		return r
	}
	return nil
}
