package spec

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Interface is a network interface of another kind than veth.
type Interface struct {
	Pos  Pos
	Node string // a node, or "host"
	Name string
	Kind string // as in ip link add type: a tap's is "tun"
	// Parent is what it stands on; nil: nothing.
	Parent *InterfaceName `json:",omitempty"`
	// Params are its kind's parameters, in ip-link(8)'s words, with their defaults.
	Params []InterfaceParam `json:",omitempty"`
	// Remotes are the static entries of a vxlan's forwarding database.
	Remotes []Remote `json:",omitempty"`
	// Bridge is that of the file which it is a port of, of the host's; "" = none.
	Bridge string `json:",omitempty"`
	// Members are interfaces of the same node, of a bond or a vrf.
	Members   []InterfaceName `json:",omitempty"`
	Addresses []netip.Prefix
	MAC       string // "" = derived
	MTU       int    // 0 = derived
	Up        bool
	// Impair is what becomes of what it sends; nil: nothing.
	Impair *Impair `json:",omitempty"`
	// WireGuard is set where that is its kind.
	WireGuard *WireGuard `json:",omitempty"`
	// OfLink: it is an end of one of the file's links.
	OfLink bool `json:",omitempty"`
}

// InterfaceName is an interface of a node, or of the host's.
type InterfaceName struct {
	Pos        Pos
	Node, Name string
}

// InterfaceParam is a parameter of an interface's kind.
type InterfaceParam struct{ Name, Value string }

// Remote is the address behind which a MAC address is; without one, all that nothing is known of.
type Remote struct {
	Pos  Pos
	MAC  string
	Addr netip.Addr
}

// ownInterface is an interface that has its name, and of which nothing else is known yet.
type ownInterface struct {
	node string
	s    *nodeState // nil: the host's
	pos  Pos
	name string
	raw  *iface
	at   Pos // where what it lacks would have to stand
	link bool
	// facing is the other one of two ends of a link; nil: there is none.
	facing *iface
}

// claimInterfaces takes the names of the nodes' own interfaces.
func (r *resolver) claimInterfaces() {
	for _, s := range r.order {
		n := r.node(s)
		for i := range s.raw.Interfaces {
			e := &s.raw.Interfaces[i]
			if !r.checkInterface(e.Pos, e.Key) {
				continue
			}
			if n.Network != NetworkOwn {
				r.add(e.Pos, "interfaces exclude network_mode %s", s.raw.NetworkMode.Value)
				continue
			}
			if !e.Value.Set && !e.Value.Bad {
				r.add(e.Pos, "interface %s needs a type", e.Key)
			}
			r.claimInterface(s, n, e.Pos, e.Key)
			r.own = append(r.own, ownInterface{node: n.Name, s: s, pos: e.Pos, name: e.Key, raw: &e.Value, at: e.Value.Type.Pos})
		}
	}
	r.own = append(r.own, r.linkOwn...)
}

// readInterfaces reads what they are; all interfaces have names by now.
func (r *resolver) readInterfaces() {
	for _, o := range r.own {
		if i, ok := r.ownInterface(o); ok {
			r.topo.Interfaces = append(r.topo.Interfaces, i)
			if o.s == nil {
				continue
			}
			o.s.ends = append(o.s.ends, Endpoint{Node: i.Node, Interface: i.Name, Addresses: i.Addresses})
		}
	}
	r.interfacesTogether()
	r.readPeers()
}

func (r *resolver) ownInterface(o ownInterface) (i Interface, ok bool) {
	raw := o.raw
	rule, known := kindRules[raw.Type.Value]
	if !known {
		return i, false // noted
	}
	i = Interface{
		Pos: o.pos, Node: o.node, Name: o.name, Kind: raw.Type.Value, MAC: r.mac(raw.MAC), MTU: raw.MTU.Value, Up: raw.Up.or(true), Impair: r.impairment(raw.Impair),
		OfLink: o.link,
	}
	if rule.kind != "" {
		i.Kind = rule.kind
	}
	if !r.checkKeys(o, rule) {
		return i, false
	}
	if raw.Parent.Set {
		i.Parent = r.interfaceName(o, raw.Parent, "parent")
	}
	if i.Kind == "wireguard" {
		i.WireGuard = r.wireGuard(raw)
	}
	if raw.Type.Value == "physical" && !r.ownCard(o, i) {
		return i, false
	}
	i.Params = r.kindParams(o, rule)
	i.Remotes = r.remotes(&raw.kindKeys)
	if len(i.Remotes) > 0 && i.Remotes[0].Addr.Is6() && !raw.Local.Set && !raw.Local.Bad {
		r.add(i.Remotes[0].Pos, "remote %s needs a local address: without one the kernel takes the vxlan for one over IPv4", i.Remotes[0].Addr)
	}
	for _, t := range set(raw.Members) {
		if m := r.interfaceName(o, t, "member"); m != nil {
			i.Members = append(i.Members, *m)
		}
	}
	if raw.MAC.Set && !rule.mac {
		r.add(raw.MAC.Pos, "type %s has no mac of its own", raw.Type.Value)
	}
	for _, t := range raw.Address.all() {
		if !rule.address {
			r.add(t.Pos, "type %s has no address", raw.Type.Value)
			continue
		}
		p, ok := r.addressWithLength(t)
		if !ok {
			continue
		}
		if p.Addr().Is6() && raw.MTU.Set && i.MTU < minMTU6 {
			r.add(raw.MTU.Pos, "mtu must be at least %d for IPv6", minMTU6)
		}
		i.Addresses = append(i.Addresses, p)
	}
	return i, true
}

// interfaceName reads INTERFACE, of the same node, or NODE:INTERFACE.
func (r *resolver) interfaceName(o ownInterface, t text, what string) *InterfaceName {
	node, name, other := strings.Cut(t.Value, ":")
	if !other {
		node, name = o.node, t.Value
	}
	found := &InterfaceName{Pos: t.Pos, Node: node, Name: name}
	if node == Host {
		if what == "member" && (other || !r.hostHas(name)) {
			r.add(t.Pos, "a member on the host is an end of a link of this file, not %q", t.Value)
			return nil
		}
		if o.node == Host && name == o.name {
			r.add(t.Pos, "%s can't be its own %s", name, what)
			return nil
		}
		if name == "" {
			r.add(t.Pos, "a %s is INTERFACE or NODE:INTERFACE, not %q", what, t.Value)
			return nil
		}
		return found
	}
	s := o.s
	if other {
		if s = r.findNode(t.Pos, node); s == nil {
			return nil
		}
	}
	switch {
	case what == "member" && other:
		r.add(t.Pos, "a member is an interface of the same node, not %q", t.Value)
	case node == o.node && name == o.name:
		r.add(t.Pos, "%s can't be its own %s", name, what)
	case s.vague, hasInterface(s, name):
		return found
	default:
		hint := s.nearInterface(name)
		if hint == "" && what == "parent" && !other {
			hint = "; one of the host's is host:" + name
		}
		r.add(t.Pos, "%s has no interface %q%s", node, name, hint)
	}
	return nil
}

// interfacesTogether checks what no single interface shows: each is a member of one at most, and none stands on itself.
func (r *resolver) interfacesTogether() {
	r.uplinksTogether()
	master := map[[2]string]Interface{}
	on := map[[2]string][]InterfaceName{} // parent and members
	for _, i := range r.topo.Interfaces {
		own := [2]string{i.Node, i.Name}
		if on[own] = i.Members; i.Parent != nil {
			on[own] = append(slices.Clone(i.Members), *i.Parent)
		}
		for _, m := range i.Members {
			at := [2]string{m.Node, m.Name}
			if other, taken := master[at]; taken {
				r.add(m.Pos, "%s is a member of %s already", m.Name, other.Name)
				continue
			}
			master[at] = i
			if i.Kind == "bond" && r.hasAddress(m) {
				r.add(m.Pos, "%s has an address, and as a member of bond %s it can't be reached by it", m.Name, i.Name)
			}
		}
	}
	first := map[string]Interface{}
	for _, i := range r.topo.Interfaces {
		once, what := i.once()
		if once == "" {
			continue
		}
		if other, there := first[once]; there {
			r.add(i.Pos, "%s has the same %s as %s:%s (%s); the kernel takes one", i.Name, what, other.Node, other.Name, line(other.Pos).seenFrom(i.Pos))
			continue
		}
		first[once] = i
	}
	for _, i := range r.topo.Interfaces {
		for _, below := range on[[2]string{i.Node, i.Name}] {
			if reaches(on, [2]string{below.Node, below.Name}, [2]string{i.Node, i.Name}) {
				r.add(below.Pos, "%s stands on itself", i.Name)
			}
		}
	}
}

// reaches reports whether an interface is another one, or stands on it; on has what each stands on.
func reaches(on map[[2]string][]InterfaceName, from, to [2]string) bool {
	seen := map[[2]string]bool{}
	for next := [][2]string{from}; len(next) > 0; {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		if at == to {
			return true
		}
		if seen[at] {
			continue
		}
		seen[at] = true
		for _, b := range on[at] {
			next = append(next, [2]string{b.Node, b.Name})
		}
	}
	return false
}

// Unique is what of an interface of a kind no second one has in the namespace that both are made in: that of what they stand on.
type Unique struct {
	Params []string
	Parent bool
	What   string // in words
}

// Uniques are the kinds of which the kernel takes one alone.
var Uniques = map[string]Unique{
	"vlan":   {[]string{"protocol", "id"}, true, "parent and id"},
	"vxlan":  {[]string{"id", "port"}, false, "id and port"},
	"geneve": {[]string{"id", "remote", "port"}, false, "id and remote"},
	"gre":    {[]string{"local", "remote", "key"}, false, "local and remote"},
	"ipip":   {[]string{"local", "remote", "key"}, false, "local and remote"},
}

// once is what only one interface can have, and what that is in words; "": nothing.
func (i Interface) once() (value, what string) {
	if i.WireGuard != nil && i.WireGuard.ListenPort != 0 {
		return strings.Join([]string{i.Kind, i.Node, strconv.Itoa(i.WireGuard.ListenPort)}, " "), "listen_port"
	}
	unique, ok := Uniques[i.Kind]
	if !ok || unique.Parent && i.Parent == nil {
		return "", ""
	}
	words := []string{i.Kind, i.Node}
	if i.Parent != nil {
		words[1] = i.Parent.Node
	}
	if unique.Parent {
		words = append(words, i.Parent.Name)
	}
	for _, name := range unique.Params {
		value := ""
		if at := slices.IndexFunc(i.Params, func(p InterfaceParam) bool { return p.Name == name }); at >= 0 {
			value = i.Params[at].Value
		}
		words = append(words, value)
	}
	return strings.Join(words, " "), unique.What
}

// hasAddress reports whether an interface of a node has one, stated or allocated.
func (r *resolver) hasAddress(m InterfaceName) bool {
	s := r.nodes[m.Node]
	if s == nil { // the host's
		return slices.ContainsFunc(r.topo.Interfaces, func(i Interface) bool { return i.Node == m.Node && i.Name == m.Name && len(i.Addresses) > 0 }) ||
			slices.ContainsFunc(r.topo.Links, func(l Link) bool {
				return slices.ContainsFunc(l.Ends[:], func(e Endpoint) bool { return e.Node == m.Node && e.Interface == m.Name && len(e.Addresses) > 0 })
			})
	}
	for _, a := range r.node(s).Attachments {
		if a.Interface == m.Name {
			return len(a.Addresses) > 0 || len(r.bridge(r.bridges[a.Bridge]).Subnets) > 0
		}
	}
	return slices.ContainsFunc(s.ends, func(e Endpoint) bool { return e.Interface == m.Name && len(e.Addresses) > 0 })
}
