package topogen

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"topo/internal/kernel"
)

// Edit is something that somebody does to a machine behind topo's back.
type Edit struct {
	Name string
	Ops  []kernel.Op
	// ID is the resource that a plan must name afterwards; "": any.
	ID string
	// Exact: nothing follows from the edit, so a plan must name nothing else.
	Exact bool
	// Of says of what kind the link is that is edited; "" where it is none.
	Of string
	// Undo takes away what is somebody else's, and stays.
	Undo []kernel.Op
}

// named are the words of an edit's name that say which one it is.
var named = regexp.MustCompile(`\S*[/:]\S*`)

// Different leaves one of those that do the same to another link, rule or address.
func Different(edits []Edit) []Edit {
	seen := map[string]bool{}
	var out []Edit
	for _, e := range edits {
		kind, _, _ := strings.Cut(e.ID, "/")
		like := strings.Join([]string{named.ReplaceAllString(e.Name, "X"), e.Of, kind}, ", ")
		if !seen[like] {
			seen[like] = true
			out = append(out, e)
		}
	}
	return out
}

// Edits lists edits of single attributes of what a project has on a machine.
func Edits(s kernel.Snapshot, project string) []Edit {
	e := editor{project: project, s: s}
	e.uplinks(s)
	e.space(s.Host)
	for _, n := range s.Netns {
		if n.Mark.Project != project {
			continue
		}
		e.space(n)
		e.add("group of namespace "+n.Name, n.Mark.ID, true, kernel.LinkSet{Netns: n.Name, Name: "lo", Group: ref(uint32(99))})
		if slices.ContainsFunc(s.Lent, func(c kernel.LentCard) bool { return c.Netns == n.Name }) {
			continue // a veth that stands for a card would go with it, for good
		}
		e.add("deletion of namespace "+n.Name, n.Mark.ID, false, kernel.NetnsDelete{Name: n.Name})
	}
	e.rules(s)
	e.chains()
	e.sysctls(s)
	for _, f := range s.Files {
		if f.Mark.Project == project {
			e.add("a line in "+f.Path, f.Mark.ID, true, kernel.FileWrite{Path: f.Path, Content: append(slices.Clip(f.Content), "192.0.2.66 intruder\n")})
			e.add("deletion of "+f.Path, f.Mark.ID, true, kernel.FileDelete{Path: f.Path})
		}
	}
	return e.edits
}

type editor struct {
	project string
	here    kernel.Netns // where the edits are
	edits   []Edit
	of      string
	moved   map[string]kernel.Uplink // by bridge
	s       kernel.Snapshot
}

// uplinks edits cards that are ports, and what the bridges have of them.
func (e *editor) uplinks(s kernel.Snapshot) {
	e.here, e.moved = s.Host, map[string]kernel.Uplink{}
	for _, u := range s.Uplinks {
		if u.Project != e.project {
			continue
		}
		e.moved[u.Bridge] = u
		id := "uplink/" + u.Card
		e.add("master of "+id, id, true, kernel.LinkSet{Name: u.Card, Master: ref("")})
		e.add(id+" down", id, true, kernel.LinkSet{Name: u.Card, Up: ref(false)})
		if e.filters(kernel.Link{Name: u.Card, Master: u.Bridge}) {
			e.add("a VLAN of "+id, id, true, kernel.VLANAdd{Link: u.Card, VLAN: kernel.VLAN{First: 3000, Last: 3001}})
		}
		for _, p := range u.Addrs {
			e.add("the address of "+id+" back on it", id, true, kernel.AddrAdd{Link: u.Card, Prefix: p})
			e.add("deletion of an address of "+id, id, true, kernel.AddrDelete{Link: u.Bridge, Prefix: p})
		}
		for _, r := range u.Routes {
			e.add("deletion of a route of "+id, id, true, kernel.RouteDelete{Dst: r.Dst, Via: r.Via, Link: u.Bridge, Metric: r.Metric, Table: r.Table})
		}
	}
}

func (e *editor) add(name, id string, exact bool, ops ...kernel.Op) {
	e.edits = append(e.edits, Edit{Name: name, Ops: ops, ID: id, Exact: exact, Of: e.of})
}

// space edits the links of a namespace, with what stands on them.
func (e *editor) space(n kernel.Netns) {
	e.here = n
	node := strings.TrimPrefix(n.Mark.ID, "netns/")
	if n.Name != "" {
		e.routes(node, n)
		e.policyRules(node, n)
	}
	for _, l := range n.Links {
		owner, id := node, "link/"+node+":"+l.Name
		if n.Name == "" {
			m, ok := kernel.ParseMark(l.Alias)
			if !ok || m.Project != e.project {
				continue
			}
			owner, id = "host", m.ID
		} else if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == e.project && l.Name != "lo" {
			id = m.ID // bridges and ports
		}
		if l.Name == "lo" {
			// The IPv6 routes to nowhere go with it.
			exact := !slices.ContainsFunc(n.Routes, func(r kernel.Route) bool { return r.Type != "unicast" && r.Dst.Addr().Is6() })
			e.add("lo of "+node+" down", n.Mark.ID, exact, kernel.LinkSet{Netns: n.Name, Name: "lo", Up: ref(false)})
			continue
		}
		e.of = l.Kind
		e.link(n.Name, id, l)
		e.of = ""
		e.impair(n.Name, owner, l)
		e.advertisements(n.Name, owner, l)
		for _, a := range n.Addrs {
			if a.Link == l.Name && !a.Kernel && !slices.Contains(e.moved[l.Name].Addrs, a.Prefix) {
				e.add("deletion of address "+a.Prefix.String()+" of "+id, "address/"+owner+":"+l.Name+"/"+a.Prefix.String(), false,
					kernel.AddrDelete{Netns: n.Name, Link: l.Name, Prefix: a.Prefix})
			}
		}
		e.add("an address on "+id, "address/"+owner+":"+l.Name+"/203.0.113.9/24", true,
			kernel.AddrAdd{Netns: n.Name, Link: l.Name, Prefix: netip.MustParsePrefix("203.0.113.9/24")})
		if n.Name == "" {
			continue
		}
		if l.Up {
			e.add("a route by "+id, "route/"+node+":198.51.100.0/24", true,
				kernel.RouteReplace{Netns: n.Name, Dst: netip.MustParsePrefix("198.51.100.0/24"), Link: l.Name, Table: kernel.TableMain})
		}
	}
}

// routes edits a node's routes.
func (e *editor) routes(node string, n kernel.Netns) {
	for _, r := range n.Routes {
		if r.Protocol != kernel.Protocol {
			continue
		}
		what := " route " + r.Dst.String() + " of " + node
		e.add("deletion of"+what, "", true,
			kernel.RouteDelete{Netns: n.Name, Dst: r.Dst, Via: r.Via, Link: r.Link, Metric: r.Metric, Table: r.Table})
		set := kernel.RouteReplace{
			Netns: n.Name, Dst: r.Dst, Via: r.Via, Link: r.Link, Metric: r.Metric, Table: r.Table, RouteMore: r.RouteMore,
		}
		if set.Type = r.Type; r.Type == "unicast" {
			set.Type = ""
		}
		change := func(how string, edit func(*kernel.RouteReplace)) {
			changed := set
			edit(&changed)
			e.add(how+what, "", true, changed)
		}
		if set.Type != "" {
			change("another type of", func(o *kernel.RouteReplace) { o.Type = "unreachable" })
			continue
		}
		change("another MTU of", func(o *kernel.RouteReplace) { o.MTU += 1400 })
		if len(r.Ways) > 1 {
			change("another weight of", func(o *kernel.RouteReplace) {
				o.Ways = slices.Clone(r.Ways)
				o.Ways[1].Weight += 5
			})
			change("one way less of", func(o *kernel.RouteReplace) {
				o.Via, o.Link, o.OnLink, o.Ways = r.Ways[0].Via, r.Ways[0].Link, r.Ways[0].OnLink, nil
			})
			continue
		}
		change("no way of", func(o *kernel.RouteReplace) {
			o.Via, o.Link, o.RouteMore, o.Type = netip.Addr{}, "", kernel.RouteMore{}, "blackhole"
		})
		if r.Src.IsValid() {
			change("no source of", func(o *kernel.RouteReplace) { o.Src = netip.Addr{} })
		}
	}
}

// advertisements edits whether a node's interface or a bridge hears router advertisements.
func (e *editor) advertisements(netns, owner string, l kernel.Link) {
	if netns == "" && l.Kind != "bridge" {
		return
	}
	if l.AcceptRA != 0 {
		e.add("another kind of router advertisements of "+owner+":"+l.Name, "accept_ra/"+owner+":"+l.Name, true,
			kernel.SysctlSet{SysctlKey: kernel.AcceptRAKey(netns, l.Name), Value: strconv.Itoa(3 - l.AcceptRA)})
	}
	value := map[int]string{0: "1"}[l.AcceptRA]
	if value == "" {
		value = "0"
	}
	e.add("router advertisements of "+owner+":"+l.Name, "accept_ra/"+owner+":"+l.Name, true, kernel.SysctlSet{SysctlKey: kernel.AcceptRAKey(netns, l.Name), Value: value})
}

// policyRules edits a node's routing policy.
func (e *editor) policyRules(node string, n kernel.Netns) {
	for _, r := range n.PolicyRules {
		id := fmt.Sprintf("rule/%s:%d", node, r.Priority)
		if r.Family == kernel.IPv6 {
			id += " ipv6"
		}
		drop := kernel.PolicyRuleDelete{Netns: n.Name, PolicyRule: r}
		e.add("deletion of "+id, id, true, drop)
		other := r
		other.In = "elsewhere"
		e.add("another "+id, id, true, drop, kernel.PolicyRuleAdd{Netns: n.Name, PolicyRule: other})
		e.add("one more "+id, "", true, kernel.PolicyRuleAdd{Netns: n.Name, PolicyRule: other})
		other = r
		if other.Table++; r.Type != "" {
			other.Table, other.Type = 77, ""
		}
		e.add("another table of "+id, id, true, drop, kernel.PolicyRuleAdd{Netns: n.Name, PolicyRule: other})
	}
	e.add("a rule of "+node, "rule/"+node+":7", true,
		kernel.PolicyRuleAdd{Netns: n.Name, PolicyRule: kernel.PolicyRule{Family: kernel.IPv4, Priority: 7, Table: 7}})
}

// impair edits what a veth's end sends through.
func (e *editor) impair(netns, owner string, l kernel.Link) {
	id := "impair/" + owner + ":" + l.Name
	tbf := kernel.TBF{Rate: 77_000, Burst: 1_000_000, Limit: 9000}
	switch q := l.Qdisc; {
	case l.Kind != "veth":
	case q == nil:
		e.add("a rate at "+id, id, true, kernel.TBFSet{Netns: netns, Link: l.Name, TBF: tbf})
	default:
		e.add("removal of "+id, id, true, kernel.QdiscDelete{Netns: netns, Link: l.Name})
		if q.TBF != nil {
			e.add("another rate of "+id, id, true, kernel.TBFSet{Netns: netns, Link: l.Name, Below: q.Below != "", TBF: tbf})
		}
		if q.Below != "" {
			e.add("no rate below "+id, id, true, kernel.QdiscDelete{Netns: netns, Link: l.Name, Below: true})
		}
		if q.Netem != nil {
			netem := *q.Netem
			netem.Duplicate++
			e.add("more duplicates by "+id, id, true, kernel.NetemSet{Netns: netns, Link: l.Name, Netem: netem})
			e.netem(netns, id, l)
		}
	}
}

// filters reports whether a link is a bridge that filters VLANs, or a port of one.
func (e *editor) filters(l kernel.Link) bool {
	return slices.ContainsFunc(e.here.Links, func(b kernel.Link) bool {
		return b.Bridge != nil && b.Bridge.VLANFiltering && (b.Name == l.Name || b.Name == l.Master)
	})
}

// fdb edits what is told of a port: where VLANs are filtered, in the VLAN of a new port.
func (e *editor) fdb(netns, id string, l kernel.Link) {
	vlan := 0
	if e.filters(l) {
		if len(l.VLANs) == 0 {
			return
		}
		vlan = l.VLANs[0].First
	}
	_, port, _ := strings.Cut(id, "/")
	name := "fdb/" + port + "/"
	entry := kernel.FDBEntry{MAC: "02:ee:00:00:00:01", VLAN: vlan}
	suffix := ""
	if vlan != 0 {
		suffix = "/" + strconv.Itoa(vlan)
	}
	e.add("a static entry of "+id, name+entry.MAC+suffix, true, kernel.FDBReplace{Netns: netns, Link: l.Name, FDBEntry: entry})
	for _, entry := range l.FDB {
		if entry.VLAN == vlan {
			e.add("deletion of a static entry of "+id, name+entry.MAC+suffix, true, kernel.FDBDelete{Netns: netns, Link: l.Name, FDBEntry: entry})
		}
	}
}

// vlans edits what a bridge, or a port of one, belongs to, where the bridge filters VLANs.
func (e *editor) vlans(netns, id string, l kernel.Link) {
	if !e.filters(l) {
		return
	}
	_, name, _ := strings.Cut(id, "/")
	self := l.Bridge != nil
	e.add("a VLAN of "+id, "vlan/"+name, true, kernel.VLANAdd{Netns: netns, Link: l.Name, Self: self, VLAN: kernel.VLAN{First: 3000, Last: 3001}})
	for _, v := range l.VLANs {
		e.add("deletion of a VLAN of "+id, "vlan/"+name, true, kernel.VLANDelete{Netns: netns, Link: l.Name, Self: self, First: v.First, Last: v.First})
		v.Untagged = !v.Untagged
		e.add("tags of a VLAN of "+id, "vlan/"+name, true, kernel.VLANAdd{Netns: netns, Link: l.Name, Self: self, VLAN: v})
	}
}

func (e *editor) link(netns, id string, l kernel.Link) {
	set := func(what string, exact bool, edit func(*kernel.LinkSet)) {
		o := kernel.LinkSet{Netns: netns, Name: l.Name}
		edit(&o)
		e.add(what+" of "+id, id, exact, o)
	}
	if i := slices.IndexFunc(e.s.Lent, func(c kernel.LentCard) bool { return c.Netns == netns && c.Name == l.Name }); i >= 0 {
		e.of = "card"
		set("MTU", true, func(o *kernel.LinkSet) { o.MTU = ref(l.MTU - 100) })
		e.card(id, l, e.s.Lent[i])
		return
	}
	if l.Parent.Name == "" { // it can't be more than its parent's
		set("MTU", l.Kind != "bond", func(o *kernel.LinkSet) { o.MTU = ref(l.MTU + 100) }) // its members follow
	}
	set("group", true, func(o *kernel.LinkSet) { o.Group = ref(uint32(99)) })
	if !strings.HasPrefix(id, "port/") && hasMAC(l) && l.Kind != "ipvlan" { // that has its parent's
		set("MAC", l.Kind != "bond", func(o *kernel.LinkSet) { o.MAC = ref("02:ee:ee:ee:ee:ee") })
	}
	if netns == "" || l.Alias != "" {
		set("alias", true, func(o *kernel.LinkSet) { o.Alias = ref("") })
	}
	if l.Up {
		e.add(id+" down", "", false, kernel.LinkSet{Netns: netns, Name: l.Name, Up: ref(false)})
	} else {
		set("state", false, func(o *kernel.LinkSet) { o.Up = ref(true) })
	}
	off := kernel.LinkSet{Netns: netns, Name: l.Name, Master: ref("")}
	switch {
	case l.Master == "":
	case l.Port == nil: // of a bond or a VRF: routes may go with it
		e.member(netns, id, l)
		e.add("master of "+id, "member/"+strings.TrimPrefix(id, "link/"), false, off)
	default: // of a bridge: VLANs and static entries go with it
		plain := len(l.FDB) == 0 && (!e.filters(l) || slices.Equal(l.VLANs, kernel.DefaultVLANs(1)))
		e.add("master of "+id, id, plain, off)
	}
	if l.Port != nil {
		e.fdb(netns, id, l)
		e.add("isolation of "+id, id, true, kernel.PortSet{Netns: netns, Name: l.Name, Isolated: ref(!l.Port.Isolated)})
		e.add("hairpin of "+id, id, true, kernel.PortSet{Netns: netns, Name: l.Name, Hairpin: ref(!l.Port.Hairpin)})
		e.add("learning of "+id, id, true, kernel.PortSet{Netns: netns, Name: l.Name, Learning: ref(!l.Port.Learning)})
		e.add("flooding of "+id, id, true, kernel.PortSet{Netns: netns, Name: l.Name, Flood: ref(!l.Port.Flood), McastFlood: ref(!l.Port.McastFlood), BcastFlood: ref(!l.Port.BcastFlood)})
		place := kernel.PortSet{Netns: netns, Name: l.Name, Priority: ref(l.Port.Priority ^ 1)}
		if l.Kind == "veth" { // of others the kernel says what the way by them costs
			place.Cost = ref(l.Port.Cost + 1)
		}
		e.add("place in the spanning tree of "+id, id, true, place)
	}
	e.vlans(netns, id, l)
	e.device(netns, id, l)
	if l.Bridge != nil {
		e.remakeBridge(netns, id, l)
		if slices.ContainsFunc(e.here.Links, e.filters) { // then the machine's bridges can
			e.add("VLAN filtering of "+id, id, true, kernel.BridgeSet{Netns: netns, Name: l.Name, VLANFiltering: ref(!l.Bridge.VLANFiltering)})
		}
		e.add("STP of "+id, id, true, kernel.BridgeSet{Netns: netns, Name: l.Name, STP: ref(!l.Bridge.STP)})
		e.add("forward delay of "+id, id, true, kernel.BridgeSet{Netns: netns, Name: l.Name, ForwardDelay: ref(7 * time.Second)})
		e.add("priority of "+id, id, true, kernel.BridgeSet{Netns: netns, Name: l.Name, Priority: ref(l.Bridge.Priority ^ 1)})
		e.add("times of "+id, id, true, kernel.BridgeSet{Netns: netns, Name: l.Name, HelloTime: ref(9 * time.Second), MaxAge: ref(39 * time.Second), AgeingTime: ref(7 * time.Second)})
		e.add("snooping of "+id, id, true, kernel.BridgeSet{Netns: netns, Name: l.Name, McastSnooping: ref(!l.Bridge.McastSnooping)})
	}
	switch {
	case l.Kind == "veth":
		e.remakeVeth(netns, id, l)
	case l.Bridge == nil:
		e.remakeDevice(netns, id, l)
	}
	e.add("deletion of "+id, "", false, kernel.LinkDelete{Netns: netns, Name: l.Name})
}

// card edits a card of the host's. It is not deleted: nobody could make it anew.
func (e *editor) card(id string, l kernel.Link, c kernel.LentCard) {
	e.add("group of "+id, id, true, kernel.LinkSet{Netns: c.Netns, Name: l.Name, Group: ref(uint32(99))})
	e.add(id+" down", id, false, kernel.LinkSet{Netns: c.Netns, Name: l.Name, Up: ref(false)})
	e.add(id+" given back", id, false, kernel.CardReturn{Project: e.project, Card: c.Card})
}

// device edits what only links of other kinds have.
func (e *editor) device(netns, id string, l kernel.Link) {
	name := strings.TrimPrefix(id, "link/")
	if l.Kind == "vxlan" {
		other := kernel.VXLANRemote{MAC: kernel.NoMAC, Remote: "198.51.100.1"}
		e.add("a remote of "+id, "remote/"+name+"/"+other.Remote, true, kernel.RemoteAdd{Netns: netns, Link: l.Name, VXLANRemote: other})
		for _, r := range l.Remotes {
			remote := "remote/" + name + "/" + r.Remote
			if r.MAC != kernel.NoMAC {
				remote += "/" + r.MAC
			}
			e.add("a remote less of "+id, remote, true, kernel.RemoteDelete{Netns: netns, Link: l.Name, VXLANRemote: r})
		}
	}
	if w := l.WireGuard; w != nil {
		e.wireGuard(netns, id, l)
		e.add("mark of "+id, "wireguard/"+name, true, kernel.WireGuardSet{Netns: netns, Link: l.Name, FwMark: ref(uint32(77))})
		stranger := "bm9ib2R5IG5vYm9keSBub2JvZHkgbm9ib2R5IG5vYm8="
		e.add("a peer of "+id, "peer/"+name+"/"+stranger, true, kernel.PeerSet{Netns: netns, Link: l.Name, PublicKey: stranger})
		for _, p := range w.Peers {
			e.add("a peer less of "+id, "peer/"+name+"/"+p.PublicKey, true, kernel.PeerDelete{Netns: netns, Link: l.Name, PublicKey: p.PublicKey})
			e.add("a peer of "+id+" changed", "peer/"+name+"/"+p.PublicKey, true,
				kernel.PeerSet{Netns: netns, Link: l.Name, PublicKey: p.PublicKey, AllowedIPs: p.AllowedIPs, Keepalive: p.Keepalive + 5})
		}
	}
}

// rules deletes rules, empties chains, and puts a rule into a chain of the project's.
func (e *editor) rules(s kernel.Snapshot) {
	seen := map[string]bool{}
	for _, r := range s.Rules {
		m := r.Mark()
		if m.Project != e.project && m.Project != kernel.HostProject {
			continue
		}
		op := kernel.Iptables{Family: r.Family, Table: r.Table}
		line := string(r.Family) + " " + r.Table + " " + r.Chain
		op.Args = "-D " + r.Chain + " " + r.Spec
		e.add("deletion of rule "+line+" "+r.Spec, m.ID, true, op)
		if !strings.HasPrefix(r.Chain, "TOPO-") || seen[line] {
			continue
		}
		seen[line] = true
		op.Args = "-F " + r.Chain
		e.add("flush of "+line, "", false, op)
		if strings.Count(r.Chain, "-") == 2 { // of this project alone
			op.Args = "-A " + r.Chain + " -p tcp -j RETURN"
			e.add("a rule in "+line, "", false, op)
		}
	}
}

func (e *editor) sysctls(s kernel.Snapshot) {
	other := map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "99", "net.ipv4.ping_group_range": "5 6",
		"net.ipv4.conf.all.rp_filter": "0", "net.ipv6.conf.all.forwarding": "0",
	}
	nodes := map[string]string{}
	for _, n := range s.Netns {
		nodes[n.Name] = strings.TrimPrefix(n.Mark.ID, "netns/")
	}
	for _, r := range s.Records {
		if r.Project == e.project && nodes[r.Netns] != "" && other[r.Key] != "" {
			e.add(r.Key+" of "+r.Netns, "sysctl/"+nodes[r.Netns]+":"+r.Key, true, kernel.SysctlSet{SysctlKey: r.SysctlKey, Value: other[r.Key]})
		}
	}
	for _, r := range s.Rules {
		_, bridge, ok := strings.Cut(r.Spec, "-d 127.0.0.0/8 -i ")
		if bridge, _, _ = strings.Cut(bridge, " "); ok && r.Mark().Project == e.project {
			key := "net/ipv4/conf/" + bridge + "/route_localnet"
			e.add(key, "sysctl/host:"+key, true, kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Key: key}, Value: "0"})
		}
	}
	for _, f := range s.Forwards {
		if f.Recorded {
			key := "net.ipv4.ip_forward"
			if f.Family == kernel.IPv6 {
				key = "net.ipv6.conf.all.forwarding"
			}
			e.add("forwarding of "+string(f.Family), "forwarding/"+string(f.Family), true, kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Key: key}, Value: "0"})
		}
	}
}

// hasMAC reports whether a link has a MAC address that can be changed.
func hasMAC(l kernel.Link) bool {
	return !slices.Contains([]string{"wireguard", "ifb", "gre", "ipip"}, l.Kind) && !slices.Contains(l.Params, kernel.Param{Name: "mode", Value: "tun"})
}

func ref[T any](v T) *T { return &v }
