package fake

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// String prints all that the machine holds, like ip(8), iptables-save(8) and sysctl(8) do: the same
// state gives the same text. What differs from one making to the next is left out (interface
// indices, process IDs, times), and so are tables in their original state: a used one can't be unused.
func (m *Machine) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, s := range m.spaces() {
		s.write(&b, m.keyName)
	}
	for _, name := range slices.Sorted(maps.Keys(m.leftovers)) {
		fmt.Fprintf(&b, "unfinished netns %s\n", name)
	}
	for _, s := range m.dying {
		b.WriteString("dying ")
		s.write(&b, m.keyName)
	}
	for _, k := range m.tableKeys() {
		m.tables[k].write(&b, k)
	}
	lines := []string{}
	for k, before := range m.records {
		lines = append(lines, fmt.Sprintf("record %s: %s %s = %s", k.project, k.key.Netns, k.key.Key, before))
	}
	for f, record := range m.forwards {
		for path, before := range record {
			lines = append(lines, fmt.Sprintf("record forwarding %s: %s = %s", f, path, before))
		}
	}
	for card, u := range m.uplinks {
		lines = append(lines, fmt.Sprintf("record %s: %s uplink of %s, up %t: %v %v", u.project, card, u.bridge, u.up, u.addrs, u.routes))
	}
	for card, c := range m.lent {
		lines = append(lines, fmt.Sprintf("record %s: %s lent to %s:%s", c.project, card, c.netns, c.name))
	}
	for project := range m.supervisors {
		lines = append(lines, "supervisor "+project)
	}
	for k, p := range m.processes {
		lines = append(lines, fmt.Sprintf("process %s/%s %s %d %s netns %q: %q %q hosts %q resolv %q",
			k.project, k.node, p.Status, p.ExitCode, p.Health, p.Process.Netns, p.Process.Argv, p.Process.Env, p.Process.Hosts, p.Process.Resolv))
	}
	for id := range m.keys {
		lines = append(lines, fmt.Sprintf("key %s of %s", id.name, id.project))
	}
	for _, v := range m.volumes {
		lines = append(lines, fmt.Sprintf("volume %s of %s for %s:%s labels %v", v.Name, v.Project, v.Node, v.Target, v.Labels))
	}
	slices.Sort(lines)
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		fmt.Fprintf(&b, "file %s\n", path)
		for _, line := range strings.Split(strings.TrimSuffix(m.files[path], "\n"), "\n") {
			fmt.Fprintf(&b, "  | %s\n", line)
		}
	}
	return b.String()
}

// write prints a namespace; keyName is what a public key is called.
func (s *space) write(b *strings.Builder, keyName func(string) string) {
	fmt.Fprintf(b, "netns %q\n", s.name)
	f := s.facts(map[*space]bool{s: true}, false)
	for _, l := range f.Links {
		fmt.Fprintf(b, "  link %s %s mtu %d address %s up %t %s group %d", l.Name, l.Kind, l.MTU, l.MAC, l.Up, l.Oper, l.Group)
		if peer := s.link(l.Name).peer; peer != nil {
			fmt.Fprintf(b, " peer %s:%s", peer.space.name, peer.name)
		}
		if l.Alias != "" {
			fmt.Fprintf(b, " alias %s", l.Alias)
		}
		if l.Bridge != nil {
			fmt.Fprintf(b, " stp %t forward_delay %s", l.Bridge.STP, l.Bridge.ForwardDelay)
		}
		if l.Bridge != nil && l.Bridge.VLANFiltering {
			b.WriteString(" vlan_filtering")
		}
		if l.Bridge != nil {
			writeOthers(b, bridgeParts(*l.Bridge), bridgeParts(kernel.DefaultBridge))
		}
		filters := s.filters(l)
		if filters && !slices.Equal(l.VLANs, kernel.DefaultVLANs(defaultPVID)) {
			fmt.Fprintf(b, " vlans %+v", l.VLANs)
		}
		for _, e := range l.FDB {
			if filters == (e.VLAN != 0) { // others have no effect
				fmt.Fprintf(b, " fdb %s vlan %d", e.MAC, e.VLAN)
			}
		}
		if l.Qdisc != nil {
			fmt.Fprintf(b, " qdisc %s", l.Qdisc)
		}
		if l.Port != nil {
			fmt.Fprintf(b, " master %s isolated %t hairpin %t %s", l.Master, l.Port.Isolated, l.Port.Hairpin, l.Port.State)
			writeOthers(b, portParts(*l.Port), portParts(kernel.DefaultPort))
		}
		if x := s.link(l.Name); x.parent != nil {
			fmt.Fprintf(b, " on %s:%s", x.parent.space.name, x.parent.name)
		}
		if len(l.Params) > 0 {
			fmt.Fprintf(b, " %s", kernel.ParamText(l.Params))
		}
		if l.Master != "" && l.Port == nil {
			fmt.Fprintf(b, " member of %s", l.Master)
		}
		b.WriteByte('\n')
		for _, r := range l.Remotes {
			fmt.Fprintf(b, "    remote %s %s\n", r.MAC, r.Remote)
		}
		if w := l.WireGuard; w != nil {
			fmt.Fprintf(b, "    wireguard %s port %d mark %d\n", keyName(w.PublicKey), w.ListenPort, w.FwMark)
			var peers []string
			for _, p := range w.Peers {
				peers = append(peers, fmt.Sprintf("    peer %s %s allowed %s keepalive %d preshared %s\n",
					keyName(p.PublicKey), p.Endpoint, kernel.PrefixText(p.AllowedIPs), p.Keepalive, p.Preshared))
			}
			slices.Sort(peers)
			b.WriteString(strings.Join(peers, ""))
		}
		for _, a := range f.Addrs {
			if a.Link == l.Name {
				fmt.Fprintf(b, "    %s%s%s\n", a.Prefix, word(a.Kernel, " kernel"), word(a.Tentative, " tentative"))
			}
		}
	}
	for _, r := range f.Routes {
		via := ""
		if r.Via.IsValid() {
			via = " via " + r.Via.String()
		}
		if r.Type != "unicast" {
			via = " " + r.Type
		}
		fmt.Fprintf(b, "  route %s%s dev %s metric %d table %d proto %d", r.Dst, via, r.Link, r.Metric, r.Table, r.Protocol)
		b.WriteString(rareText(r) + "\n")
	}
	for _, r := range f.PolicyRules {
		fmt.Fprintf(b, "  rule %s %d %s lookup %d %s%s\n", r.Family, r.Priority, r.Selector(), r.Table, r.Type, word(r.More, " more"))
	}
	for _, path := range slices.Sorted(maps.Keys(s.sysctls)) {
		fmt.Fprintf(b, "  sysctl %s = %s\n", path, s.sysctls[path])
	}
}

func (t *table) write(b *strings.Builder, k tableKey) {
	var lines []string
	for _, c := range t.chains {
		if c.policy == "" || c.policy != "ACCEPT" {
			policy := c.policy
			if policy == "" {
				policy = "-"
			}
			lines = append(lines, fmt.Sprintf("  :%s %s", c.name, policy))
		}
	}
	slices.Sort(lines)
	chains := slices.SortedFunc(slices.Values(t.chains), func(x, y *chain) int { return strings.Compare(x.name, y.name) })
	for _, c := range chains {
		for _, rule := range c.rules {
			lines = append(lines, "  -A "+c.name+" "+rule)
		}
	}
	if len(lines) == 0 {
		return
	}
	command := "iptables"
	if k.family == kernel.IPv6 {
		command = "ip6tables"
	}
	fmt.Fprintf(b, "%s *%s\n%s\n", command, k.name, strings.Join(lines, "\n"))
}

func word(on bool, w string) string {
	if on {
		return w
	}
	return ""
}

// filters reports whether a link is a bridge that filters VLANs, or a port of one.
func (s *space) filters(l kernel.Link) bool {
	if l.Bridge != nil {
		return l.Bridge.VLANFiltering
	}
	master := s.link(l.Master)
	return master != nil && master.bridge != nil && master.bridge.VLANFiltering
}

// bridgeParts and portParts are what is written where it is not what the kernel gives.
func bridgeParts(a kernel.BridgeAttrs) []string {
	return []string{
		fmt.Sprint(" priority ", a.Priority), fmt.Sprint(" hello_time ", a.HelloTime), fmt.Sprint(" max_age ", a.MaxAge),
		fmt.Sprint(" ageing_time ", a.AgeingTime), fmt.Sprint(" mcast_snooping ", a.McastSnooping),
	}
}

func portParts(a kernel.PortAttrs) []string {
	return []string{
		fmt.Sprint(" learning ", a.Learning), fmt.Sprint(" flood ", a.Flood), fmt.Sprint(" mcast_flood ", a.McastFlood),
		fmt.Sprint(" bcast_flood ", a.BcastFlood), fmt.Sprint(" cost ", a.Cost), fmt.Sprint(" priority ", a.Priority),
	}
}

func writeOthers(b *strings.Builder, parts, without []string) {
	for i, part := range parts {
		if part != without[i] {
			b.WriteString(part)
		}
	}
}

// rareText is what few routes have.
func rareText(r kernel.Route) string {
	var b strings.Builder
	if r.Src.IsValid() && r.Protocol != protocolKernel {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	if r.MTU != 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	b.WriteString(word(r.OnLink, " onlink"))
	for _, w := range r.Ways {
		fmt.Fprintf(&b, " nexthop %s dev %s", w, w.Link)
	}
	return b.String()
}
