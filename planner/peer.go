package planner

import (
	"net/netip"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// peer is a peer of a WireGuard.
type peer struct {
	id        ID
	netns     string
	owner     string // node, or "host"
	iface     string
	link      ID
	public    string // "" = known when the key is made
	key       kernel.KeyRef
	made      ID             // the key that topo makes for it; zero: it has another one
	endpoint  netip.AddrPort // invalid: the file has none, and where it is now is its own affair
	allowed   string         // sorted prefixes
	prefixes  []netip.Prefix
	keepalive int
	preshared string // tells it from others; "" = none
	secret    kernel.KeyRef
}

var peerKind = Kind{Name: "peer", Desire: desirePeers, Observe: observePeers}

func peerID(owner, iface, name string) ID { return ID{"peer", owner + ":" + iface + "/" + name} }

func desirePeers(w *Want) []Resource {
	var out []Resource
	netns := netnsByNode(w.Topology)
	byName := map[ID]spec.Interface{}
	for _, i := range w.Topology.Interfaces {
		byName[ID{"link", i.Node + ":" + i.Name}] = i
	}
	for _, i := range w.Topology.Interfaces {
		if i.WireGuard == nil {
			continue
		}
		for _, p := range i.WireGuard.Peers {
			r := peer{
				netns: netns[i.Node], owner: i.Node, iface: i.Name, link: ID{"link", i.Node + ":" + i.Name},
				public: p.PublicKey, endpoint: p.Endpoint, keepalive: p.Keepalive, secret: keyRef(w.Project, p.Preshared, ""),
			}
			name := p.PublicKey
			if p.Node != "" {
				name = p.Node + ":" + p.Interface
				target := byName[ID{"link", name}]
				r.key = keyRef(w.Project, target.WireGuard.Key, name)
				r.made = madeKey(r.key)
				r.public = publicKey(w.Host, r.key)
				if !r.endpoint.IsValid() && !p.Passive {
					r.endpoint = endpointOf(w.Topology, i.Node, target)
				}
			}
			r.id = peerID(i.Node, i.Name, name)
			r.prefixes = slices.SortedFunc(slices.Values(p.AllowedIPs), netip.Prefix.Compare)
			r.allowed = kernel.PrefixText(r.prefixes)
			r.preshared = presharedPrint(w.Host, r.secret)
			out = append(out, r)
		}
	}
	return out
}

// observePeers calls those that the file has as it does, by their public keys; others by the interfaces of the project that have these.
func observePeers(h *Have) []Resource {
	var out []Resource
	type at struct {
		link   ID
		public string
	}
	wanted := map[at]peer{}
	for _, r := range h.want {
		if p, ok := r.(peer); ok && p.public != "" {
			wanted[at{p.link, p.public}] = p
		}
	}
	names := map[string]string{} // of the project's own interfaces, by public key
	for _, k := range h.Snapshot.Keys {
		names[k.Public] = k.Name
	}
	for _, l := range h.wireGuards() {
		names[l.WireGuard.PublicKey] = l.node + ":" + l.Name
	}
	for _, l := range h.wireGuards() {
		taken := map[ID]bool{}
		for _, p := range l.WireGuard.Peers {
			taken[wanted[at{l.id, p.PublicKey}].id] = true
		}
		for _, p := range l.WireGuard.Peers {
			r := peer{
				id: peerID(l.node, l.Name, p.PublicKey), netns: l.netns, owner: l.node, iface: l.Name, link: l.id, public: p.PublicKey,
				endpoint: p.Endpoint, allowed: kernel.PrefixText(p.AllowedIPs), keepalive: p.Keepalive, preshared: p.Preshared,
			}
			if w, ok := wanted[at{l.id, p.PublicKey}]; ok {
				r.id = w.id
				if !w.endpoint.IsValid() {
					r.endpoint = netip.AddrPort{} // where it was last heard
				}
			} else if named := peerID(l.node, l.Name, names[p.PublicKey]); names[p.PublicKey] != "" && !taken[named] {
				r.id = named
			}
			out = append(out, r)
		}
	}
	return out
}

func (r peer) ID() ID      { return r.id }
func (r peer) In() []ID    { return []ID{r.link} }
func (r peer) Needs() []ID { return []ID{r.link, {"wireguard", r.owner + ":" + r.iface}, r.made} }

func (r peer) Attrs() []Attr {
	return []Attr{
		{"interface", r.iface},
		{"public_key", orWhenMade(r.public)},
		{"endpoint", orNone(r.where())},
		{"allowed_ips", orNone(r.allowed)},
		{"persistent_keepalive", number(r.keepalive)},
		{"preshared_key", orNone(r.preshared)},
	}
}

func (r peer) where() string {
	if !r.endpoint.IsValid() {
		return ""
	}
	return r.endpoint.String()
}

func (r peer) Detail() string {
	text := "allowed " + orNone(r.allowed)
	if r.endpoint.IsValid() {
		text = "at " + r.where() + ", " + text
	}
	return text
}

func (r peer) Create() []kernel.Op {
	return []kernel.Op{kernel.PeerSet{
		Netns: r.netns, Link: r.iface, PublicKey: r.public, Key: r.key, Endpoint: r.endpoint, AllowedIPs: r.prefixes,
		Keepalive: r.keepalive, Preshared: r.secret,
	}}
}

func (r peer) Delete() []kernel.Op {
	return []kernel.Op{kernel.PeerDelete{Netns: r.netns, Link: r.iface, PublicKey: r.public}}
}

// Update sets all of it anew, in place: sessions go on. With another key it is another one.
func (r peer) Update(have Resource) ([]kernel.Op, bool) {
	if r.public == "" || have.(peer).public != r.public {
		return nil, false
	}
	return r.Create(), true
}
