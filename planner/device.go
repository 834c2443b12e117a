package planner

import (
	"cmp"
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// device is a link of another kind than veth and bridge. Its ID is as a veth's, link/NODE:INTERFACE: what stands on a link need not know
// which it is.
type device struct {
	id  ID
	own kernel.LinkAdd
	on  string // the parent, in words
	in  []ID   // the namespace and the parent: with either it goes
	// port is how its bridge treats it, and bridge the resource of that; of the host's only.
	port   kernel.PortAttrs
	bridge ID
	// listens is the port of UDP that a WireGuard has, of one that is there; 0 = none.
	listens int
}

// overhead is how much a tunnel puts around each packet, in bytes: outer IP header (IPv4, IPv6), and its own.
var overhead = map[string][2]int{
	"vxlan":     {50, 70}, // IP, UDP 8, VXLAN 8, the inner frame's header 14
	"geneve":    {50, 70},
	"gre":       {24, 44},
	"ipip":      {20, 40},
	"wireguard": {80, 80}, // as wg-quick(8): enough for either
}

// greKey is what a key adds to a gre's header.
const greKey = 4

const defaultMTU = 1500

// desireLinks lists all links that are wanted but for bridges: the ends of veths, devices and cards.
func desireLinks(w *Want) []Resource {
	b := deviceBuilder{
		Want: w, netns: netnsByNode(w.Topology), bridges: bridgesByName(w.Topology),
		ids: map[string]ID{}, known: map[ID]kernel.LinkAdd{}, bonds: map[ID]kernel.LinkAdd{},
	}
	for _, br := range w.Topology.Bridges {
		if !br.External {
			id := ID{"bridge", br.Name}
			b.ids[cmp.Or(br.Node, spec.Host)+":"+br.Interface] = id
			b.known[id] = kernel.LinkAdd{MTU: br.MTU, MAC: br.MAC}
		}
	}
	interfaces := slices.Concat(interfacesHere(w), uplinkVLANs(w))
	at := map[string]int{}
	for n, i := range interfaces {
		at[i.Node+":"+i.Name] = n
		if i.Kind == "bond" { // it stands on nothing
			bond := b.device(i).own
			for _, m := range i.Members {
				b.bonds[ID{"link", m.Node + ":" + m.Name}] = bond
			}
		}
	}
	veths := desireVeths(w, b.bonds)
	out := make([]Resource, 0, len(veths)+len(interfaces))
	for _, v := range veths {
		out = append(out, v)
		if len(interfaces) == 0 {
			continue // nothing stands on it
		}
		b.known[v.id] = kernel.LinkAdd{MTU: v.own.MTU, MAC: v.own.MAC}
		if v.own.Netns == "" {
			b.ids[spec.Host+":"+v.own.Name] = v.id
		}
	}
	// What stands on another comes after it, and follows it in its MTU and MAC address. None stands on itself: spec refuses that.
	made := make([]bool, len(interfaces))
	var visit func(n int)
	visit = func(n int) {
		if made[n] {
			return
		}
		made[n] = true
		i := interfaces[n]
		if i.Parent != nil {
			if parent, ok := at[i.Parent.Node+":"+i.Parent.Name]; ok {
				visit(parent)
			}
		}
		if i.Kind == physical {
			out = append(out, desireCard(&b, i))
		} else {
			out = append(out, b.device(i))
		}
	}
	for n := range interfaces {
		visit(n)
	}
	return out
}

// interfacesHere are the interfaces as this machine has them. The file may be that of several machines, whose VXLANs
// all name all of them: its own address is no remote, but where it sends from.
func interfacesHere(w *Want) []spec.Interface {
	here := slices.Clone(w.Topology.Interfaces)
	for n, i := range here {
		if i.Bridge == "" {
			continue
		}
		here[n].Remotes = nil
		for _, r := range i.Remotes {
			own := slices.ContainsFunc(w.Host.Host.Addrs, func(a kernel.Addr) bool { return a.Prefix.Addr() == r.Addr })
			if !own {
				here[n].Remotes = append(here[n].Remotes, r)
				continue
			}
			if !slices.ContainsFunc(i.Params, func(p spec.InterfaceParam) bool { return p.Name == "local" }) {
				here[n].Params = slices.Insert(slices.Clone(i.Params), 1, spec.InterfaceParam{Name: "local", Value: r.Addr.String()})
			}
		}
	}
	return here
}

type deviceBuilder struct {
	*Want
	netns   map[string]string
	bridges map[string]spec.Bridge
	ids     map[string]ID         // by NODE:INTERFACE, of those that are not called so
	known   map[ID]kernel.LinkAdd // those that are wanted, as far as others depend on them
	bonds   map[ID]kernel.LinkAdd // by their members, which have their MAC addresses and MTUs
}

func (b *deviceBuilder) device(i spec.Interface) device {
	d := device{
		id: ID{"link", i.Node + ":" + i.Name},
		own: kernel.LinkAdd{
			Netns: b.netns[i.Node], Name: i.Name, Kind: i.Kind, MAC: i.MAC, MTU: i.MTU, Group: kernel.Group(b.Project), Up: i.Up, Params: kernelParams(i),
		},
	}
	if i.Node == spec.Host {
		d.own.Alias = mark(b.Project, d.id)
	} else {
		d.in = append(d.in, ID{"netns", i.Node})
	}
	if br, ok := b.bridges[i.Bridge]; ok {
		d.own.Master, d.port, d.bridge = br.Interface, ofDevice(portAttrs(b.Host, br, false, nil)), ID{"bridge", br.Name}
	}
	base := kernel.LinkAdd{MTU: defaultMTU}
	if p := i.Parent; p != nil {
		d.own.Parent = kernel.End{Netns: b.netns[p.Node], Name: p.Name}
		id := b.linkID(*p)
		d.on = id.String()
		d.in = append(d.in, id)
		if found, ok := b.known[id]; ok {
			base = found
		} else if p.Node == spec.Host {
			base = b.onHost(p.Name)
		}
	}
	if d.own.MTU == 0 {
		d.own.MTU = base.MTU - overheadOf(i)
	}
	switch {
	case d.own.MAC != "" || !hasMAC(i.Kind, d.own.Params):
	case inheritsMAC(i.Kind) && base.MAC != "":
		d.own.MAC = base.MAC
	default:
		d.own.MAC = deriveMAC(b.Host.HostID, b.Project, d.id.String())
	}
	if bond, ok := b.bonds[d.id]; ok {
		d.own.MAC, d.own.MTU = bond.MAC, bond.MTU
	}
	b.known[d.id] = d.own
	return d
}

// linkID is the resource of an interface; of the host's own there is none, and nothing is known by that ID.
func (b *deviceBuilder) linkID(n spec.InterfaceName) ID {
	name := n.Node + ":" + n.Name
	if id, ok := b.ids[name]; ok {
		return id
	}
	return ID{"link", name}
}

func (b *deviceBuilder) onHost(name string) kernel.LinkAdd {
	if l, ok := hostLink(b.Host, name); ok {
		return kernel.LinkAdd{MTU: l.MTU, MAC: l.MAC}
	}
	return kernel.LinkAdd{MTU: defaultMTU}
}

func kernelParams(i spec.Interface) []kernel.Param {
	all := make([]kernel.Param, len(i.Params))
	for j, p := range i.Params {
		all[j] = kernel.Param(p)
	}
	return kernel.Params(i.Kind, all...)
}

func param(params []kernel.Param, name string) string {
	for _, p := range params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

func overheadOf(i spec.Interface) int {
	n := overhead[i.Kind]
	if i.Kind == "gre" && param(kernelParams(i), "key") != "" {
		return n[0] + greKey
	}
	if outer6(i) {
		return n[1]
	}
	return n[0]
}

// outer6: the tunnel goes over IPv6.
func outer6(i spec.Interface) bool {
	for _, r := range i.Remotes {
		if r.Addr.Is6() {
			return true
		}
	}
	for _, p := range i.Params {
		if (p.Name == "local" || p.Name == "remote" || p.Name == "group") && strings.Contains(p.Value, ":") {
			return true
		}
	}
	return false
}

// hasMAC: the kind has MAC addresses.
func hasMAC(kind string, params []kernel.Param) bool {
	switch kind {
	case "gre", "ipip", "wireguard":
		return false
	case "tun":
		return param(params, "mode") == "tap"
	}
	return true
}

// inheritsMAC: it has its parent's.
func inheritsMAC(kind string) bool { return kind == "vlan" || kind == "ipvlan" }

// ofDevice is how a bridge treats a link that says of itself how fast it is, or not: what the way by it costs is the kernel's.
func ofDevice(p kernel.PortAttrs) kernel.PortAttrs {
	p.State, p.Cost = "", 0
	return p
}

// observeDevice is what the project has of such a link.
func observeDevice(h *Have, l iface) device {
	d := device{id: l.id, port: ofDevice(kernel.DefaultPort), own: kernel.LinkAdd{
		Netns: l.netns, Name: l.Name, Kind: l.Kind, Parent: l.Parent, MAC: l.MAC, MTU: l.MTU, Group: l.Group, Up: l.Up, Alias: l.Alias, Params: l.Params,
	}}
	if l.WireGuard != nil {
		d.listens = l.WireGuard.ListenPort
	}
	if !hasMAC(l.Kind, l.Params) {
		d.own.MAC = ""
	}
	if l.netns != "" {
		d.own.Alias = ""
		d.in = append(d.in, ID{"netns", l.node})
	}
	if l.Port != nil && !(l.netns == "" && h.ownUplink(l.Name, l.Master)) { // that is the uplink's
		d.own.Master = l.Master
		d.port = ofDevice(*l.Port)
		if _, id, ok := h.bridgeAt(l.netns, l.Master); ok {
			d.bridge = id
		}
	}
	if l.Parent.Name != "" {
		on := h.interfaceID(l.Parent)
		d.on = on.String()
		d.in = append(d.in, on)
	}
	return d
}

// interfaceID is the resource of an interface that is there.
func (h *Have) interfaceID(e kernel.End) ID {
	l, ok := h.spaces[e.Netns][e.Name]
	switch {
	case e.Netns != "" && ok:
		return h.insideID(e.Netns, l)
	case e.Netns != "":
		return ID{"link", h.nodes[e.Netns] + ":" + e.Name}
	case ok && h.own(l):
		return h.linkID(l)
	}
	return ID{"link", spec.Host + ":" + e.Name}
}

func (r device) ID() ID      { return r.id }
func (r device) In() []ID    { return r.in }
func (r device) Needs() []ID { return append(slices.Clone(r.in), r.bridge) }

func (r device) Attrs() []Attr {
	attrs := []Attr{
		{"interface", r.own.Name}, {"netns", orNone(r.own.Netns)}, {"kind", r.own.Kind}, {"parent", orNone(r.on)}, {"mtu", number(r.own.MTU)},
	}
	if r.own.MAC != "" {
		attrs = append(attrs, Attr{"mac", r.own.MAC})
	}
	attrs = append(attrs, Attr{"state", upDown(r.own.Up)}, Attr{"group", number(r.own.Group)})
	if r.own.Netns == "" {
		attrs = append(attrs, Attr{"mark", orNone(r.own.Alias)})
	}
	if r.own.Master != "" {
		attrs = append(attrs, Attr{"bridge", r.own.Master})
		attrs = append(attrs, portWords(r.port)...)
	}
	for _, p := range r.own.Params {
		attrs = append(attrs, Attr(p))
	}
	return attrs
}

func (r device) Detail() string {
	text := r.own.Kind
	if len(r.own.Params) > 0 {
		text += " " + kernel.ParamText(r.own.Params)
	}
	if r.on != "" {
		text += " on " + r.on
	}
	if r.own.Master != "" {
		text += " at " + r.bridge.String()
	}
	return text
}

// Claims are its name, and what the kernel has once of its kind.
func (r device) Claims() []string {
	claims := append(claimListenPort(r.own.Netns, r.listens), claimLink(r.own.Netns, r.own.Name))
	once := func(words ...string) { claims = append(claims, r.own.Kind+" "+strings.Join(words, " ")) }
	switch r.own.Kind {
	case "vlan":
		once(r.on, param(r.own.Params, "protocol"), param(r.own.Params, "id"))
	case "vxlan":
		once(r.own.Netns, param(r.own.Params, "id"), param(r.own.Params, "port"))
	case "geneve":
		once(r.own.Netns, param(r.own.Params, "id"), param(r.own.Params, "remote"), param(r.own.Params, "port"))
	case "gre", "ipip":
		once(r.own.Netns, param(r.own.Params, "local"), param(r.own.Params, "remote"), param(r.own.Params, "key"))
	}
	return claims
}

func (r device) Create() []kernel.Op {
	return append([]kernel.Op{r.own}, r.portSet(ofDevice(kernel.DefaultPort))...)
}

func (r device) portSet(have kernel.PortAttrs) []kernel.Op {
	if r.own.Master == "" {
		return nil
	}
	return portSet(r.own.Netns, r.own.Name, have, r.port)
}

// Without is the port as it is after its bridge was removed: attached to none.
func (r device) Without(id ID) Resource {
	if id == r.bridge && r.own.Master != "" {
		r.own.Master, r.port = "", ofDevice(kernel.DefaultPort)
		return r
	}
	return nil
}

func (r device) Delete() []kernel.Op {
	return []kernel.Op{kernel.LinkDelete{Netns: r.own.Netns, Name: r.own.Name}}
}

// changeable are the parameters that a kind takes while the link is in use; another one's change makes it anew.
var changeable = map[string][]string{
	"ipvlan": {"mode"},
	"bond":   {"miimon", "updelay", "downdelay", "min_links", "xmit_hash_policy"},
	"gre":    {"local", "remote", "ttl"},
	"ipip":   {"local", "remote", "ttl"},
}

func (r device) Update(have Resource) ([]kernel.Op, bool) {
	h, ok := have.(device)
	if !ok || h.own.Name != r.own.Name || h.own.Netns != r.own.Netns || h.own.Kind != r.own.Kind || h.on != r.on {
		return nil, false
	}
	set := kernel.LinkSet{Netns: r.own.Netns, Name: r.own.Name}
	if h.own.MTU != r.own.MTU {
		set.MTU = &r.own.MTU
	}
	if r.own.MAC != "" && h.own.MAC != r.own.MAC {
		if r.own.Kind == "ipvlan" || r.own.Kind == "ifb" {
			return nil, false // the kernel takes one at creation alone
		}
		set.MAC = &r.own.MAC
	}
	if h.own.Group != r.own.Group {
		set.Group = &r.own.Group
	}
	if h.own.Up != r.own.Up {
		set.Up = &r.own.Up
	}
	if r.own.Netns == "" && h.own.Alias != r.own.Alias {
		set.Alias = &r.own.Alias
	}
	if h.own.Master != r.own.Master {
		set.Master = &r.own.Master
		h.port = ofDevice(kernel.DefaultPort) // a port that joins a bridge starts with the bridge's defaults
	}
	var ops []kernel.Op
	if set != (kernel.LinkSet{Netns: r.own.Netns, Name: r.own.Name}) {
		ops = append(ops, set)
	}
	ops = append(ops, r.portSet(h.port)...)
	var changed []kernel.Param
	for _, p := range r.own.Params {
		if param(h.own.Params, p.Name) != p.Value {
			changed = append(changed, p)
		}
	}
	for _, p := range h.own.Params {
		if param(r.own.Params, p.Name) == "" {
			changed = append(changed, kernel.Param{Name: p.Name, Value: kernel.DefaultParam(r.own.Kind, p.Name)})
		}
	}
	for _, p := range changed {
		if !slices.Contains(changeable[r.own.Kind], p.Name) || p.Value == "" {
			return nil, false
		}
	}
	if len(changed) > 0 && slices.Contains(changeable[r.own.Kind], "remote") {
		changed = r.own.Params // the kernel takes what a tunnel's change leaves out as not set
	}
	if len(changed) > 0 {
		ops = append(ops, kernel.LinkParams{Netns: r.own.Netns, Name: r.own.Name, Kind: r.own.Kind, Params: changed})
	}
	return ops, true
}

// deviceOptions are what the kinds need of the kernel's build.
var deviceOptions = map[string]string{
	"dummy": "DUMMY", "ifb": "IFB", "tun": "TUN", "macvlan": "MACVLAN", "macvtap": "MACVTAP", "ipvlan": "IPVLAN", "vlan": "VLAN_8021Q", "vxlan": "VXLAN",
	"geneve": "GENEVE", "gre": "NET_IPGRE", "ipip": "NET_IPIP", "wireguard": "WIREGUARD", "vrf": "NET_VRF", "bond": "BONDING",
}

func deviceNeeds(t *spec.Topology, need func(pos spec.Pos, what, option string)) {
	for _, i := range t.Interfaces {
		if i.Kind != physical {
			need(i.Pos, i.Kind, deviceOptions[i.Kind])
		}
	}
}
