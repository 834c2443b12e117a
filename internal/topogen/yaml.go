package topogen

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// YAML is the file as text.
func (f *File) YAML() []byte {
	var b strings.Builder
	w := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	w("name: %s", f.Name)
	if len(f.Bridges) > 0 {
		w("bridges:")
	}
	for _, br := range f.Bridges {
		w("  %s: %s", br.Name, br.keys().flow())
	}
	for _, container := range []bool{false, true} {
		first := true
		for _, n := range f.Nodes {
			if n.Container != container {
				continue
			}
			if first {
				w(map[bool]string{false: "namespaces:", true: "containers:"}[container])
				first = false
			}
			w("  %s:", n.Name)
			keys := f.nodeKeys(n)
			for _, k := range keys {
				w("    %s", k)
			}
			if len(keys) == 0 {
				w("    {}")
			}
		}
	}
	if names := f.volumes(); len(names) > 0 {
		w("volumes: {%s}", strings.Join(names, ": , ")+": ")
	}
	if len(f.Links) > 0 {
		w("links:")
	}
	for _, l := range f.Links {
		k := keys{fmt.Sprintf("endpoints: [%s, %s]", l.end(0).flow(), l.end(1).flow())}
		k.add(l.MTU != 0, "mtu: %d", l.MTU)
		w("  - %s", k.flow())
	}
	return []byte(b.String())
}

// keys are lines of a mapping.
type keys []string

// add adds a key where it is stated.
func (k *keys) add(stated bool, format string, a ...any) {
	if stated {
		*k = append(*k, fmt.Sprintf(format, a...))
	}
}

// flow is the mapping in one line.
func (k keys) flow() string { return "{" + strings.Join(k, ", ") + "}" }

func (br Bridge) keys() keys {
	var k keys
	if !br.Allocated {
		switch subnets := br.subnets(); len(subnets) {
		case 0:
			k.add(true, "subnet: none")
		case 1:
			k.add(true, "subnet: %q", subnets[0])
		default:
			k.add(true, "subnet: [%q, %q]", subnets[0], subnets[1])
		}
	}
	k.add(br.NoGateway, "gateway: none")
	if br.Uplink != "" {
		k.add(true, "uplinks: [%s]", br.Uplink)
		// By default such a bridge has none.
		k.add(br.V4 && !br.NoGateway && !br.V6, "gateway: %s", br.gateway(false))
		k.add(br.V6 && !br.NoGateway && !br.V4, "gateway: %q", br.gateway(true))
		k.add(br.V4 && br.V6 && !br.NoGateway, "gateway: [%s, %q]", br.gateway(false), br.gateway(true))
	}
	k.add(br.Internal, "internal: true")
	k.add(br.NoICC, "icc: false")
	k.add(br.NoNames, "names: false")
	k.add(br.NoMasquerade, "masquerade: false")
	k.add(br.STP, "stp: true, forward_delay: 2s")
	k.add(br.MTU != 0, "mtu: %d", br.MTU)
	k.add(br.Filtering, "vlan_filtering: true")
	k.add(br.VLAN != "", "vlan: %s", br.VLAN)
	k.add(br.Keys != "", "%s", br.Keys)
	k.add(br.Node != "", "node: %s", br.Node)
	k.add(br.MAC != 0, "mac: \"02:bb:00:00:00:%02x\"", br.MAC)
	return k
}

func (br Bridge) subnets() []string {
	var s []string
	if br.V4 {
		s = append(s, fmt.Sprintf("10.20.%d.0/24", br.Subnet))
	}
	if br.V6 {
		s = append(s, fmt.Sprintf("fd00:20:%d::/64", br.Subnet))
	}
	return s
}

// gateway is the bridge's own address, as topo chooses it: the first.
func (br Bridge) gateway(v6 bool) string {
	if v6 {
		return fmt.Sprintf("fd00:20:%d::1", br.Subnet)
	}
	return fmt.Sprintf("10.20.%d.1", br.Subnet)
}

func (f *File) bridge(name string) Bridge {
	for _, br := range f.Bridges {
		if br.Name == name {
			return br
		}
	}
	return Bridge{}
}

func (f *File) nodeKeys(n Node) keys {
	var k keys
	k.add(len(n.Attached) > 0, "bridges:")
	for _, at := range n.Attached {
		k.add(true, "  %s: %s", at.Bridge, f.attachmentKeys(n, at).flow())
	}
	k.add(len(n.Own) > 0, "interfaces:")
	for _, o := range n.Own {
		k.add(true, "  %s: %s", o.name(), o.keys(n).flow())
	}
	k.add(!n.linked(f) && len(n.Attached) == 0 && n.Container, "network_mode: none")
	if len(n.Ports) > 0 {
		var ports []string
		for _, p := range n.Ports {
			host := ""
			if p.Loopback {
				host = "127.0.0.1:"
			}
			ports = append(ports, fmt.Sprintf("\"%s%d:%d/%s\"", host, p.Host, p.Node, p.Protocol))
		}
		k.add(true, "ports: [%s]", strings.Join(ports, ", "))
	}
	k.add(len(n.Routes) > 0, "routes:")
	for _, r := range n.Routes {
		k.add(true, "  - %s", f.routeKeys(n, r).flow())
	}
	k.add(n.Forwards, "forwarding: true")
	if len(n.Attached) > 0 {
		k.add(len(n.Rules) > 0, "rules:")
		for i, rule := range n.Rules {
			k.add(true, "  - {priority: %d, %s}", 100+i, rule)
		}
	}
	k.add(len(n.Sysctls) > 0, "sysctls:")
	for _, key := range sysctlKeys {
		if v, ok := n.Sysctls[key]; ok {
			k.add(true, "  %s: %q", key, v)
		}
	}
	k.add(n.Extra != "", "extra_hosts: [\"%s:192.0.2.77\"]", n.Extra)
	k.add(n.Command, "command: [sleep, infinity]")
	k.add(n.Command && n.Env != "", "environment: {GREETING: %s}", n.Env)
	k.add(n.Command && n.Restart != "", "restart: %s", n.Restart)
	k.add(n.Command && n.Health, "healthcheck: {test: [CMD, \"true\"], interval: 1s}")
	k.add(len(n.Volumes) > 0, "volumes:")
	for _, v := range n.Volumes {
		k.add(true, "  - %s", v.keys().flow())
	}
	k.add(n.Memory > 0, "mem_limit: %dm", n.Memory)
	k.add(n.ReadOnly, "read_only: true")
	k.add(len(n.DependsOn) > 0, "depends_on:")
	for _, d := range n.DependsOn {
		condition := "service_started"
		for _, other := range f.Nodes {
			if other.Name == d && other.Health {
				condition = "service_healthy"
			}
		}
		k.add(true, "  %s: {condition: %s}", d, condition)
	}
	return k
}

func (f *File) attachmentKeys(n Node, at Attachment) keys {
	var k keys
	br := f.bridge(at.Bridge)
	if subnets := br.subnets(); at.Stated && !br.Allocated && len(subnets) > 0 {
		var addresses []string
		for _, s := range subnets {
			addresses = append(addresses, fmt.Sprintf("%q", n.address(br, netip.MustParsePrefix(s).Addr().Is6())))
		}
		k.add(true, "address: [%s]", strings.Join(addresses, ", "))
	}
	k.add(at.MTU != 0, "mtu: %d", at.MTU)
	k.add(at.MAC != 0, "mac: \"02:aa:00:00:%02x:%02x\"", n.Host, at.MAC)
	k.add(at.Alias != "", "aliases: [%s]", at.Alias)
	k.add(at.Interface != "", "interface: %s", at.Interface)
	k.add(at.AcceptRA, "accept_ra: true")
	k.add(at.Impair != "", "impair: {%s}", at.Impair)
	k.add(at.VLAN != "", "vlan: %s", at.VLAN)
	k.add(at.Port != "", "port: {%s}", portKeys(at.Port, n.Host))
	return k
}

// portKeys are the keys of a bridge's port; number is different for each port.
func portKeys(text string, number int) string {
	return strings.ReplaceAll(text, "NN", fmt.Sprintf("%02x", number))
}

func (f *File) routeKeys(n Node, r Route) keys {
	var k keys
	k.add(!r.V6, "to: \"10.99.%d.0/24\"", r.Net)
	k.add(r.V6, "to: \"fd00:99:%d::/64\"", r.Net)
	k.add(true, "%s", f.way(n, r))
	k.add(r.Metric != 0, "metric: %d", r.Metric)
	k.add(r.Table != 0, "table: %d", r.Table)
	return k
}

// way is how a route leads on.
func (f *File) way(n Node, r Route) string {
	br := f.bridge(r.Bridge)
	gateway := br.gateway(r.V6)
	other := fmt.Sprintf("10.20.%d.250", br.Subnet)
	if r.V6 {
		other = fmt.Sprintf("fd00:20:%d::fa", br.Subnet)
	}
	at := n.Attached[slices.IndexFunc(n.Attached, func(a Attachment) bool { return a.Bridge == r.Bridge })]
	switch r.Form {
	case Nowhere:
		return "type: blackhole"
	case Refused:
		return "type: prohibit"
	case TwoWays:
		return fmt.Sprintf("via: [%q, %q]", other, gateway)
	case Weighted:
		return fmt.Sprintf("nexthops: [{via: %q, weight: 3}, {via: %q}]", gateway, other)
	case Narrow:
		return fmt.Sprintf("via: %q, mtu: 1300", gateway)
	case Sourced:
		if at.Stated {
			return fmt.Sprintf("via: %q, src: %q", gateway, n.address(br, r.V6))
		}
	case OnLink:
		if at.Interface != "" {
			outside := map[bool]string{false: "192.0.2.9", true: "2001:db8::9"}[r.V6]
			return fmt.Sprintf("via: %q, interface: %s, onlink: true", outside, at.Interface)
		}
	}
	return fmt.Sprintf("via: %q", gateway)
}

// address is a node's stated address on a bridge.
func (n Node) address(br Bridge, v6 bool) netip.Addr {
	a := netip.MustParsePrefix(br.subnets()[0]).Addr()
	if v6 {
		a = netip.MustParsePrefix(br.subnets()[len(br.subnets())-1]).Addr()
	}
	for range 10 + n.Host {
		a = a.Next()
	}
	return a
}

// volumes are the names of volumes that nodes have, each once.
func (f *File) volumes() []string {
	var names []string
	for _, n := range f.Nodes {
		for _, v := range n.Volumes {
			if v.Name != "" {
				names = append(names, v.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (v Volume) keys() keys {
	var k keys
	k.add(v.Tmpfs, "type: tmpfs")
	k.add(!v.Tmpfs, "type: volume")
	k.add(true, "target: /v%d", v.Number)
	k.add(v.Name != "", "source: %s", v.Name)
	k.add(v.ReadOnly, "read_only: true")
	return k
}

func (n Node) linked(f *File) bool {
	return slices.ContainsFunc(f.Bridges, func(b Bridge) bool { return b.Node == n.Name }) || slices.ContainsFunc(f.Links, func(l Link) bool { return l.Ends[0].Node == n.Name || l.Ends[1].Node == n.Name })
}

func (l Link) end(i int) keys {
	e := l.Ends[i]
	k := keys{"node: " + e.Node, fmt.Sprintf("interface: lk%d%c", l.Number, 'a'+i)}
	four, six := fmt.Sprintf("\"10.30.%d.%d/30\"", l.Number, i+1), fmt.Sprintf("\"fd00:30:%d::%d/64\"", l.Number, i+1)
	k.add(e.V4 && !e.V6 && !e.Bridge, "address: [%s]", four)
	k.add(e.V6 && !e.V4 && !e.Bridge, "address: [%s]", six)
	k.add(e.V4 && e.V6 && !e.Bridge, "address: [%s, %s]", four, six)
	k.add(e.Down, "up: false")
	k.add(e.MAC != 0, "mac: \"02:cc:00:00:%02x:%02x\"", l.Number, e.MAC*2+i)
	k.add(e.Impair != "", "impair: {%s}", e.Impair)
	k.add(e.VLAN != "", "vlan: %s", e.VLAN)
	k.add(e.Port != "", "port: {%s}", portKeys(e.Port, 0x80+l.Number))
	return k
}
