package planner

import (
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// physical is the type of an interface that is a card of the host's.
const physical = "physical"

// card is a network card of the host's that is in a node. Its ID is as a veth's, link/NODE:INTERFACE. It bears the project's group
// while it is there; whose it is, and what it had on the host, is in the record.
type card struct {
	id      ID
	project string
	card    string // on the host
	own     kernel.LinkAdd
	there   bool // in the namespace
	netns   ID
}

func desireCard(b *deviceBuilder, i spec.Interface) card {
	r := card{
		id: ID{"link", i.Node + ":" + i.Name}, project: b.Project, card: i.Parent.Name, there: true, netns: ID{"netns", i.Node},
		own: kernel.LinkAdd{Netns: b.netns[i.Node], Name: i.Name, MTU: i.MTU, Group: kernel.Group(b.Project), Up: i.Up},
	}
	// Once it is lent, what it had is in the record.
	had := b.onHost(r.card)
	for _, c := range b.Host.Lent {
		if c.Card == r.card {
			had = kernel.LinkAdd{MTU: c.MTU, MAC: c.MAC}
		}
	}
	if r.own.MTU == 0 {
		r.own.MTU = had.MTU
	}
	if bond, ok := b.bonds[r.id]; ok {
		r.own.MTU = bond.MTU
	}
	b.known[r.id] = kernel.LinkAdd{MTU: r.own.MTU, MAC: had.MAC}
	return r
}

func observeCards(h *Have) []Resource {
	var out []Resource
	for _, c := range h.Snapshot.Lent {
		if c.Project != h.Project {
			continue
		}
		node := h.nodeOfCard(c)
		r := card{id: ID{"link", node + ":" + c.Name}, project: c.Project, card: c.Card, netns: ID{"netns", node}, own: kernel.LinkAdd{Netns: c.Netns, Name: c.Name}}
		if l, ok := h.lentLink(c); ok {
			r.there = true
			r.own.MTU, r.own.Group, r.own.Up = l.MTU, l.Group, l.Up
		}
		out = append(out, r)
	}
	return out
}

// nodeOfCard is the node that a card was lent to, also when its namespace is gone.
func (h *Have) nodeOfCard(c kernel.LentCard) string {
	if node, ok := h.nodes[c.Netns]; ok {
		return node
	}
	if node, ok := h.lent[c.Card]; ok {
		return node
	}
	return c.Netns
}

func (h *Have) lentLink(c kernel.LentCard) (kernel.Link, bool) {
	for _, n := range h.Snapshot.Netns {
		for _, l := range n.Links {
			if n.Name == c.Netns && l.Name == c.Name {
				return l, true
			}
		}
	}
	return kernel.Link{}, false
}

// isLent: the interface of a node is a card of the host's.
func (h *Have) isLent(netns, name string) bool {
	return slices.ContainsFunc(h.Snapshot.Lent, func(c kernel.LentCard) bool { return c.Project == h.Project && c.Netns == netns && c.Name == name })
}

func (r card) ID() ID         { return r.id }
func (r card) Needs() []ID    { return []ID{r.netns} }
func (r card) Shared() bool   { return true }
func (r card) Detail() string { return "the host's " + r.card }
func (r card) Claims() []string {
	return []string{claimLink(r.own.Netns, r.own.Name), "card " + r.card}
}

func (r card) Attrs() []Attr {
	return []Attr{
		{"card", r.card},
		{"interface", r.own.Name},
		{"netns", r.own.Netns},
		{"is there", onOff(r.there)},
		{"mtu", number(r.own.MTU)},
		{"state", upDown(r.own.Up)},
		{"group", number(r.own.Group)},
	}
}

func (r card) Create() []kernel.Op {
	return []kernel.Op{kernel.CardLend{
		Project: r.project, Card: r.card, Netns: r.own.Netns, Name: r.own.Name, MTU: r.own.MTU, Group: r.own.Group, Up: r.own.Up,
	}}
}

func (r card) Delete() []kernel.Op {
	return []kernel.Op{kernel.CardReturn{Project: r.project, Card: r.card}}
}

func (r card) Update(have Resource) ([]kernel.Op, bool) {
	h, ok := have.(card)
	if !ok || h.card != r.card || h.own.Netns != r.own.Netns || h.own.Name != r.own.Name || !h.there {
		return nil, false
	}
	set := kernel.LinkSet{Netns: r.own.Netns, Name: r.own.Name}
	if h.own.MTU != r.own.MTU {
		set.MTU = &r.own.MTU
	}
	if h.own.Up != r.own.Up {
		set.Up = &r.own.Up
	}
	if h.own.Group != r.own.Group {
		set.Group = &r.own.Group
	}
	return []kernel.Op{set}, true
}

// Lost: before the namespace goes, the card is given back.
func (r card) Lost(gone func(ID) bool) (ID, Action, bool) {
	return r.netns, Replace, gone(r.netns)
}

// lentConflicts looks at the cards that are about to be lent.
func lentConflicts(h *Have, changes map[ID]*Change) Conflicts {
	var out Conflicts
	for id, c := range changes {
		r, ok := c.Want.(card)
		if !ok || len(h.Snapshot.Host.Links) == 0 || c.Action == Update {
			continue
		}
		if holder, ways := h.cardHolder(r); holder != "" {
			out = append(out, &ConflictError{Object: "card " + r.card + " for " + id.String(), Holder: holder, Ways: ways})
		}
	}
	return out
}

func (h *Have) cardHolder(r card) (holder string, ways []string) {
	for _, c := range h.Snapshot.Lent {
		switch {
		case c.Card == r.card && c.Project == h.Project:
			return "", nil // it comes back first
		case c.Card == r.card:
			return "it is lent to " + c.Netns + " of project " + c.Project, []string{"take that down: topo down -p " + c.Project}
		}
	}
	l, ok := h.host[r.card]
	if !ok {
		return "there is no such interface on the host", []string{"look for its name: ip -brief link"}
	}
	if m, marked := kernel.ParseMark(l.Alias); marked {
		return heldBy(m, ""), []string{"name another interface"}
	}
	switch {
	case l.Kind == "loopback" || l.Kind == "bridge":
		return "it is no card but a " + l.Kind, []string{"name another interface"}
	case l.Master != "":
		return "it is a member of " + l.Master, []string{"take it out: ip link set " + r.card + " nomaster"}
	}
	return "", nil
}
