package planner

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"topo/internal/kernel"
	"topo/spec"
)

// uplink is a card of the host's that is a port of a bridge of topo's. The card bears no mark: it is not topo's. Whose it is for
// the time being, and what it had, is in the record.
type uplink struct {
	project  string
	card     string
	bridge   string // kernel name of the one that has what was the card's
	master   string // what the card is a port of
	up       bool
	left     string // what the card has that belongs on the bridge
	missing  string // what the bridge lacks of what was the card's
	patience time.Duration
	on       ID // the bridge
	link     ID // the VLAN that topo makes; zero: the card is there by itself
	about    string
	// vlans are those of the port, where its bridge filters them, or the file says any; nil: they are not compared.
	vlans []kernel.VLAN
	// addrs and routes are the card's, for the printed line.
	addrs  []netip.Prefix
	routes []kernel.Route
}

var uplinkKind = Kind{Name: "uplink", Desire: desireUplinks, Observe: observeUplinks}

// gatewayPatience is how long a gateway may take to answer by way of the bridge: ARP asks again every second, and a switch
// may look for loops first. A spanning tree of the bridge's own listens and learns before that.
const gatewayPatience = 10 * time.Second

func desireUplinks(w *Want) []Resource {
	var out []Resource
	for _, b := range w.Topology.Bridges {
		for _, u := range b.Uplinks {
			r := uplink{
				project: w.Project, card: u.Name, bridge: b.Interface, master: b.Interface, up: true, patience: gatewayPatience, on: ID{"bridge", b.Name},
				about: "port of " + b.Interface,
			}
			switch {
			case u.VLANs != nil:
				r.vlans = append([]kernel.VLAN{}, vlansOf(*u.VLANs)...)
			case b.VLANFiltering:
				r.vlans = kernel.DefaultVLANs(initialPVID)
			}
			if b.STP {
				r.patience += 2 * b.ForwardDelay
			}
			if _, made := madeVLAN(w, u); made {
				r.link = ID{"link", spec.Host + ":" + u.Name}
			} else if r.addrs = addressesOn(w.Host, u.Name); len(r.addrs) > 0 {
				r.about += ", with " + join(r.addrs)
			}
			r.routes = routesBy(w.Host, u.Name)
			out = append(out, r)
		}
	}
	return out
}

func observeUplinks(h *Have) []Resource {
	var out []Resource
	for _, u := range h.Snapshot.Uplinks {
		if u.Project != h.Project {
			continue
		}
		l := h.link("", u.Card)
		r := uplink{
			project: u.Project, card: u.Card, bridge: u.Bridge, master: l.Master, up: l.Up,
			left: leftOn(h.Snapshot, u), missing: missingOf(h.Snapshot, u), on: h.bridgeID(u.Bridge),
		}
		if w, ok := h.want[r.ID()].(uplink); ok && w.vlans != nil {
			r.vlans = append([]kernel.VLAN{}, l.VLANs...)
		}
		if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == h.Project {
			r.link = parseID(m.ID)
		}
		out = append(out, r)
	}
	return out
}

// bridgeID is the resource of a bridge by its kernel name, also of one that is gone.
func (h *Have) bridgeID(name string) ID {
	if l, ok := h.host[name]; ok && h.own(l) {
		return h.linkID(l)
	}
	if id, ok := h.names[name]; ok {
		return id
	}
	return ID{"bridge", name}
}

// leftOn is what somebody gave the card while it was a port. What the kernel gives each interface stays there.
func leftOn(s kernel.Snapshot, u kernel.Uplink) string {
	words := join(addressesOn(s, u.Card))
	for _, r := range s.Host.Routes {
		if r.By(u.Card) && r.Static() {
			words = strings.TrimPrefix(words+", route "+r.Dst.String(), ", ")
		}
	}
	return words
}

func addressesOn(s kernel.Snapshot, link string) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range s.Host.Addrs {
		if a.Link == link && !a.Kernel && !a.Dynamic {
			out = append(out, a.Prefix)
		}
	}
	return out
}

// routesBy are those by a link alone that people make.
func routesBy(s kernel.Snapshot, link string) []kernel.Route {
	var out []kernel.Route
	for _, r := range s.Host.Routes {
		if r.Link == link && r.Static() {
			out = append(out, r)
		}
	}
	return out
}

func missingOf(s kernel.Snapshot, u kernel.Uplink) string {
	there := addressesOn(s, u.Bridge)
	var words []string
	for _, p := range u.Addrs {
		if !slices.Contains(there, p) {
			words = append(words, p.String())
		}
	}
	for _, r := range u.Routes {
		if !slices.ContainsFunc(s.Host.Routes, func(x kernel.Route) bool {
			return x.Dst == r.Dst && x.Via == r.Via && x.Link == r.Link && x.Metric == r.Metric && x.Table == r.Table && x.Type == r.Type &&
				slices.Equal(x.Ways, r.Ways)
		}) {
			words = append(words, "route "+r.Dst.String())
		}
	}
	return strings.Join(words, ", ")
}

func join(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}

func (r uplink) ID() ID         { return ID{"uplink", r.card} }
func (r uplink) Needs() []ID    { return []ID{r.on, {"up", r.on.Name}, r.link} }
func (r uplink) Shared() bool   { return true }
func (r uplink) Detail() string { return r.about }

func (r uplink) Attrs() []Attr {
	attrs := []Attr{
		{"bridge", r.bridge}, {"port of", orNone(r.master)}, {"state", upDown(r.up)}, {"left on the card", orNone(r.left)}, {"missing on the bridge", orNone(r.missing)},
	}
	if r.vlans != nil {
		attrs = append(attrs, Attr{"vlan", r.port().Detail()})
	}
	return attrs
}

// port is the VLANs of the card as a port.
func (r uplink) port() vlan { return vlan{iface: r.card, vlans: r.vlans, initial: initialPVID} }

func (r uplink) Create() []kernel.Op {
	take := kernel.UplinkTake{Project: r.project, Card: r.card, Bridge: r.bridge, Patience: r.patience, Addrs: r.addrs, Routes: r.routes}
	if r.vlans != nil {
		take.Port = r.port().Create()
	}
	return []kernel.Op{take}
}

func (r uplink) Delete() []kernel.Op {
	return []kernel.Op{kernel.UplinkRelease{Project: r.project, Card: r.card}}
}

// Update: a move that is done again does what is left to do. For another bridge the card first gets back what it had.
func (r uplink) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(uplink)
	var vlans []kernel.Op
	if r.vlans != nil && h.master == r.bridge {
		vlans = r.port().from(h.vlans)
	}
	if h.bridge == r.bridge && h.master == r.master && h.up == r.up && h.left == r.left && h.missing == r.missing {
		return vlans, true
	}
	return append(r.Create(), vlans...), h.bridge == r.bridge
}

// Lost: when the bridge goes, the card has first all back that it had.
func (r uplink) Lost(gone func(ID) bool) (ID, Action, bool) {
	for _, id := range []ID{r.on, r.link} {
		if id != (ID{}) && gone(id) {
			return id, Replace, true
		}
	}
	return ID{}, "", false
}

// movedHere: an address of a bridge that was a card's, by the record.
func (h *Have) movedHere(a kernel.Addr) bool {
	return slices.ContainsFunc(h.Snapshot.Uplinks, func(u kernel.Uplink) bool {
		return u.Project == h.Project && u.Bridge == a.Link && (a.Dynamic || slices.Contains(u.Addrs, a.Prefix))
	})
}

// cardVLAN is a VLAN of a card that topo makes, because the machine has none of that name.
type cardVLAN struct {
	name, card string
	id         int
}

// madeVLAN: an uplink that is topo's own VLAN: it is not there, or made by topo.
func madeVLAN(w *Want, u spec.Uplink) (cardVLAN, bool) {
	card, id, ok := u.VLAN()
	if !ok {
		return cardVLAN{}, false
	}
	if l, there := hostLink(w.Host, u.Name); there {
		m, _ := kernel.ParseMark(l.Alias)
		ours := m.Project == w.Project || l.Alias == "" && l.Group == kernel.Group(w.Project) // unfinished
		return cardVLAN{u.Name, card, id}, ours
	}
	return cardVLAN{u.Name, card, id}, true
}

func hostLink(s kernel.Snapshot, name string) (kernel.Link, bool) {
	for _, l := range s.Host.Links {
		if l.Name == name {
			return l, true
		}
	}
	return kernel.Link{}, false
}

// uplinkVLANs are the interfaces that topo makes for uplinks.
func uplinkVLANs(w *Want) []spec.Interface {
	var out []spec.Interface
	for _, b := range w.Topology.Bridges {
		for _, u := range b.Uplinks {
			if v, made := madeVLAN(w, u); made {
				out = append(out, spec.Interface{
					Pos: u.Pos, Node: spec.Host, Name: v.name, Kind: "vlan", Up: true,
					Parent: &spec.InterfaceName{Pos: u.Pos, Node: spec.Host, Name: v.card},
					Params: []spec.InterfaceParam{{Name: "id", Value: number(v.id)}},
				})
			}
		}
	}
	return out
}

// uplinkMAC is the address of a bridge that takes a card's place: the neighbours know it, and switches that let one address through
// let this one through. "" where there is none.
func uplinkMAC(w *Want, b spec.Bridge) string {
	for _, u := range b.Uplinks {
		names := []string{u.Name}
		if card, _, ok := u.VLAN(); ok {
			names = append(names, card)
		}
		for _, name := range names {
			if l, ok := hostLink(w.Host, name); ok {
				return l.MAC
			}
		}
	}
	return ""
}

func uplinkNeeds(t *spec.Topology, host kernel.Snapshot, need func(pos spec.Pos, what, option string)) {
	for _, i := range uplinkVLANs(&Want{Topology: t, Project: t.Name, Host: host}) {
		need(i.Pos, "vlan", "VLAN_8021Q")
	}
}
