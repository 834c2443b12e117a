package spec

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/xhit/go-str2duration/v2"
)

// WireGuard is what an interface of that kind has besides, wg(8).
type WireGuard struct {
	Key        WireGuardKey // private; zero: topo makes one, and keeps it
	ListenPort int          // of UDP; 0 = the kernel's choice
	FwMark     uint32       // of the outer packets; 0 = none
	// Local is the address by which peers of this file reach it; invalid: one that they share a bridge or a link with.
	Local netip.Addr
	Peers []WireGuardPeer `json:",omitempty"`
}

// WireGuardKey says where a key is that must not be seen. Zero: there is none.
type WireGuardKey struct {
	Given Secret `json:",omitzero"`
	File  string `json:",omitempty"` // absolute
}

// WireGuardPeer is a peer: an interface of this file, or one that is known by its public key.
type WireGuardPeer struct {
	Pos       Pos
	Node      string // a node, or "host"; "" = PublicKey says it
	Interface string
	PublicKey string // base64
	// Endpoint is invalid where it follows from the peer's port and address, and where there is none.
	Endpoint netip.AddrPort
	// Passive: no endpoint, whatever the peer has; it is known once the peer has sent something.
	Passive    bool
	AllowedIPs []netip.Prefix
	Keepalive  int // seconds; 0 = off
	Preshared  WireGuardKey
}

// maxAllowed bounds the prefixes of a peer: all are in one attribute of a message, of 64 KiB.
const maxAllowed = 1000

// wireGuard reads what an interface has besides its peers.
func (r *resolver) wireGuard(raw *iface) *WireGuard {
	w := &WireGuard{ListenPort: raw.ListenPort.Value, FwMark: uint32(raw.FwMark.Value)}
	w.Key = r.key(raw.PrivateKey, raw.PrivateKeyFile, "private_key")
	if raw.Local.Set {
		w.Local, _ = r.addr(raw.Local.Pos, raw.Local.Value, "local")
	}
	return w
}

// key reads where a key is. No message has the key in it.
func (r *resolver) key(given, file text, what string) (k WireGuardKey) {
	switch {
	case given.Set && file.Set:
		r.add(file.Pos, "%s excludes %s_file", what, what)
	case given.Set:
		key, ok := parseKey(given.Value)
		if !ok {
			r.add(given.Pos, "%s is no key of WireGuard: 32 bytes in base64", what)
		}
		k.Given = key
	case file.Set && file.Value == "":
		r.add(file.Pos, "%s_file names no file", what)
	case file.Set:
		k.File = r.absolute(file.Pos, file.Value)
	}
	return k
}

// all are the peers in any form. Those of a map are nodes by that name, unless they say otherwise.
func (p peers) all() []peer {
	list := slices.Clone(p.List)
	for _, e := range p.Map {
		one := e.Value
		if !one.Node.Set && !one.PublicKey.Set && !one.Node.Bad && !one.PublicKey.Bad {
			one.Node = text{origin: origin{Pos: e.Pos, Set: true}, Value: e.Key}
		}
		list = append(list, one)
	}
	return list
}

// readPeers reads the peers of all interfaces, which are known by now.
func (r *resolver) readPeers() {
	for i := range r.topo.Interfaces {
		own := &r.topo.Interfaces[i]
		if own.WireGuard == nil {
			continue
		}
		o := r.ownOf(own.Node, own.Name)
		if o.facing != nil && !o.raw.Peers.Set && !o.raw.Peers.Bad {
			if other := slices.IndexFunc(r.own, func(x ownInterface) bool { return x.raw == o.facing }); other >= 0 {
				x := r.own[other]
				at := origin{Pos: o.at, Set: true}
				o.raw.Peers.List = []peer{{origin: at, Node: text{at, x.node}, Interface: text{at, x.name}}}
			}
		}
		for _, raw := range o.raw.Peers.all() {
			if p, ok := r.peer(own, raw); ok {
				own.WireGuard.Peers = append(own.WireGuard.Peers, p)
			}
		}
		r.peersTogether(own)
	}
	r.meet()
}

func (r *resolver) ownOf(node, name string) ownInterface {
	i := slices.IndexFunc(r.own, func(o ownInterface) bool { return o.node == node && o.name == name })
	return r.own[i]
}

func (r *resolver) peer(own *Interface, raw peer) (p WireGuardPeer, ok bool) {
	if raw.Scalar.Set {
		raw.Node = raw.Scalar
	}
	if !raw.Set || raw.Node.Bad || raw.PublicKey.Bad || raw.Interface.Bad {
		return p, false
	}
	p.Pos = raw.Pos
	p.Keepalive = r.keepalive(raw.PersistentKeepalive)
	p.Preshared = r.key(raw.PresharedKey, raw.PresharedKeyFile, "preshared_key")
	if t := raw.Endpoint; t.Set {
		e, err := netip.ParseAddrPort(t.Value)
		switch {
		case t.Value == "none":
			p.Passive = true
		case err != nil || e.Port() == 0 || e.Addr().Zone() != "" || e.Addr().Is4In6() || e.Addr().IsUnspecified() || e.Addr().IsMulticast():
			r.add(t.Pos, "endpoint %q must be ADDRESS:PORT, as in 192.0.2.1:51820 or [2001:db8::1]:51820, or none", t.Value)
		default:
			p.Endpoint = e
		}
	}
	stated := raw.AllowedIPs.all()
	for _, t := range stated {
		if prefix, ok := r.allowed(t); ok {
			p.AllowedIPs = append(p.AllowedIPs, prefix)
		}
	}
	if len(stated) > maxAllowed {
		r.add(stated[0].Pos, "a peer has %d allowed_ips at most", maxAllowed)
	}
	switch {
	case raw.Node.Set && raw.PublicKey.Set:
		r.add(raw.PublicKey.Pos, "public_key excludes node: that of a node's interface is known")
		return p, false
	case raw.PublicKey.Set:
		if raw.Interface.Set {
			r.add(raw.Interface.Pos, "interface is for a peer that is a node")
		}
		if _, ok := parseKey(raw.PublicKey.Value); !ok {
			r.add(raw.PublicKey.Pos, "public_key is no key of WireGuard: 32 bytes in base64")
			return p, false
		}
		p.PublicKey = raw.PublicKey.Value
		if len(stated) == 0 && !raw.AllowedIPs.Bad {
			r.add(raw.Pos, "a peer with a public_key needs allowed_ips")
		}
		return p, true
	case raw.Node.Set:
		target := r.peerInterface(own, raw)
		if target == nil {
			return p, false
		}
		p.Node, p.Interface = target.Node, target.Name
		if len(stated) == 0 {
			for _, a := range target.Addresses {
				p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
			}
			if len(target.Addresses) == 0 {
				r.add(raw.Node.Pos, "%s of %s has no address; write the allowed_ips that are behind it", target.Name, target.Node)
			}
		}
		return p, true
	}
	r.add(raw.Pos, "a peer needs node or public_key")
	return p, false
}

// peerInterface is the interface that a peer by name is: the only one of that kind, where none is stated.
func (r *resolver) peerInterface(own *Interface, raw peer) *Interface {
	node := raw.Node.Value
	if node != Host && r.findNode(raw.Node.Pos, node) == nil {
		return nil
	}
	var found []*Interface
	var names []string
	for i := range r.topo.Interfaces {
		x := &r.topo.Interfaces[i]
		if x.Node == node && x.WireGuard != nil {
			if x.Node == own.Node && x.Name == own.Name {
				continue
			}
			names = append(names, x.Name)
			if !raw.Interface.Set || raw.Interface.Value == x.Name {
				found = append(found, x)
			}
		}
	}
	switch {
	case raw.Interface.Set && len(found) == 0:
		r.add(raw.Interface.Pos, "%s has no other wireguard %q%s", node, raw.Interface.Value, suggest(raw.Interface.Value, names))
	case len(found) == 0:
		r.add(raw.Node.Pos, "%s has no other interface of type wireguard", node)
	case len(found) > 1:
		r.add(raw.Node.Pos, "%s has several interfaces of type wireguard, %s and %s; write which: interface", node, found[0].Name, found[1].Name)
	default:
		return found[0]
	}
	return nil
}

// allowed reads a prefix, or an address as one; the kernel leaves out what is behind its length.
func (r *resolver) allowed(t text) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(t.Value)
	if a, err2 := netip.ParseAddr(t.Value); err2 == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || p.Addr().Is4In6():
		r.add(t.Pos, "allowed_ips %q must be a CIDR or an address", t.Value)
	case p.Masked() != p:
		r.add(t.Pos, "allowed_ips %s has bits set behind its length; write %s", p, p.Masked())
	default:
		return p, true
	}
	return p, false
}

// keepalive reads seconds, 25, or a duration, 25s.
func (r *resolver) keepalive(w word) int {
	if !w.Set || w.Value == "off" {
		return 0
	}
	n, err := strconv.Atoi(w.Value)
	if d, err2 := str2duration.ParseDuration(w.Value); err != nil && err2 == nil && d%time.Second == 0 {
		n, err = int(d/time.Second), nil
	}
	if err != nil || n < 0 || n > 65535 {
		r.add(w.Pos, "persistent_keepalive %q must be whole seconds, from 1 to 65535, or off", w.Value)
	}
	return n
}

// peersTogether checks the peers of an interface together: the kernel has each once, and each prefix with one of them.
func (r *resolver) peersTogether(own *Interface) {
	type id struct{ node, name, key string }
	seen, holder := map[id]bool{}, map[netip.Prefix]WireGuardPeer{}
	for _, p := range own.WireGuard.Peers {
		at := id{p.Node, p.Interface, p.PublicKey}
		if seen[at] {
			r.add(p.Pos, "peer %s is there twice", p.name())
			continue
		}
		seen[at] = true
		for _, a := range p.AllowedIPs {
			if other, taken := holder[a]; taken {
				r.add(p.Pos, "allowed_ips %s of peer %s is already that of %s", a, p.name(), other.name())
				continue
			}
			holder[a] = p
		}
	}
}

func (p WireGuardPeer) name() string {
	if p.Node != "" {
		return p.Node + ":" + p.Interface
	}
	return p.PublicKey
}

// meet checks that of two peers that know each other one knows where the other is.
func (r *resolver) meet() {
	byName := map[[2]string]*Interface{}
	for i := range r.topo.Interfaces {
		byName[[2]string{r.topo.Interfaces[i].Node, r.topo.Interfaces[i].Name}] = &r.topo.Interfaces[i]
	}
	finds := func(p WireGuardPeer, target *Interface) bool {
		return p.Endpoint.IsValid() || !p.Passive && target.WireGuard.ListenPort != 0
	}
	for i := range r.topo.Interfaces {
		own := &r.topo.Interfaces[i]
		if own.WireGuard == nil {
			continue
		}
		for _, p := range own.WireGuard.Peers {
			target := byName[[2]string{p.Node, p.Interface}]
			if target == nil || finds(p, target) {
				continue
			}
			back := slices.IndexFunc(target.WireGuard.Peers, func(x WireGuardPeer) bool { return x.Node == own.Node && x.Interface == own.Name })
			if back >= 0 && !finds(target.WireGuard.Peers[back], own) {
				r.add(p.Pos, "neither %s nor %s has a listen_port, or an endpoint for the other: they can't find each other", own.Node, p.Node)
			}
		}
	}
}
