package fake

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// uplink is the record of a card that is a port of a bridge: what it had.
type uplink struct {
	project, card, bridge string
	up                    bool
	addrs                 []kernel.Addr
	routes                []kernel.Route
}

func (u *uplink) facts() kernel.Uplink {
	f := kernel.Uplink{Project: u.project, Card: u.card, Bridge: u.bridge}
	for _, a := range u.addrs {
		if !a.Dynamic {
			f.Addrs = append(f.Addrs, a.Prefix)
		}
	}
	for _, r := range u.routes {
		if r.Static() {
			r.Link = u.bridge
			f.Routes = append(f.Routes, r)
		}
	}
	return f
}

// Silence makes a gateway answer on cards, and not by way of bridges.
func (m *Machine) Silence(gateway netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent[gateway] = true
}

func (m *Machine) takeUplink(o kernel.UplinkTake) error {
	card, bridge := m.host.link(o.Card), m.host.link(o.Bridge)
	u := m.uplinks[o.Card]
	switch {
	case card == nil, bridge == nil:
		return syscall.ENODEV
	case bridge.bridge == nil:
		return syscall.EOPNOTSUPP
	case u != nil && (u.project != o.Project || u.bridge != o.Bridge), card.master != nil && card.master != bridge:
		return syscall.EBUSY
	}
	if card.master == nil {
		if err := checkMaster(card, bridge); err != nil {
			return err
		}
	}
	silent := card.master == nil && o.Patience > 0 && slices.ContainsFunc(m.host.routes, func(r *route) bool {
		return r.link == card && r.Dst.Bits() == 0 && m.silent[r.Via]
	})
	m.recordUplink(o)
	fresh := card.master == nil
	m.moveUplink(m.uplinks[o.Card], card, bridge)
	if fresh {
		for _, op := range o.Port {
			if err := m.one(op); err != nil {
				return err
			}
		}
	}
	if silent {
		m.returnUplink(m.uplinks[o.Card])
		return fmt.Errorf("a gateway that answered on %s does not on %s: %w", o.Card, o.Bridge, syscall.ETIMEDOUT)
	}
	return nil
}

// recordUplink writes down what the card has, besides what is written already.
func (m *Machine) recordUplink(o kernel.UplinkTake) {
	card := m.host.link(o.Card)
	u := m.uplinks[o.Card]
	if u == nil {
		u = &uplink{project: o.Project, card: o.Card, bridge: o.Bridge, up: card.up}
		m.uplinks[o.Card] = u
	}
	u.has(m, card)
}

// has adds what a card has to what is written down.
func (u *uplink) has(m *Machine, card *link) {
	for _, a := range card.addrs {
		if movable(a) && !slices.ContainsFunc(u.addrs, func(x kernel.Addr) bool { return x.Prefix == a.Prefix }) {
			u.addrs = append(u.addrs, a)
		}
	}
	for _, r := range m.host.routes {
		if r.link == card && r.Protocol != protocolKernel && !hasRoute(u.routes, r.Route) {
			u.routes = append(u.routes, r.Route)
		}
	}
}

// movable: the kernel makes the others of each interface by itself.
func movable(a kernel.Addr) bool { return !a.Kernel || !a.Prefix.Addr().IsLinkLocalUnicast() }

func (m *Machine) moveUplink(u *uplink, card, bridge *link) {
	if card.master != bridge {
		m.attach(card, bridge)
	}
	if !card.up {
		m.setUp(card)
	}
	m.give(u, bridge)
	m.take(u, card)
	m.refresh(card)
}

// give gives a link what is written down and it has not.
func (m *Machine) give(u *uplink, to *link) {
	for _, a := range u.addrs {
		_ = m.addAddr(kernel.AddrAdd{Link: to.name, Prefix: a.Prefix}) // EEXIST: it has it
	}
	for _, r := range u.routes {
		there := slices.ContainsFunc(m.host.routes, func(x *route) bool { return x.link == to && reflect.DeepEqual(x.Route, r) })
		if to.up && !there {
			m.host.routes = append(m.host.routes, &route{Route: r, link: to})
		}
	}
}

// take takes it from a link.
func (m *Machine) take(u *uplink, from *link) {
	m.host.routes = slices.DeleteFunc(m.host.routes, func(r *route) bool {
		return r.link == from && hasRoute(u.routes, r.Route)
	})
	for _, a := range slices.Backward(u.addrs) {
		_ = m.deleteAddr(kernel.AddrDelete{Link: from.name, Prefix: a.Prefix}) // it may have none
	}
}

func (m *Machine) releaseUplink(o kernel.UplinkRelease) error {
	u := m.uplinks[o.Card]
	if u == nil || u.project != o.Project {
		return errAbsent
	}
	m.returnUplink(u)
	return nil
}

func (m *Machine) returnUplink(u *uplink) {
	card, bridge := m.host.link(u.card), m.host.link(u.bridge)
	if card != nil {
		m.detachUplink(u, card, bridge)
		m.give(u, card)
	}
	if card != nil && bridge != nil {
		m.take(u, bridge)
	}
	delete(m.uplinks, u.card)
}

func (m *Machine) detachUplink(u *uplink, card, bridge *link) {
	if bridge != nil && card.master == bridge {
		m.detach(card)
	}
	switch {
	case u.up && !card.up:
		m.setUp(card)
	case !u.up && card.up:
		m.setDown(card)
	}
	m.refresh(card)
}

// halfUplink leaves the addresses on both.
func (m *Machine) halfUplink(op kernel.Op) {
	switch o := op.(type) {
	case kernel.UplinkTake:
		card, bridge := m.host.link(o.Card), m.host.link(o.Bridge)
		if card == nil || bridge == nil || card.master != nil {
			return
		}
		m.recordUplink(o)
		m.attach(card, bridge)
		m.give(m.uplinks[o.Card], bridge)
	case kernel.UplinkRelease:
		u := m.uplinks[o.Card]
		if u == nil || m.host.link(o.Card) == nil {
			return
		}
		m.detachUplink(u, m.host.link(o.Card), m.host.link(u.bridge))
		m.give(u, m.host.link(o.Card))
	}
}

func hasRoute(routes []kernel.Route, r kernel.Route) bool {
	return slices.ContainsFunc(routes, func(x kernel.Route) bool { return reflect.DeepEqual(x, r) })
}
