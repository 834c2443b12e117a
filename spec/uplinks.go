package spec

import (
	"slices"
	"strconv"
	"strings"
)

// Uplink is an interface of the host's that is a port of a bridge: a network card, or a VLAN of one.
type Uplink struct {
	Pos  Pos
	Name string // "em1", "em1.101"
	// VLANs are those of the port; nil: as a new one's.
	VLANs *VLANs `json:",omitempty"`
}

// VLAN takes the name of a VLAN of a card apart: "em1.101". Where the machine has no interface of that name, it is made.
func (u Uplink) VLAN() (card string, id int, ok bool) {
	at := strings.LastIndexByte(u.Name, '.')
	if at <= 0 {
		return "", 0, false
	}
	id, err := strconv.Atoi(u.Name[at+1:])
	if err != nil || id < 1 || id > maxVLAN || u.Name[at+1] == '0' {
		return "", 0, false
	}
	return u.Name[:at], id, true
}

// readUplinks comes before the subnets: the LAN behind an uplink has addresses and a router of its own.
func (r *resolver) readUplinks(s *bridgeState, b *Bridge, raw bridge) {
	names := set(raw.Uplinks.List)
	stated := map[string]*VLANs{}
	for _, e := range raw.Uplinks.Map {
		names = append(names, text{origin: origin{Pos: e.Pos, Set: true}, Value: e.Key})
		stated[e.Key] = r.portVLANs(e.Value.VLAN, b)
	}
	if len(names) == 0 {
		return
	}
	switch {
	case raw.Node.Set:
		r.add(raw.uplinksPos(), "uplinks are cards of the host's; a bridge in a node gets one as an interface of the node: type: physical")
	case b.External:
		r.add(raw.uplinksPos(), "uplinks can't be set on an external bridge: topo adds ports of nodes to it and nothing else")
	case b.Internal:
		r.add(raw.uplinksPos(), "uplinks lead out, and nothing leaves an internal bridge")
	}
	for _, t := range names {
		if t.Value == "lo" {
			r.add(t.Pos, "lo can't be a port of a bridge")
			continue
		}
		if !r.checkInterface(t.Pos, t.Value) {
			continue
		}
		r.claimHost(t.Pos, t.Value, "an uplink of bridge "+b.Name)
		b.Uplinks = append(b.Uplinks, Uplink{Pos: t.Pos, Name: t.Value, VLANs: stated[t.Value]})
		s.ports++
	}
}

// uplinksPos is where the list begins.
func (b bridge) uplinksPos() Pos {
	if len(b.Uplinks.List) > 0 {
		return b.Uplinks.List[0].Pos
	}
	return b.Uplinks.Map[0].Pos
}

// uplinksTogether: what takes all frames of a card leaves none to a bridge.
func (r *resolver) uplinksTogether() {
	for _, b := range r.topo.Bridges {
		for _, u := range b.Uplinks {
			for _, i := range r.topo.Interfaces {
				if p := i.Parent; p != nil && p.Node == Host && p.Name == u.Name && slices.Contains([]string{"macvlan", "macvtap", "ipvlan"}, i.Kind) {
					r.add(p.Pos, "%s is an uplink of bridge %s, and can't carry a %s as well: join the bridge instead", u.Name, b.Name, i.Kind)
				}
			}
		}
	}
}

// ownCard checks an interface that is a card of the host's: there is but one of it.
func (r *resolver) ownCard(o ownInterface, i Interface) bool {
	switch {
	case i.Parent == nil:
		return false // noted
	case i.Parent.Node != Host:
		r.add(i.Parent.Pos, "the parent of a physical is a card of the host's: host:INTERFACE")
		return false
	case i.Impair != nil:
		r.add(o.raw.Impair.Pos, "type physical has no impair: the card's own queues stay")
		return false
	}
	if r.checkInterface(i.Parent.Pos, i.Parent.Name) {
		r.claimHost(i.Parent.Pos, i.Parent.Name, "a card in node "+o.node)
	}
	return true
}
