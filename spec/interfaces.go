package spec

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
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

// kindRule is what a type of interface takes.
type kindRule struct {
	kind     string   // where it isn't the type
	keys     []string // besides those that all take
	required []string
	modes    []string // the first is the default
	parent   string   // "": it has none; "may", "must"
	address  bool     // it can have addresses
	mac      bool     // it can be given a MAC address
	family4  bool     // its outer addresses are IPv4
}

var macvlanModes = []string{"bridge", "private", "vepa", "passthru"}

// kindRules are by type.
var kindRules = map[string]kindRule{
	"dummy":   {address: true, mac: true},
	"ifb":     {mac: true},
	"tap":     {kind: "tun", address: true, mac: true},
	"tun":     {address: true},
	"macvlan": {keys: []string{"mode"}, modes: macvlanModes, parent: "must", address: true, mac: true},
	"macvtap": {keys: []string{"mode"}, modes: macvlanModes, parent: "must", address: true, mac: true},
	"ipvlan":  {keys: []string{"mode"}, modes: []string{"l2", "l3", "l3s"}, parent: "must", address: true},
	"vlan":    {keys: []string{"id", "protocol"}, required: []string{"id"}, parent: "must", address: true, mac: true},
	"vxlan": {
		keys: []string{"id", "local", "remotes", "group", "fdb", "port", "ttl", "learning"}, required: []string{"id"}, parent: "may", address: true, mac: true,
	},
	"geneve":    {keys: []string{"id", "remote", "port", "ttl"}, required: []string{"id", "remote"}, address: true, mac: true},
	"gre":       {keys: []string{"local", "remote", "ttl", "key"}, required: []string{"remote"}, address: true, family4: true},
	"ipip":      {keys: []string{"local", "remote", "ttl"}, required: []string{"remote"}, address: true, family4: true},
	"wireguard": {keys: []string{"private_key", "private_key_file", "listen_port", "fwmark", "local", "peers"}, address: true},
	"vrf":       {keys: []string{"table", "members"}, required: []string{"table"}, address: true, mac: true},
	"physical":  {parent: "must", address: true},
	"bond": {
		keys:  []string{"mode", "members", "miimon", "updelay", "downdelay", "min_links", "lacp_rate", "xmit_hash_policy"},
		modes: []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}, address: true, mac: true,
	},
}

// statedKey is a key of the file, and where it stands.
type statedKey struct {
	name string
	at   origin
}

// stated are the keys of a kind that the file has, but for type.
func (k *kindKeys) stated() []statedKey {
	v := reflect.ValueOf(k).Elem()
	if v.IsZero() {
		return nil // as of most links
	}
	var out []statedKey
	for i := range v.NumField() {
		name, ok := v.Type().Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		f := v.Field(i)
		list := f.Kind() == reflect.Slice
		if list && f.Len() == 0 || !list && !isSet(f) {
			continue
		}
		if list {
			f = f.Index(0)
		}
		at := origin{Pos: f.FieldByName("Pos").Interface().(Pos), Set: list || f.FieldByName("Set").Bool()}
		at.Bad = !at.Set
		out = append(out, statedKey{name, at})
	}
	return out
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

// checkKeys checks that the keys are those of the type.
func (r *resolver) checkKeys(o ownInterface, rule kindRule) bool {
	stated := o.raw.stated()
	takes := rule.keys
	if rule.parent != "" {
		takes = append([]string{"parent"}, takes...)
	}
	required := rule.required
	if rule.parent == "must" {
		required = append([]string{"parent"}, required...)
	}
	ok := true
	for _, k := range stated {
		if !slices.Contains(takes, k.name) {
			own := "it takes none of its own"
			if len(takes) > 0 {
				own = "it takes " + strings.Join(takes, ", ")
			}
			if k.at.Set {
				r.add(k.at.Pos, "type %s has no %s; %s", o.raw.Type.Value, k.name, own)
			}
			ok = false
		}
	}
	for _, name := range required {
		i := slices.IndexFunc(stated, func(k statedKey) bool { return k.name == name })
		switch {
		case i < 0 && o.link && name == "remote":
			r.add(o.at, "type %s needs remote, or of two ends the other's local", o.raw.Type.Value)
		case i < 0:
			r.add(o.at, "type %s needs %s", o.raw.Type.Value, name)
		}
		ok = ok && i >= 0 && !stated[i].at.Bad
	}
	return ok
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

// kindParams are the parameters, with their defaults, in the order of the kind.
func (r *resolver) kindParams(o ownInterface, rule kindRule) []InterfaceParam {
	raw := o.raw
	var out []InterfaceParam
	add := func(name, value string) {
		if value != "" {
			out = append(out, InterfaceParam{name, value})
		}
	}
	number := func(n number) string {
		if !n.Set {
			return ""
		}
		return strconv.Itoa(n.Value)
	}
	mode := ""
	if len(rule.modes) > 0 {
		if mode = rule.modes[0]; raw.Mode.Set {
			mode = raw.Mode.Value
			if !slices.Contains(rule.modes, mode) {
				r.add(raw.Mode.Pos, "type %s has no mode %q%s", raw.Type.Value, mode, suggestOrList(mode, rule.modes))
			}
		}
	}
	port := func(otherwise int) string { return strconv.Itoa(raw.Port.or(otherwise)) }
	switch raw.Type.Value {
	case "tap", "tun":
		add("mode", raw.Type.Value)
	case "macvlan", "macvtap", "ipvlan":
		add("mode", mode)
	case "vlan":
		if raw.ID.Value < 1 || raw.ID.Value > 4094 {
			r.add(raw.ID.Pos, "the id of a vlan must be 1 to 4094, not %d", raw.ID.Value)
		}
		protocol := "802.1Q"
		if raw.Protocol.Set {
			protocol = raw.Protocol.Value
		}
		add("protocol", protocol)
		add("id", number(raw.ID))
	case "vxlan":
		add("id", number(raw.ID))
		add("local", r.outer(raw, raw.Local, "local", rule))
		add("group", r.group(raw))
		add("port", port(4789))
		add("ttl", number(raw.TTL))
		add("learning", map[bool]string{true: "on", false: "off"}[raw.Learning.or(true)])
	case "geneve":
		add("id", number(raw.ID))
		add("remote", r.outer(raw, raw.Remote, "remote", rule))
		add("port", port(6081))
		add("ttl", number(raw.TTL))
	case "gre", "ipip":
		add("local", r.outer(raw, raw.Local, "local", rule))
		add("remote", r.outer(raw, raw.Remote, "remote", rule))
		if raw.Remote.Set && raw.Remote.Value == raw.Local.Value {
			r.add(raw.Remote.Pos, "remote %s is the local address", raw.Remote.Value)
		}
		add("ttl", number(raw.TTL))
		add("key", number(raw.Key))
	case "vrf":
		if raw.Table.Value >= tableMain-1 && raw.Table.Value <= tableLocal {
			r.add(raw.Table.Pos, "table %d is the kernel's own", raw.Table.Value)
		}
		add("table", number(raw.Table))
	case "bond":
		add("mode", mode)
		miimon, up, down := r.bondTimes(raw, mode)
		add("miimon", milliseconds(miimon))
		add("updelay", milliseconds(up))
		add("downdelay", milliseconds(down))
		add("min_links", number(raw.MinLinks))
		add("lacp_rate", raw.LACPRate.Value)
		add("xmit_hash_policy", raw.XmitHashPolicy.Value)
		if raw.LACPRate.Set && mode != "802.3ad" {
			r.add(raw.LACPRate.Pos, "lacp_rate is for mode 802.3ad")
		}
	}
	return out
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// bondTimes reads a bond's times. The kernel counts delays in miimon, rounds them down to it and refuses them without one; three modes
// it gives 100 ms where there is none (bond_option_updelay_set, bond_option_mode_set).
func (r *resolver) bondTimes(raw *iface, mode string) (miimon, up, down time.Duration) {
	miimon = 100 * time.Millisecond
	if raw.MIIMon.Set {
		miimon = raw.MIIMon.Value
	}
	whole := func(s span) {
		if s.Value%time.Millisecond != 0 {
			r.add(s.Pos, "%s is counted in milliseconds", s.Value)
		}
	}
	whole(raw.MIIMon)
	if miimon == 0 && slices.Contains([]string{"802.3ad", "balance-tlb", "balance-alb"}, mode) {
		r.add(raw.MIIMon.Pos, "mode %s needs a miimon", mode)
	}
	for _, delay := range []struct {
		key string
		span
	}{{"updelay", raw.UpDelay}, {"downdelay", raw.DownDelay}} {
		switch {
		case raw.MIIMon.Bad || delay.Value == 0:
		case miimon == 0:
			r.add(delay.Pos, "%s needs a miimon", delay.key)
		case delay.Value%miimon != 0:
			r.add(delay.Pos, "%s must be a multiple of miimon, %s", delay.key, miimon)
		default:
			whole(delay.span)
		}
	}
	return miimon, raw.UpDelay.Value, raw.DownDelay.Value
}

// outer reads an address of a tunnel's own packets.
func (r *resolver) outer(raw *iface, t text, what string, rule kindRule) string {
	if !t.Set {
		return ""
	}
	a, ok := r.addr(t.Pos, t.Value, what)
	switch {
	case !ok:
		return ""
	case rule.family4 && !a.Is4():
		r.add(t.Pos, "type %s goes over IPv4, not %s", raw.Type.Value, a)
	}
	return a.String()
}

func (r *resolver) group(raw *iface) string {
	if !raw.Group.Set {
		return ""
	}
	a, err := netip.ParseAddr(raw.Group.Value)
	switch {
	case err != nil || a.Zone() != "" || !a.IsMulticast():
		r.add(raw.Group.Pos, "group %q is no multicast address; of single ones, remotes is a list", raw.Group.Value)
		return ""
	case !raw.Parent.Set:
		r.add(raw.Group.Pos, "a group needs the interface that it is joined on: parent, or of a bridge's vxlan dev")
	case raw.Remotes.Set:
		r.add(raw.Group.Pos, "group excludes remotes")
	case raw.Local.Set && strings.Contains(raw.Local.Value, ":") == a.Is4():
		r.add(raw.Group.Pos, "group %s is not of the family of local %s", a, raw.Local.Value)
	}
	return a.String()
}

// remotes reads where a vxlan sends what.
func (r *resolver) remotes(raw *kindKeys) []Remote {
	var out []Remote
	var local netip.Addr
	if raw.Local.Set {
		local, _ = netip.ParseAddr(raw.Local.Value)
	}
	add := func(mac string, list []text) {
		for _, t := range list {
			a, ok := r.addr(t.Pos, t.Value, "remote")
			switch {
			case !ok:
				continue
			case local.IsValid() && a == local:
				r.add(t.Pos, "remote %s is the local address", a)
			case local.IsValid() && a.Is4() != local.Is4():
				r.add(t.Pos, "remote %s is not of the family of local %s", a, local)
			case len(out) > 0 && a.Is4() != out[0].Addr.Is4():
				r.add(t.Pos, "remote %s is not of the family of %s", a, out[0].Addr)
			case slices.ContainsFunc(out, func(x Remote) bool { return x.MAC == mac && x.Addr == a }):
				r.add(t.Pos, "remote %s is there twice", a)
			default:
				out = append(out, Remote{Pos: t.Pos, MAC: mac, Addr: a})
			}
		}
	}
	add("", raw.Remotes.all())
	for _, e := range raw.FDB {
		mac := r.mac(text{origin: origin{Pos: e.Pos, Set: true}, Value: e.Key})
		add(mac, e.Value.all())
	}
	return out
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

// once is what only one interface of a kind can have, and what that is in words; "": nothing.
func (i Interface) once() (value, what string) {
	param := func(name string) string {
		at := slices.IndexFunc(i.Params, func(p InterfaceParam) bool { return p.Name == name })
		if at < 0 {
			return ""
		}
		return i.Params[at].Value
	}
	join := func(words ...string) string { return i.Kind + " " + strings.Join(words, " ") }
	switch {
	case i.Kind == "vlan" && i.Parent != nil:
		return join(i.Parent.Node, i.Parent.Name, param("protocol"), param("id")), "parent and id"
	case i.Kind == "vxlan":
		return join(i.Node, param("id"), param("port")), "id and port"
	case i.Kind == "geneve":
		return join(i.Node, param("id"), param("remote"), param("port")), "id and remote"
	case i.Kind == "gre", i.Kind == "ipip":
		return join(i.Node, param("local"), param("remote"), param("key")), "local and remote"
	}
	return "", ""
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
