package topogen

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"topo/internal/kernel"
)

// What the kernel lets nobody change of a link is edited by making it anew: of another name, kind, place or parameter.

// elsewhere is the name of what somebody has renamed.
const elsewhere = "elsewhere0"

// strange is a kind that all kernels have and that can stand in any link's place.
const strange = "ifb"

// remakeBridge: with our mark, but of another kind, by another name, in another namespace.
func (e *editor) remakeBridge(netns, id string, l kernel.Link) {
	gone := kernel.LinkDelete{Netns: netns, Name: l.Name}
	e.add("another kind of "+id, id, false, gone, kernel.LinkAdd{Netns: netns, Name: l.Name, Kind: strange, Group: l.Group, Alias: l.Alias, MTU: l.MTU})
	made := kernel.BridgeAdd{Netns: netns, Name: elsewhere, MAC: l.MAC, MTU: l.MTU, Group: l.Group}
	mark := kernel.LinkSet{Netns: netns, Name: elsewhere, Alias: &l.Alias}
	e.add("another name of "+id, id, false, gone, made, mark)
	if other, ok := e.another(netns); ok {
		made.Netns, mark.Netns = other, other
		e.add(id+" in another namespace", id, false, gone, made, mark)
	}
}

// another is a namespace of the project's that is not this one.
func (e *editor) another(netns string) (string, bool) {
	for _, n := range e.s.Netns {
		if n.Mark.Project == e.project && n.Name != netns {
			return n.Name, true
		}
	}
	return "", false
}

// remakeVeth does the same with an end of a veth.
func (e *editor) remakeVeth(netns, id string, l kernel.Link) {
	far, ok := e.linkAt(l.Peer)
	if !ok {
		return
	}
	gone := kernel.LinkDelete{Netns: netns, Name: l.Name}
	own, other := vethEnd(netns, l), vethEnd(l.Peer.Netns, far)
	e.add("another kind of "+id, id, false, gone, kernel.LinkAdd{Netns: netns, Name: l.Name, Kind: strange, Group: l.Group, Alias: l.Alias, MTU: l.MTU})
	if !strings.HasPrefix(id, "port/") {
		return // known by its place and its name: it would be another one
	}
	// The other end makes it, and is named for both.
	own.Name = elsewhere
	e.add("another name of "+id, "", false, gone, kernel.VethAdd{A: own, B: other})
	if away, ok := e.another(netns); ok {
		own.Netns, own.Master = away, ""
		e.add(id+" in another namespace", "", false, gone, kernel.VethAdd{A: own, B: other})
	}
}

func (e *editor) linkAt(end kernel.End) (kernel.Link, bool) {
	for _, n := range append([]kernel.Netns{e.s.Host}, e.s.Netns...) {
		for _, l := range n.Links {
			if end.Name != "" && n.Name == end.Netns && l.Name == end.Name {
				return l, true
			}
		}
	}
	return kernel.Link{}, false
}

func vethEnd(netns string, l kernel.Link) kernel.VethEnd {
	end := kernel.VethEnd{Netns: netns, Name: l.Name, MAC: l.MAC, MTU: l.MTU, Group: l.Group, Up: l.Up, Alias: l.Alias}
	if l.Port != nil {
		end.Master = l.Master
	}
	return end
}

// otherParam is another value of a parameter; "" where there is none that every link of the kind takes.
func otherParam(kind string, p kernel.Param) string {
	word := func(a, b string) string {
		if p.Value == a {
			return b
		}
		return a
	}
	switch p.Name {
	case "id", "port", "table", "key", "ttl", "min_links":
		n, err := strconv.Atoi(p.Value)
		switch {
		case err != nil:
			return ""
		case p.Name == "id" && n > 2000:
			return strconv.Itoa(n - 1000)
		case p.Name == "id": // no other link's
			return strconv.Itoa(n + 1000)
		}
		return strconv.Itoa(n + 1)
	case "local", "remote":
		return "192.0.2.77"
	case "group":
		return "239.9.9.9"
	case "learning":
		return word("on", "off")
	case "protocol":
		return word("802.1Q", "802.1ad")
	case "miimon", "updelay", "downdelay":
		return word("300", "600")
	case "lacp_rate":
		return word("slow", "fast")
	case "xmit_hash_policy":
		return word("layer2", "layer2+3")
	case "mode":
		return map[string]string{
			"macvlan": word("private", "bridge"), "macvtap": word("private", "bridge"), "ipvlan": word("l2", "l3"), "bond": word("active-backup", "balance-xor"),
			"tun": word("tun", "tap"),
		}[kind]
	}
	return ""
}

// inPlace are parameters that a kind takes while the link is in use.
var inPlace = map[string][]string{
	"macvlan": {"mode"}, "macvtap": {"mode"}, "ipvlan": {"mode"}, "bond": {"miimon", "min_links", "xmit_hash_policy"},
	"gre": {"local", "remote", "ttl"}, "ipip": {"local", "remote", "ttl"},
}

// remakeDevice edits the kind, the name, the parent and each parameter of a link of another kind.
func (e *editor) remakeDevice(netns, id string, l kernel.Link) {
	gone := kernel.LinkDelete{Netns: netns, Name: l.Name}
	made := kernel.LinkAdd{
		Netns: netns, Name: l.Name, Kind: l.Kind, Parent: l.Parent, MTU: l.MTU, Group: l.Group, Up: l.Up, Alias: l.Alias, Params: l.Params,
	}
	if l.Port != nil {
		made.Master = l.Master
	}
	if l.Kind != "tun" && l.Kind != "ipvlan" && l.Kind != "ifb" && l.Kind != "wireguard" && l.Kind != "gre" && l.Kind != "ipip" {
		made.MAC = l.MAC
	}
	other := made
	other.Kind, other.Parent, other.Params = strange, kernel.End{}, nil
	if l.Kind == strange {
		other.Kind, other.Params = "tun", []kernel.Param{{Name: "mode", Value: "tap"}}
	}
	e.add("another kind of "+id, id, false, gone, other)
	if netns == "" {
		other = made
		other.Name = elsewhere
		e.add("another name of "+id, id, false, gone, other)
	}
	if parent, ok := e.otherParent(l); ok {
		other = made
		other.Parent = parent
		e.add("another parent of "+id, id, false, gone, other)
	}
	for i, p := range l.Params {
		value := otherParam(l.Kind, p)
		if value == "" {
			continue
		}
		all := slices.Clone(l.Params)
		all[i].Value = value
		if slices.Contains(inPlace[l.Kind], p.Name) {
			changed := all[i : i+1]
			if l.Kind == "gre" || l.Kind == "ipip" {
				changed = all // what is left out is as in a new one
			}
			e.add(p.Name+" of "+id, id, p.Name != "mode", kernel.LinkParams{Netns: netns, Name: l.Name, Kind: l.Kind, Params: changed})
			continue
		}
		if l.Kind == "bond" && p.Name == "mode" { // which 802.3ad alone has
			all = slices.DeleteFunc(all, func(p kernel.Param) bool { return p.Name == "lacp_rate" })
		}
		other = made
		other.Params = kernel.Params(l.Kind, all...)
		e.add("another "+p.Name+" of "+id, id, false, gone, other)
	}
}

// otherParent is an interface of the same namespace that nothing stands on.
func (e *editor) otherParent(l kernel.Link) (kernel.End, bool) {
	if l.Parent.Name == "" {
		return kernel.End{}, false
	}
	for _, n := range e.s.Netns {
		if n.Name != l.Parent.Netns {
			continue
		}
		for _, p := range n.Links {
			taken := slices.ContainsFunc(n.Links, func(x kernel.Link) bool { return x.Parent == (kernel.End{Netns: n.Name, Name: p.Name}) })
			if (p.Kind == "veth" || p.Kind == "dummy") && p.Master == "" && !taken && p.MTU >= l.MTU {
				return kernel.End{Netns: n.Name, Name: p.Name}, true
			}
		}
	}
	return kernel.End{}, false
}

// member moves a member of a bond or a VRF to another one of its namespace.
func (e *editor) member(netns, id string, l kernel.Link) {
	for _, x := range e.here.Links {
		if (x.Kind == "bond" || x.Kind == "vrf") && x.Name != l.Master {
			e.add("another master of "+id, "member/"+strings.TrimPrefix(id, "link/"), false,
				kernel.LinkSet{Netns: netns, Name: l.Name, Master: ref("")},
				kernel.Enslave{Netns: netns, Name: l.Name, Master: x.Name, Down: x.Kind == "bond"})
			return
		}
	}
}

// wireGuard edits what a wireguard link and its peers have.
func (e *editor) wireGuard(netns, id string, l kernel.Link) {
	name := strings.TrimPrefix(id, "link/")
	own := "wireguard/" + name
	e.add("port of "+id, own, true, kernel.WireGuardSet{Netns: netns, Link: l.Name, ListenPort: ref(l.WireGuard.ListenPort + 1000)})
	e.add("key of "+id, own, false, kernel.WireGuardSet{Netns: netns, Link: l.Name, PrivateKey: &kernel.KeyRef{Given: kernel.Secret{1, 2, 3}}})
	for _, p := range l.WireGuard.Peers {
		set := kernel.PeerSet{Netns: netns, Link: l.Name, PublicKey: p.PublicKey, Endpoint: p.Endpoint, AllowedIPs: p.AllowedIPs, Keepalive: p.Keepalive}
		peer := "peer/" + name + "/" + p.PublicKey
		more := set
		more.AllowedIPs = append(slices.Clone(p.AllowedIPs), netip.MustParsePrefix("203.0.113.77/32"))
		e.add("allowed_ips of a peer of "+id, peer, true, more)
		if p.Endpoint.IsValid() {
			more = set
			more.Endpoint = netip.AddrPortFrom(p.Endpoint.Addr(), p.Endpoint.Port()^1)
			e.add("endpoint of a peer of "+id, peer, true, more)
		}
	}
}

// netem edits each parameter of a netem.
func (e *editor) netem(netns, id string, l kernel.Link) {
	for what, edit := range netemEdits {
		n := *l.Qdisc.Netem
		edit(&n)
		e.add(what+" by "+id, id, true, kernel.NetemSet{Netns: netns, Link: l.Name, Netem: n})
	}
	e.add("a rate alone at "+id, id, true,
		kernel.QdiscDelete{Netns: netns, Link: l.Name}, kernel.TBFSet{Netns: netns, Link: l.Name, TBF: kernel.TBF{Rate: 77_000, Burst: 1_000_000, Limit: 9000}})
}

var netemEdits = map[string]func(*kernel.Netem){
	"delay":  func(n *kernel.Netem) { n.Delay += 1000 * 1000 },
	"jitter": func(n *kernel.Netem) { n.Jitter += 1000 * 1000 },
	"distribution": func(n *kernel.Netem) {
		n.Jitter += 1000
		n.Distribution = map[string]string{"pareto": "normal"}[n.Distribution] + "pareto"
	},
	"loss":       func(n *kernel.Netem) { n.Loss = kernel.Loss{Model: "random", P: [5]kernel.Chance{77}} },
	"corruption": func(n *kernel.Netem) { n.Corrupt++ },
	"order":      func(n *kernel.Netem) { n.Delay, n.Reorder, n.Gap = n.Delay+1000*1000, n.Reorder+1, n.Gap+1 },
	"limit":      func(n *kernel.Netem) { n.Limit++ },
	"own rate":   func(n *kernel.Netem) { n.Rate += 77_000 },
}

// chains takes chains away, with all that leads to them, and puts somebody's rule before topo's.
func (e *editor) chains() {
	for _, c := range e.s.Chains {
		op := kernel.Iptables{Family: c.Family, Table: c.Table}
		line := string(c.Family) + " " + c.Table + " " + c.Name
		do := func(args string) kernel.Op { op.Args = args; return op }
		if !strings.HasPrefix(c.Name, "TOPO-") {
			if slices.ContainsFunc(e.s.Rules, func(r kernel.Rule) bool {
				return r.Family == c.Family && r.Table == c.Table && r.Chain == c.Name && r.Mark().Project == kernel.HostProject
			}) {
				const rule = " -m comment --comment stranger -j RETURN"
				e.add("a rule before topo's in "+line, fmt.Sprintf("firewall/%s/%s", c.Family, c.Table), true, do("-I "+c.Name+rule))
				e.edits[len(e.edits)-1].Undo = []kernel.Op{do("-D " + c.Name + rule)}
			}
			continue
		}
		var ops []kernel.Op
		for _, r := range e.s.Rules {
			if r.Family == c.Family && r.Table == c.Table && strings.Contains(" "+r.Spec+" ", " -j "+c.Name+" ") {
				ops = append(ops, do("-D "+r.Chain+" "+r.Spec))
			}
		}
		e.add("deletion of chain "+line, "", false, append(ops, do("-F "+c.Name), do("-X "+c.Name))...)
	}
}
