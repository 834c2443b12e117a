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
		w("  %s: {%s}", br.Name, strings.Join(br.keys(), ", "))
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
		mtu := ""
		if l.MTU != 0 {
			mtu = fmt.Sprintf(", mtu: %d", l.MTU)
		}
		w("  - {endpoints: [%s, %s]%s}", l.end(0), l.end(1), mtu)
	}
	return []byte(b.String())
}

func (br Bridge) keys() []string {
	var k []string
	add := func(on bool, format string, a ...any) {
		if on {
			k = append(k, fmt.Sprintf(format, a...))
		}
	}
	if !br.Allocated {
		switch subnets := br.subnets(); len(subnets) {
		case 0:
			add(true, "subnet: none")
		case 1:
			add(true, "subnet: %q", subnets[0])
		default:
			add(true, "subnet: [%q, %q]", subnets[0], subnets[1])
		}
	}
	add(br.NoGateway, "gateway: none")
	if br.Uplink != "" {
		add(true, "uplinks: [%s]", br.Uplink)
		// By default such a bridge has none.
		add(br.V4 && !br.NoGateway && !br.V6, "gateway: %s", br.gateway(false))
		add(br.V6 && !br.NoGateway && !br.V4, "gateway: %q", br.gateway(true))
		add(br.V4 && br.V6 && !br.NoGateway, "gateway: [%s, %q]", br.gateway(false), br.gateway(true))
	}
	add(br.Internal, "internal: true")
	add(br.NoICC, "icc: false")
	add(br.NoNames, "names: false")
	add(br.NoMasquerade, "masquerade: false")
	add(br.STP, "stp: true, forward_delay: 2s")
	add(br.MTU != 0, "mtu: %d", br.MTU)
	add(br.Filtering, "vlan_filtering: true")
	add(br.VLAN != "", "vlan: %s", br.VLAN)
	add(br.Keys != "", "%s", br.Keys)
	add(br.Node != "", "node: %s", br.Node)
	add(br.MAC != 0, "mac: \"02:bb:00:00:00:%02x\"", br.MAC)
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

func (f *File) nodeKeys(n Node) []string {
	var k []string
	add := func(on bool, format string, a ...any) {
		if on {
			k = append(k, fmt.Sprintf(format, a...))
		}
	}
	add(len(n.Attached) > 0, "bridges:")
	for _, at := range n.Attached {
		var keys []string
		br := f.bridge(at.Bridge)
		if at.Stated && !br.Allocated {
			var addresses []string
			for _, s := range br.subnets() {
				addresses = append(addresses, fmt.Sprintf("%q", n.address(br, netip.MustParsePrefix(s).Addr().Is6())))
			}
			if len(addresses) > 0 {
				keys = append(keys, fmt.Sprintf("address: [%s]", strings.Join(addresses, ", ")))
			}
		}
		if at.MTU != 0 {
			keys = append(keys, fmt.Sprintf("mtu: %d", at.MTU))
		}
		if at.MAC != 0 {
			keys = append(keys, fmt.Sprintf("mac: \"02:aa:00:00:%02x:%02x\"", n.Host, at.MAC))
		}
		if at.Alias != "" {
			keys = append(keys, fmt.Sprintf("aliases: [%s]", at.Alias))
		}
		if at.Interface != "" {
			keys = append(keys, fmt.Sprintf("interface: %s", at.Interface))
		}
		if at.AcceptRA {
			keys = append(keys, "accept_ra: true")
		}
		if at.Impair != "" {
			keys = append(keys, fmt.Sprintf("impair: {%s}", at.Impair))
		}
		if at.VLAN != "" {
			keys = append(keys, "vlan: "+at.VLAN)
		}
		if at.Port != "" {
			keys = append(keys, fmt.Sprintf("port: {%s}", strings.ReplaceAll(at.Port, "NN", fmt.Sprintf("%02x", n.Host))))
		}
		add(true, "  %s: {%s}", at.Bridge, strings.Join(keys, ", "))
	}
	add(len(n.Own) > 0, "interfaces:")
	for _, o := range n.Own {
		add(true, "  %s", o.yaml(n))
	}
	add(!n.linked(f) && len(n.Attached) == 0 && n.Container, "network_mode: none")
	if len(n.Ports) > 0 {
		var ports []string
		for _, p := range n.Ports {
			host := ""
			if p.Loopback {
				host = "127.0.0.1:"
			}
			ports = append(ports, fmt.Sprintf("\"%s%d:%d/%s\"", host, p.Host, p.Node, p.Protocol))
		}
		add(true, "ports: [%s]", strings.Join(ports, ", "))
	}
	if len(n.Routes) > 0 {
		add(true, "routes:")
		for _, r := range n.Routes {
			to := fmt.Sprintf("10.99.%d.0/24", r.Net)
			if r.V6 {
				to = fmt.Sprintf("fd00:99:%d::/64", r.Net)
			}
			extra := ""
			if r.Metric != 0 {
				extra += fmt.Sprintf(", metric: %d", r.Metric)
			}
			if r.Table != 0 {
				extra += fmt.Sprintf(", table: %d", r.Table)
			}
			add(true, "  - {to: %q, %s%s}", to, f.way(n, r), extra)
		}
	}
	add(n.Forwards, "forwarding: true")
	if len(n.Attached) > 0 {
		add(len(n.Rules) > 0, "rules:")
		for i, rule := range n.Rules {
			add(true, "  - {priority: %d, %s}", 100+i, rule)
		}
	}
	if len(n.Sysctls) > 0 {
		add(true, "sysctls:")
		for _, key := range sysctlKeys {
			if v, ok := n.Sysctls[key]; ok {
				add(true, "  %s: %q", key, v)
			}
		}
	}
	add(n.Extra != "", "extra_hosts: [\"%s:192.0.2.77\"]", n.Extra)
	add(n.Command, "command: [sleep, infinity]")
	add(n.Command && n.Env != "", "environment: {GREETING: %s}", n.Env)
	add(n.Command && n.Restart != "", "restart: %s", n.Restart)
	add(n.Command && n.Health, "healthcheck: {test: [CMD, \"true\"], interval: 1s}")
	if len(n.Volumes) > 0 {
		add(true, "volumes:")
		for _, v := range n.Volumes {
			add(true, "  - %s", v.yaml())
		}
	}
	add(n.Memory > 0, "mem_limit: %dm", n.Memory)
	add(n.ReadOnly, "read_only: true")
	if len(n.DependsOn) > 0 {
		add(true, "depends_on:")
		for _, d := range n.DependsOn {
			condition := "service_started"
			for _, other := range f.Nodes {
				if other.Name == d && other.Health {
					condition = "service_healthy"
				}
			}
			add(true, "  %s: {condition: %s}", d, condition)
		}
	}
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

func (v Volume) yaml() string {
	kind := "volume"
	if v.Tmpfs {
		kind = "tmpfs"
	}
	keys := []string{"type: " + kind, fmt.Sprintf("target: /v%d", v.Number)}
	if v.Name != "" {
		keys = append(keys, "source: "+v.Name)
	}
	if v.ReadOnly {
		keys = append(keys, "read_only: true")
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

func (n Node) linked(f *File) bool {
	return slices.ContainsFunc(f.Bridges, func(b Bridge) bool { return b.Node == n.Name }) || slices.ContainsFunc(f.Links, func(l Link) bool { return l.Ends[0].Node == n.Name || l.Ends[1].Node == n.Name })
}

func (l Link) end(i int) string {
	e := l.Ends[i]
	k := []string{"node: " + e.Node, fmt.Sprintf("interface: lk%d%c", l.Number, 'a'+i)}
	var addresses []string
	if e.V4 && !e.Bridge {
		addresses = append(addresses, fmt.Sprintf("\"10.30.%d.%d/30\"", l.Number, i+1))
	}
	if e.V6 && !e.Bridge {
		addresses = append(addresses, fmt.Sprintf("\"fd00:30:%d::%d/64\"", l.Number, i+1))
	}
	if len(addresses) > 0 {
		k = append(k, fmt.Sprintf("address: [%s]", strings.Join(addresses, ", ")))
	}
	if e.Down {
		k = append(k, "up: false")
	}
	if e.MAC != 0 {
		k = append(k, fmt.Sprintf("mac: \"02:cc:00:00:%02x:%02x\"", l.Number, e.MAC*2+i))
	}
	if e.Impair != "" {
		k = append(k, fmt.Sprintf("impair: {%s}", e.Impair))
	}
	if e.VLAN != "" {
		k = append(k, "vlan: "+e.VLAN)
	}
	if e.Port != "" {
		k = append(k, fmt.Sprintf("port: {%s}", strings.ReplaceAll(e.Port, "NN", fmt.Sprintf("%02x", 0x80+l.Number))))
	}
	return "{" + strings.Join(k, ", ") + "}"
}
