package fake

import (
	"cmp"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// lent is the record of a card that is in a node: where it is, and what it had.
type lent struct {
	uplink
	netns, name, mac, alias string
	mtu                     int
	group                   uint32
}

func (c *lent) facts() kernel.LentCard {
	return kernel.LentCard{Project: c.project, Card: c.card, Netns: c.netns, Name: c.name, MTU: c.mtu, MAC: c.mac}
}

func (m *Machine) lendCard(o kernel.CardLend) error {
	c := m.lent[o.Card]
	if c != nil && (c.project != o.Project || c.netns != o.Netns || c.name != o.Name) {
		return syscall.EBUSY
	}
	s := m.named[o.Netns]
	if s == nil {
		return syscall.ENOENT
	}
	card := m.host.link(o.Card)
	switch {
	case card == nil && c != nil && m.whereLent(c) != nil:
		return nil // it is there
	case card == nil:
		return syscall.ENODEV
	case card.master != nil:
		return syscall.EBUSY
	case s.link(o.Name) != nil:
		return syscall.EEXIST
	}
	m.recordCard(o)
	m.moveCard(card, s, o.Name, cmp.Or(o.MTU, card.mtu), o.Group, o.Up)
	return nil
}

// recordCard writes down what the card has, once.
func (m *Machine) recordCard(o kernel.CardLend) {
	if m.lent[o.Card] != nil {
		return
	}
	card := m.host.link(o.Card)
	c := &lent{
		uplink: uplink{project: o.Project, card: o.Card, up: card.up}, netns: o.Netns, name: o.Name,
		mac: card.mac, alias: card.alias, mtu: card.mtu, group: card.group,
	}
	c.has(m, card)
	m.lent[o.Card] = c
}

// whereLent is the card in the node; nil: it is not there.
func (m *Machine) whereLent(c *lent) *link {
	if s := m.named[c.netns]; s != nil {
		return s.link(c.name)
	}
	return nil
}

// moveCard: what changes its namespace is set down, and loses all that it has.
func (m *Machine) moveCard(card *link, to *space, name string, mtu int, group uint32, up bool) {
	from := card.space
	m.setDown(card)
	card.addrs = nil
	from.links = slices.DeleteFunc(from.links, func(l *link) bool { return l == card })
	from.forget(card.name)
	card.space, card.name, card.mtu, card.group = to, name, mtu, group
	to.links = append(to.links, card)
	to.inherit(name)
	if up {
		m.setUp(card)
	}
}

func (m *Machine) returnCard(o kernel.CardReturn) error {
	c := m.lent[o.Card]
	if c == nil || c.project != o.Project {
		return errAbsent
	}
	card := m.whereLent(c)
	if card == nil { // with its namespace away, hardware is where the kernel put it
		if card = m.host.link(c.card); card == nil {
			card = m.stray(c)
		}
	}
	if card != nil {
		if card.space != m.host || card.name != c.card {
			m.moveCard(card, m.host, c.card, c.mtu, c.group, c.up)
			card.alias, card.mac = c.alias, c.mac
		}
		m.give(&c.uplink, card)
		m.refresh(card)
	}
	delete(m.lent, o.Card)
	return nil
}

func (m *Machine) stray(c *lent) *link {
	for _, l := range m.host.links {
		if l.kind == "" && l.mac == c.mac {
			return l
		}
	}
	return nil
}

// evict puts the hardware of a namespace that goes away into the first one (default_device_exit_net).
func (m *Machine) evict(s *space) {
	for _, l := range slices.Clone(s.links) {
		if l.kind == "" {
			name := l.name
			if m.host.link(name) != nil {
				name = "dev" + name
			}
			m.moveCard(l, m.host, name, l.mtu, l.group, false)
		}
	}
}
