package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// Move is a card that a plan makes a port of a bridge, with what goes to the bridge; or one that goes into a node.
type Move struct {
	Card         string
	Bridge, Node string // one of the two
	Addresses    []netip.Prefix
	Default      bool         // a default route is by it
	Gateways     []netip.Addr // of its default routes; one to whoever is on the wire has none
}

// moves are in the order of the plan. A card that is a port already, and is repaired, moves nothing that is of use now.
func moves(p *Plan, s kernel.Snapshot) []Move {
	var out []Move
	for _, c := range p.Changes {
		if r, ok := c.Want.(card); ok && c.Action == Create {
			m := Move{Card: r.card, Node: r.netns.Name}
			m.add(s, r.card)
			out = append(out, m)
		}
		r, ok := c.Want.(uplink)
		if !ok || c.Action == Update {
			continue
		}
		m := Move{Card: r.card, Bridge: r.bridge}
		m.add(s, r.card)
		for _, u := range s.Uplinks {
			if u.Card == r.card {
				m.add(s, u.Bridge) // it has what was the card's
			}
		}
		out = append(out, m)
	}
	return out
}

func (m *Move) add(s kernel.Snapshot, link string) {
	for _, a := range s.Host.Addrs {
		if a.Link == link && (!a.Kernel || !a.Prefix.Addr().IsLinkLocalUnicast()) {
			m.Addresses = append(m.Addresses, a.Prefix)
		}
	}
	for _, r := range s.Host.Routes {
		if r.Dst.Bits() != 0 {
			continue
		}
		for _, way := range r.Hops() {
			if way.Link != link {
				continue
			}
			m.Default = true
			if way.Via.IsValid() && !slices.Contains(m.Gateways, way.Via) {
				m.Gateways = append(m.Gateways, way.Via)
			}
		}
	}
}

// Carries says what depends on the card: the default route, and the session with a local address (invalid: none); "" for nothing.
func (m Move) Carries(session netip.Addr) string {
	var words []string
	switch {
	case len(m.Gateways) > 0:
		vias := make([]string, len(m.Gateways))
		for i, g := range m.Gateways {
			vias[i] = g.String()
		}
		words = append(words, "the default route (via "+strings.Join(vias, ", ")+")")
	case m.Default:
		words = append(words, "the default route")
	}
	if session.IsValid() && slices.ContainsFunc(m.Addresses, func(p netip.Prefix) bool { return p.Addr() == session.Unmap() }) {
		words = append(words, fmt.Sprintf("the session that topo runs in (%s)", session.Unmap()))
	}
	return strings.Join(words, " and ")
}

// String says what happens.
func (m Move) String() string {
	switch {
	case m.Node != "":
		return fmt.Sprintf("%s goes into node %s, and the host is not reached by it any more", m.Card, m.Node)
	case len(m.Addresses) == 0:
		return fmt.Sprintf("%s becomes a port of %s", m.Card, m.Bridge)
	}
	return fmt.Sprintf("%s becomes a port of %s, which gets its addresses (%s), routes and static neighbours", m.Card, m.Bridge, join(m.Addresses))
}
