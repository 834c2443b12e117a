package planner

import (
	"fmt"
	"net/netip"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// uplinkConflicts looks at the cards that are about to become ports: what can't be one, and what is another's. Without a link
// there is no machine to look at (plan --offline).
func uplinkConflicts(w *Want, h *Have, changes map[ID]*Change) Conflicts {
	if w.Topology == nil || len(h.Snapshot.Host.Links) == 0 {
		return nil
	}
	var out Conflicts
	for _, b := range w.Topology.Bridges {
		for _, u := range b.Uplinks {
			if changes[ID{"uplink", u.Name}] == nil {
				continue
			}
			holder, ways := cardConflict(w, h, b, u)
			if holder != "" {
				out = append(out, &ConflictError{Object: "uplink " + u.Name + " of bridge " + b.Name, Holder: holder, Ways: ways})
			}
		}
	}
	return out
}

func cardConflict(w *Want, h *Have, b spec.Bridge, u spec.Uplink) (holder string, ways []string) {
	look := "look for its name: ip -brief link"
	if v, made := madeVLAN(w, u); made {
		parent, ok := h.host[v.card]
		switch {
		case !ok:
			return "there is no interface " + v.card + " on the host", []string{look}
		case !parent.Up:
			return v.card + " is down", []string{"set it up: ip link set " + v.card + " up"}
		}
		return tooBig(b, parent)
	}
	l, ok := h.host[u.Name]
	if !ok {
		return "there is no such interface on the host", []string{look}
	}
	if m, marked := kernel.ParseMark(l.Alias); marked {
		return heldBy(m, ""), []string{"name another interface"}
	}
	for _, x := range h.Snapshot.Uplinks {
		if x.Card == u.Name && x.Project != w.Project {
			return "it is an uplink of " + x.Bridge + " of project " + x.Project, []string{"take that down: topo down -p " + x.Project, "name another interface"}
		}
	}
	for _, x := range h.Snapshot.Host.Links {
		if x.Parent == (kernel.End{Name: u.Name}) && slices.Contains([]string{"macvlan", "macvtap", "ipvlan"}, x.Kind) {
			return "it carries the " + x.Kind + " " + x.Name + ", which takes the frames that the bridge would get", []string{"remove that: ip link delete " + x.Name}
		}
	}
	switch {
	case l.Kind == "bridge":
		return "it is a bridge", []string{"join that one: bridges: {NAME: {name: " + u.Name + ", external: true}}"}
	case l.Kind == "loopback":
		return "it is the loopback interface", []string{"name another interface"}
	case l.Wireless:
		return "it is wireless, and an access point takes no frames of others' addresses", []string{"use a card with a cable", "leave out uplinks: and let topo route (NAT)"}
	case l.Master != "" && !h.ownUplink(u.Name, l.Master):
		return "it is a member of " + l.Master, []string{"take it out: ip link set " + u.Name + " nomaster"}
	}
	if holder, ways = leased(h.Snapshot, u.Name); holder != "" {
		return holder, ways
	}
	if gateway, clash := sameAddress(h.Snapshot, b, u.Name); clash {
		return "it has " + gateway.String() + ", which is the bridge's gateway, too", []string{"leave out gateway: the bridge gets the card's addresses"}
	}
	return tooBig(b, l)
}

// ownUplink: the card is a port of the bridge that topo made it one of.
func (h *Have) ownUplink(card, master string) bool {
	return slices.ContainsFunc(h.Snapshot.Uplinks, func(x kernel.Uplink) bool { return x.Project == h.Project && x.Card == card && x.Bridge == master })
}

// leased: an address that somebody renews. He would go on doing so on the card. Addresses by router advertisements are the kernel's,
// which hears them on the bridge.
func leased(s kernel.Snapshot, card string) (holder string, ways []string) {
	for _, a := range s.Host.Addrs {
		autoconf := a.Prefix.Addr().Is6() && a.Prefix.Bits() == 64
		if a.Link == card && a.Dynamic && !a.Kernel && !autoconf {
			return fmt.Sprintf("its address %s ends by itself: a DHCP client renews it, and would do so on the card, not on the bridge", a.Prefix), []string{
				"stop the client and make the address a lasting one: ip address change " + a.Prefix.String() + " dev " + card + " valid_lft forever preferred_lft forever",
			}
		}
	}
	return "", nil
}

func sameAddress(s kernel.Snapshot, b spec.Bridge, card string) (netip.Addr, bool) {
	for _, sub := range b.Subnets {
		if slices.ContainsFunc(s.Host.Addrs, func(a kernel.Addr) bool { return a.Link == card && a.Prefix.Addr() == sub.Gateway }) {
			return sub.Gateway, true
		}
	}
	return netip.Addr{}, false
}

// tooBig: what the bridge lets through and the card doesn't would be lost without a word.
func tooBig(b spec.Bridge, card *kernel.Link) (holder string, ways []string) {
	if card.MTU >= b.MTU {
		return "", nil
	}
	return fmt.Sprintf("%s has an MTU of %d, less than the bridge's %d", card.Name, card.MTU, b.MTU), []string{fmt.Sprintf("write mtu: %d", card.MTU)}
}

// uplinkWarnings: two cards on one LAN and one bridge are a loop, and a loop takes the LAN down.
func uplinkWarnings(t *spec.Topology) []string {
	var out []string
	for _, b := range t.Bridges {
		if len(b.Uplinks) > 1 && !b.STP {
			out = append(out, fmt.Sprintf("bridge %s has %d uplinks and no stp: on one and the same LAN they are a loop", b.Name, len(b.Uplinks)))
		}
	}
	return out
}
