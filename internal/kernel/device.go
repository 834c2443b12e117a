package kernel

import (
	"net"
	"strconv"
	"strings"
)

// Param is a parameter of a link's kind, in ip-link(8)'s words: {"mode", "bridge"}.
type Param struct{ Name, Value string }

// ParamOf is the value of a parameter; "" where it is not among them.
func ParamOf(params []Param, name string) string {
	for _, p := range params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

type (
	// LinkAdd makes a link of any kind but veth and bridge, which need more. Where it stands on one of another
	// namespace, it is made there, and moved in the same message. One with an alias has another name, of topo's own, until that is
	// written; a tun is made to stay only then. A kernel that was built without the kind refuses with EOPNOTSUPP.
	LinkAdd struct {
		Netns, Name string
		Kind        string // "vlan", "macvlan"…: as in ip link add type
		Parent      End    // what it stands on; zero: nothing
		MAC         string // "" = the kernel's choice
		MTU         int    // bytes; 0 = the kernel's default
		Group       uint32
		Up          bool
		Alias       string
		Params      []Param // those that are not the kernel's defaults
		Master      string  // bridge of its namespace that it is a port of; "" = none
	}
	// LinkParams changes parameters of a link's kind, where it stands; others stay, but for those of a gre and an ipip, which
	// are as in a new one.
	LinkParams struct {
		Netns, Name, Kind string
		Params            []Param
	}
	// Enslave makes a link a member of a bond or a VRF of its namespace, or with no master of none. With Down it is set down before: a bond
	// takes no other, and sets it up itself; what leaves one is set up after, if it was up. What it loses then (routes, IPv6 addresses) is lost.
	Enslave struct {
		Netns, Name, Master string
		Down                bool
	}
	// RemoteAdd makes a VXLAN send to a remote address what is for a MAC address; for the zero one, what it has no entry for. That
	// one, and one of a group, are sent there in addition to where they are sent already; of any other that is forgotten.
	RemoteAdd struct {
		Netns, Link string
		VXLANRemote
	}
	// RemoteDelete takes such an entry away.
	RemoteDelete struct {
		Netns, Link string
		VXLANRemote
	}
)

// VXLANRemote is a static entry of a VXLAN's forwarding database (bridge(8), fdb).
type VXLANRemote struct {
	MAC    string // lower case, colons; [NoMAC]: what has no entry, and what is for all
	Remote string // IP address
}

// NoMAC stands for all MAC addresses that a VXLAN has no entry for.
const NoMAC = "00:00:00:00:00:00"

func (LinkAdd) op()      {}
func (LinkParams) op()   {}
func (Enslave) op()      {}
func (RemoteAdd) op()    {}
func (RemoteDelete) op() {}

func (o LinkAdd) String() string {
	var b line
	at := o.Netns
	if o.Parent.Name != "" {
		at = o.Parent.Netns
	}
	b.add(ip(at), "link add")
	if o.Parent.Name != "" && !parentIsParam(o.Kind) {
		b.add("link", o.Parent.Name)
	}
	b.add(o.Name)
	b.opt("address", o.MAC)
	b.num("mtu", o.MTU)
	b.add("group", strconv.FormatUint(uint64(o.Group), 10))
	if at != o.Netns {
		b.opt("netns", netnsWord(o.Netns))
	}
	b.add("type", o.Kind)
	if o.Parent.Name != "" && parentIsParam(o.Kind) {
		b.add("dev", o.Parent.Name)
	}
	b.params(o.Params)
	if o.Kind == "tun" {
		b = line{}
		b.add(ip(o.Netns), "tuntap add dev", o.Name, "mode")
		for _, p := range o.Params {
			b.add(p.Value)
		}
		b.add("&&", ip(o.Netns), "link set", o.Name, "group", strconv.FormatUint(uint64(o.Group), 10))
		b.opt("address", o.MAC)
		b.num("mtu", o.MTU)
	}
	if o.Alias != "" || o.Up || o.Master != "" {
		b.add("&&", ip(o.Netns), "link set", o.Name)
	}
	b.opt("master", o.Master)
	if o.Alias != "" {
		b.add("alias", quote(o.Alias))
	}
	if o.Up {
		b.add("up")
	}
	return b.String()
}

// netnsWord is what ip(8) calls a namespace.
func netnsWord(netns string) string {
	if netns == "" {
		return "1"
	}
	return netns
}

// parentIsParam: ip(8) takes what such a link stands on as a parameter.
func parentIsParam(kind string) bool { return kind == "vxlan" }

func (o LinkParams) String() string {
	var b line
	b.add(ip(o.Netns), "link set", o.Name, "type", o.Kind)
	b.params(o.Params)
	return b.String()
}

func (o Enslave) String() string {
	var b line
	if o.Down {
		b.add(ip(o.Netns), "link set", o.Name, "down", "&&")
	}
	if o.Master == "" {
		b.add(ip(o.Netns), "link set", o.Name, "nomaster")
	} else {
		b.add(ip(o.Netns), "link set", o.Name, "master", o.Master)
	}
	if o.Down && o.Master == "" {
		b.add("&&", ip(o.Netns), "link set", o.Name, "up")
	}
	return b.String()
}

// Many reports whether the MAC address can have several remote ends, each of which is sent a copy: it is [NoMAC], or one of a group.
func (r VXLANRemote) Many() bool {
	mac, err := net.ParseMAC(r.MAC)
	return r.MAC == NoMAC || err == nil && mac[0]&1 != 0
}

func (o RemoteAdd) String() string {
	if o.Many() {
		return o.line("append", o.Netns, o.Link)
	}
	return o.line("replace", o.Netns, o.Link)
}
func (o RemoteDelete) String() string { return o.line("delete", o.Netns, o.Link) }

func (r VXLANRemote) line(verb, netns, link string) string {
	return bridge(netns) + " fdb " + verb + " " + r.MAC + " dev " + link + " dst " + r.Remote + " self permanent"
}

func bridge(netns string) string {
	if netns == "" {
		return "bridge"
	}
	return "bridge -n " + netns
}

// params adds parameters; learning is one that ip(8) has as a word with or without a no.
func (l *line) params(params []Param) {
	for _, p := range params {
		switch {
		case p.Name == "learning" && p.Value == "off":
			l.add("nolearning")
		case p.Name == "learning":
			l.add("learning")
		case p.Name == "port":
			l.add("dstport", p.Value)
		default:
			l.add(p.Name, p.Value)
		}
	}
}

// ParamText is parameters in one line.
func ParamText(params []Param) string {
	words := make([]string, len(params))
	for i, p := range params {
		words[i] = p.Name + " " + p.Value
	}
	return strings.Join(words, " ")
}

// defaults are what the kernel takes where nothing is said, by kind and parameter. Such a value is as none: it is not in Params.
var defaults = map[string]map[string]string{
	"macvlan": {"mode": "vepa"},
	"macvtap": {"mode": "vepa"},
	"vlan":    {"protocol": "802.1Q"},
	"vxlan":   {"learning": "on", "ttl": "0"},
	"geneve":  {"ttl": "0"},
	"gre":     {"ttl": "0"},
	"ipip":    {"ttl": "0"},
	"bond": {
		"miimon": "0", "updelay": "0", "downdelay": "0", "min_links": "0", "lacp_rate": "slow", "xmit_hash_policy": "layer2",
	},
}

// DefaultParam is the kernel's own value of a parameter; "" where it has none.
func DefaultParam(kind, name string) string { return defaults[kind][name] }

// Params leaves out what is not set, and what is the kernel's default.
func Params(kind string, all ...Param) []Param {
	var kept []Param
	for _, p := range all {
		if p.Value != "" && p.Value != DefaultParam(kind, p.Name) {
			kept = append(kept, p)
		}
	}
	return kept
}
