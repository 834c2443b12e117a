package planner

import (
	"cmp"
	"net/netip"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// wireGuard is what an interface of that kind has besides: its key, its port, its mark.
type wireGuard struct {
	netns  string
	owner  string // node, or "host"
	iface  string
	link   ID
	key    kernel.KeyRef
	made   ID     // the key that topo makes for it; zero: it has another one
	public string // "" = known when the key is made
	port   int    // 0 = any
	mark   uint32
	yields bool // its port is another one's from now on, or the other way about: who has it must let it go first
}

var wireGuardKind = Kind{Name: "wireguard", Desire: desireWireGuards, Observe: observeWireGuards}

func desireWireGuards(w *Want) []Resource {
	var out []Resource
	netns := netnsByNode(w.Topology)
	for _, i := range w.Topology.Interfaces {
		if i.WireGuard == nil {
			continue
		}
		r := wireGuard{
			netns: netns[i.Node], owner: i.Node, iface: i.Name, link: ID{"link", i.Node + ":" + i.Name},
			key: keyRef(w.Project, i.WireGuard.Key, keyID(i).Name), port: i.WireGuard.ListenPort, mark: i.WireGuard.FwMark,
		}
		r.made = madeKey(r.key)
		r.public = publicKey(w.Host, r.key)
		out = append(out, r)
	}
	return out
}

// madeKey is the resource of a key that topo makes.
func madeKey(k kernel.KeyRef) ID {
	if k.Made == "" {
		return ID{}
	}
	return ID{"key", k.Made}
}

func observeWireGuards(h *Have) []Resource {
	var out []Resource
	for _, l := range h.wireGuards() {
		r := wireGuard{
			netns: l.netns, owner: l.node, iface: l.Name, link: l.id,
			public: cmp.Or(l.WireGuard.PublicKey, noKey), port: l.WireGuard.ListenPort, mark: l.WireGuard.FwMark,
		}
		if w, ok := h.want[r.ID()].(wireGuard); ok && w.port == 0 {
			r.port = 0 // what the kernel chose
		}
		out = append(out, r)
	}
	moves := map[string]int{} // how many have a port, or want it, that change theirs
	for _, r := range out {
		r := r.(wireGuard)
		if w, ok := h.want[r.ID()].(wireGuard); ok && w.port != r.port {
			for _, claim := range slices.Concat(r.Claims(), w.Claims()) {
				moves[claim]++
			}
		}
	}
	for i, r := range out {
		r := r.(wireGuard)
		w, _ := h.want[r.ID()].(wireGuard)
		r.yields = slices.ContainsFunc(slices.Concat(r.Claims(), w.Claims()), func(claim string) bool { return moves[claim] > 1 })
		out[i] = r
	}
	return out
}

// wireGuards are the project's links of that kind.
func (h *Have) wireGuards() []iface {
	return slices.DeleteFunc(slices.Clone(h.interfaces()), func(l iface) bool { return l.WireGuard == nil })
}

func (r wireGuard) ID() ID      { return ID{"wireguard", r.owner + ":" + r.iface} }
func (r wireGuard) In() []ID    { return []ID{r.link} }
func (r wireGuard) Needs() []ID { return []ID{r.link, r.made} }

func (r wireGuard) Attrs() []Attr {
	port := "any"
	if r.port != 0 {
		port = number(r.port)
	}
	return []Attr{{"interface", r.iface}, {"public_key", orWhenMade(r.public)}, {"listen_port", port}, {"fwmark", number(r.mark)}}
}

// noKey is the public key of an interface that has none yet: another thing than one that will be made.
const noKey = "none"

func orWhenMade(public string) string {
	if public == "" {
		return "known when made"
	}
	return public
}

func (r wireGuard) Detail() string {
	if r.port == 0 {
		return "public key " + orWhenMade(r.public)
	}
	return "port " + number(r.port) + ", public key " + orWhenMade(r.public)
}

func (r wireGuard) Create() []kernel.Op {
	set := kernel.WireGuardSet{Netns: r.netns, Link: r.iface, PrivateKey: &r.key}
	if r.port != 0 {
		set.ListenPort = &r.port
	}
	if r.mark != 0 {
		set.FwMark = &r.mark
	}
	return []kernel.Op{set}
}

// Delete lets go of its port. All else goes with its link.
func (r wireGuard) Delete() []kernel.Op {
	return []kernel.Op{kernel.WireGuardSet{Netns: r.netns, Link: r.iface, ListenPort: new(int)}}
}

func (r wireGuard) Claims() []string { return claimListenPort(r.netns, r.port) }

// claimListenPort: of one namespace no two listen at a port of UDP.
func claimListenPort(netns string, port int) []string {
	if port == 0 {
		return nil
	}
	return []string{"listen_port " + netns + " " + number(port)}
}

func (r wireGuard) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(wireGuard)
	if h.yields && h.port != r.port {
		return nil, false
	}
	set := kernel.WireGuardSet{Netns: r.netns, Link: r.iface}
	if h.public != r.public || r.public == "" {
		set.PrivateKey = &r.key
	}
	if h.port != r.port {
		set.ListenPort = &r.port
	}
	if h.mark != r.mark {
		set.FwMark = &r.mark
	}
	return []kernel.Op{set}, true
}

// endpointOf is where a WireGuard is reached from another node; invalid: it has no port of its own, or no address that is known.
func endpointOf(t *spec.Topology, from string, target spec.Interface) netip.AddrPort {
	port := target.WireGuard.ListenPort
	a := target.WireGuard.Local
	if !a.IsValid() {
		a = addressFrom(t, from, target.Node)
	}
	if port == 0 || !a.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(port))
}

// addressFrom is an address of a node on a bridge or a link that it shares with another one; else its first.
func addressFrom(t *spec.Topology, from, to string) netip.Addr {
	var first, shared netip.Addr
	found := func(together bool, list []netip.Prefix) {
		if len(list) == 0 {
			return
		}
		if !first.IsValid() {
			first = list[0].Addr()
		}
		if together && !shared.IsValid() {
			shared = list[0].Addr()
		}
	}
	on := map[string]bool{} // bridges that the other one is on
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			on[a.Bridge] = on[a.Bridge] || n.Name == from
		}
	}
	for _, b := range t.Bridges {
		if to != spec.Host || b.External {
			continue
		}
		for _, s := range b.Subnets {
			if s.Gateway.IsValid() {
				found(on[b.Name], []netip.Prefix{netip.PrefixFrom(s.Gateway, s.Prefix.Bits())})
			}
		}
	}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			if n.Name == to {
				found(on[a.Bridge] || from == spec.Host, a.Addresses)
			}
		}
	}
	for _, l := range t.Links {
		for i, e := range l.Ends {
			if far := l.Ends[1-i]; e.Node == to && !e.Bridge {
				found(far.Node == from && !far.Bridge || far.Bridge && on[far.Node], e.Addresses)
			}
		}
	}
	for _, i := range t.Interfaces {
		if i.Node == to && i.WireGuard == nil {
			found(false, i.Addresses)
		}
	}
	if shared.IsValid() {
		return shared
	}
	return first
}
