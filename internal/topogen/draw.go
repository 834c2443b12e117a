package topogen

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// Options narrow what is drawn.
type Options struct {
	// Processes: nodes may run programs, and be containers.
	Processes bool
	// Stated: every subnet and address is stated, so that equal files give equal machines
	// whatever stood there before.
	Stated bool
	// Plain: nothing that a kernel may have been built without.
	Plain bool
	// Card is the host's network card, of MTU 1500, which a bridge may have as its uplink; "": none.
	Card string
}

var sysctlKeys = []string{"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.conf.all.rp_filter", "net.ipv6.conf.all.forwarding"}

var sysctlValues = map[string][]string{
	"net.ipv4.ip_unprivileged_port_start": {"0", "80", "1024"},
	"net.ipv4.ping_group_range":           {"0 2147483647", "0 100"},
	"net.ipv4.conf.all.rp_filter":         {"1", "2"},
	"net.ipv6.conf.all.forwarding":        {"1"},
}

var policyRules = []string{
	"from: 10.20.0.0/16, table: 100", "to: 10.99.3.0/24, iif: lo, table: 100", "fwmark: 7, table: 200", "fwmark: 0x10/0xf0, type: prohibit",
	`from: "fd00::/8", type: unreachable`, "to: 192.0.2.1, type: blackhole",
}

type drawing struct {
	t *rapid.T
	f *File
	o Options
}

// Draw draws a file of up to three bridges, five nodes and four links.
func Draw(t *rapid.T, name string, o Options) *File {
	d := drawing{t, &File{Name: name}, o}
	for range d.n("bridges", 0, 3) {
		d.addBridge()
	}
	for range d.n("nodes", 1, 5) {
		d.addNode()
	}
	for i := range d.f.Bridges {
		if d.chance("in a node", 4) {
			d.f.Bridges[i].Node = rapid.SampledFrom(d.f.Nodes).Draw(d.t, "in node").Name
		}
	}
	for range d.n("links", 0, 4) {
		d.addLink()
	}
	d.repair()
	return d.f
}

// Change draws one to three changes of a file. The file itself stays as it is.
func Change(t *rapid.T, f *File, o Options) *File {
	d := drawing{t, f.Clone(), o}
	for range d.n("changes", 1, 3) {
		d.change()
		d.repair()
	}
	return d.f
}

func (d *drawing) n(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(d.t, label)
}

// chance is true in about one of n draws.
func (d *drawing) chance(label string, n int) bool { return d.n(label, 1, n) == n }

func (d *drawing) mtu(label string, n int) int {
	if !d.chance(label, n) {
		return 0
	}
	return rapid.SampledFrom([]int{1280, 1400, 1500, 9000}).Draw(d.t, label+" value")
}

// free is the first number from 1 that taken does not say to be taken.
func free(taken func(int) bool) int {
	n := 1
	for taken(n) {
		n++
	}
	return n
}

func (d *drawing) addBridge() {
	n := free(func(n int) bool {
		return slices.ContainsFunc(d.f.Bridges, func(b Bridge) bool { return b.Name == fmt.Sprintf("b%d", n) })
	})
	b := Bridge{Name: fmt.Sprintf("b%d", n)}
	d.setBridge(&b)
	d.f.Bridges = append(d.f.Bridges, b)
}

// setBridge draws all of a bridge but its name.
func (d *drawing) setBridge(b *Bridge) {
	*b = Bridge{Name: b.Name}
	from := d.n("subnet", 0, 50)
	b.Subnet = from + free(func(n int) bool {
		return slices.ContainsFunc(d.f.Bridges, func(x Bridge) bool { return x.Name != b.Name && x.Subnet == from+n })
	})
	switch d.n("families", 1, 6) {
	case 1: // none: a plain switch
	case 2:
		b.V6 = true
	case 3:
		b.V4, b.V6 = true, true
	case 4:
		b.V4, b.Allocated = true, !d.o.Stated
	default:
		b.V4 = true
	}
	if b.V4 || b.V6 {
		b.NoGateway = !b.Allocated && d.chance("no gateway", 8)
		b.Internal = d.chance("internal", 6)
		b.NoMasquerade = !b.Internal && !b.NoGateway && d.chance("no masquerade", 6)
		b.NoICC = d.chance("no icc", 6)
	}
	if len(d.f.Nodes) > 0 && d.chance("in a node", 4) {
		b.Node = rapid.SampledFrom(d.f.Nodes).Draw(d.t, "in node").Name
	}
	b.NoNames = d.chance("no names", 8)
	b.STP = d.chance("stp", 8)
	b.Keys = rapid.SampledFrom([]string{"", "", "", "priority: 4096", "ageing_time: 0s, mcast_snooping: false", "hello_time: 1s, max_age: 6s, ageing_time: 10m"}).Draw(d.t, "bridge keys")
	if b.Filtering = !d.o.Plain && d.chance("vlan filtering", 4); b.Filtering {
		b.VLAN = d.vlan()
	}
	b.MTU = d.mtu("bridge mtu", 4)
	if d.chance("bridge mac", 6) {
		b.MAC = d.n("bridge mac value", 1, 200)
		b.MAC = b.MAC/4*4 + int(b.Name[1]-'0')%4 // no two bridges have one
	}
	taken := slices.ContainsFunc(d.f.Bridges, func(x Bridge) bool { return x.Name != b.Name && x.Uplink != "" })
	if d.o.Card != "" && !taken && b.Node == "" && d.chance("uplink", 3) {
		b.Uplink, b.Allocated, b.Internal = d.o.Card, false, false
		b.MTU = min(b.MTU, 1500)
	}
}

func (d *drawing) addNode() {
	n := free(func(n int) bool {
		return slices.ContainsFunc(d.f.Nodes, func(x Node) bool { return x.Host == n })
	})
	node := Node{Name: fmt.Sprintf("n%d", n), Host: n}
	d.setNode(&node)
	d.f.Nodes = append(d.f.Nodes, node)
}

func (d *drawing) setNode(n *Node) {
	*n = Node{Name: n.Name, Host: n.Host, Sysctls: map[string]string{}}
	if d.o.Processes {
		n.Container = d.chance("container", 3)
		n.Command = n.Container || d.chance("command", 3)
	}
	for _, b := range d.f.Bridges {
		if d.chance("attach", 2) {
			n.Attached = append(n.Attached, d.attachment(b.Name))
		}
	}
	d.setRest(n)
	d.setOwn(n)
}

func (d *drawing) attachment(bridge string) Attachment {
	at := Attachment{Bridge: bridge, Stated: d.o.Stated || d.chance("stated", 2), MTU: d.mtu("mtu", 6)}
	if d.chance("mac", 6) {
		at.MAC = 1 + int(bridge[1]-'0') + 10*d.n("mac value", 0, 9)
	}
	if d.chance("alias", 5) {
		at.Alias = rapid.SampledFrom([]string{"cache", "front", "db"}).Draw(d.t, "alias value")
	}
	if d.chance("interface", 6) {
		at.Interface = "if" + bridge
	}
	at.AcceptRA = d.chance("accept_ra", 6)
	at.Impair = d.impair()
	at.Port = d.bridgePort()
	at.VLAN = d.vlan() // goes again where the bridge has none
	return at
}

// setRest draws what a node has besides its attachments.
func (d *drawing) setRest(n *Node) {
	n.Ports, n.Routes, n.DependsOn, n.Sysctls = nil, nil, nil, map[string]string{}
	for range d.n("ports", 0, 2) {
		n.Ports = append(n.Ports, d.port(n))
	}
	for i := range d.n("routes", 0, 2) {
		if len(n.Attached) == 0 {
			break
		}
		at := rapid.SampledFrom(n.Attached).Draw(d.t, "route by")
		r := Route{Net: 1 + 2*d.n("route to", 0, 9) + i, Bridge: at.Bridge, V6: d.chance("route v6", 2)}
		if d.chance("metric", 4) {
			r.Metric = d.n("metric value", 1, 3) * 50
		}
		if d.chance("table", 6) {
			r.Table = 100
		}
		if d.chance("route form", 2) {
			r.Form = rapid.SampledFrom([]RouteForm{Nowhere, Refused, TwoWays, Weighted, Narrow, Sourced, OnLink}).Draw(d.t, "route form value")
		}
		n.Routes = append(n.Routes, r)
	}
	for _, key := range sysctlKeys {
		if d.chance("sysctl", 6) {
			n.Sysctls[key] = rapid.SampledFrom(sysctlValues[key]).Draw(d.t, key)
		}
	}
	n.Rules = nil
	for range d.n("rules", 0, 4) / 2 {
		n.Rules = append(n.Rules, rapid.SampledFrom(policyRules).Draw(d.t, "rule"))
	}
	n.Forwards = d.chance("forwarding", 5)
	n.Extra = ""
	if d.chance("extra host", 5) {
		n.Extra = rapid.SampledFrom([]string{"printer", "scanner"}).Draw(d.t, "extra host value")
	}
	n.Env, n.Health, n.Restart = "", false, ""
	if n.Command {
		n.Env = rapid.SampledFrom([]string{"", "hello", "servus"}).Draw(d.t, "env")
		n.Health = d.chance("health", 3)
		n.Restart = rapid.SampledFrom([]string{"", "always", "on-failure", "on-failure:2", "unless-stopped"}).Draw(d.t, "restart")
		for _, other := range d.f.Nodes {
			if other.Host < n.Host && other.Command && d.chance("depends on", 3) {
				n.DependsOn = append(n.DependsOn, other.Name)
			}
		}
	}
	n.Volumes, n.Memory, n.ReadOnly = nil, 0, false
	if n.Container {
		for i := range d.n("volumes", 0, 2) {
			n.Volumes = append(n.Volumes, d.volume(1+2*i+d.n("target", 0, 1)))
		}
		if d.chance("memory", 4) {
			n.Memory = rapid.SampledFrom([]int{64, 128}).Draw(d.t, "memory value")
		}
		n.ReadOnly = d.chance("read only", 6)
	}
}

func (d *drawing) volume(number int) Volume {
	v := Volume{Number: number, ReadOnly: d.chance("volume read only", 4)}
	switch d.n("volume kind", 1, 4) {
	case 1: // the node's own
	case 2:
		v.Tmpfs = true
	default:
		v.Name = rapid.SampledFrom([]string{"data", "logs"}).Draw(d.t, "volume name")
	}
	return v
}

func (d *drawing) port(of *Node) Port {
	from := 8000 + d.n("host port", 0, 30)
	p := Port{Node: rapid.SampledFrom([]int{53, 80, 8080}).Draw(d.t, "port")}
	p.Protocol = rapid.SampledFrom([]string{"tcp", "tcp", "udp"}).Draw(d.t, "protocol")
	p.Loopback = d.chance("loopback", 4)
	p.Host = from + free(func(n int) bool {
		taken := func(x Node) bool {
			return slices.ContainsFunc(x.Ports, func(y Port) bool { return y.Host == from+n })
		}
		return taken(*of) || slices.ContainsFunc(d.f.Nodes, taken)
	})
	return p
}

// impair is what becomes of the packets of an interface; mostly nothing.
func (d *drawing) impair() string {
	if !d.chance("impair", 4) {
		return ""
	}
	texts := []string{"rate: 10mbit", "rate: 1gbit", "rate: 1gbit, burst: 100k, limit: 50"}
	if !d.o.Plain {
		texts = append(texts, "delay: 20ms", "delay: 20ms, rate: 10mbit", "loss: 1%", "delay: 5ms, jitter: 1ms 25%, distribution: normal",
			"loss: gemodel 1% 10%, duplicate: 2% 5%, limit: 70", "delay: 1s, reorder: 25% 50% gap 5, corrupt: 0.1%, rate: 1mbit")
	}
	return rapid.SampledFrom(texts).Draw(d.t, "impair text")
}

// bridgePort is how a bridge treats a port; mostly nothing is said of it. NN is different for each port.
func (d *drawing) bridgePort() string {
	return rapid.SampledFrom([]string{"", "", "", "", "isolated: true", "hairpin: true, cost: 100", "learning: false, flood: false", "mcast_flood: false, bcast_flood: false, priority: 3", "fdb: [\"02:dd:00:00:NN:01\", \"02:dd:00:00:NN:02\"]"}).Draw(d.t, "port keys")
}

// vlan is the VLANs of a port; half of the time nothing is said of them.
func (d *drawing) vlan() string {
	return rapid.SampledFrom([]string{"", "", "", "", "10", "20", "none", "{tagged: [10, 20-30]}", "{pvid: 1, tagged: 10-20}", "{pvid: 4094, untagged: [7, 9-12, 4094]}"}).Draw(d.t, "vlan")
}

// hasPVID: a static entry that states no VLAN is in the port's PVID.
func hasPVID(vlan string) bool { return vlan != "none" && !strings.HasPrefix(vlan, "{tagged") }

func (d *drawing) addLink() {
	number := free(func(n int) bool {
		return slices.ContainsFunc(d.f.Links, func(l Link) bool { return l.Number == n })
	})
	l := Link{Number: number, MTU: d.mtu("link mtu", 4)}
	names := []string{"host"}
	for _, n := range d.f.Nodes {
		names = append(names, n.Name, n.Name)
	}
	for i := range l.Ends {
		l.Ends[i] = End{Node: rapid.SampledFrom(names).Draw(d.t, "end"), V4: d.chance("link v4", 2), V6: d.chance("link v6", 3), Down: d.chance("down", 8)}
		if d.chance("link mac", 6) {
			l.Ends[i].MAC = d.n("link mac value", 1, 9)
		}
		l.Ends[i].Impair = d.impair()
	}
	if len(d.f.Bridges) > 0 && d.chance("end on bridge", 5) {
		l.Ends[1] = End{Node: rapid.SampledFrom(d.f.Bridges).Draw(d.t, "bridge end").Name, Bridge: true, Impair: d.impair(), VLAN: d.vlan(), Port: d.bridgePort()}
	}
	d.f.Links = append(d.f.Links, l)
}

// change makes one change.
func (d *drawing) change() {
	f := d.f
	at := func(label string, n int) int { return d.n(label, 0, n-1) }
	switch d.n("change", 1, 14) {
	case 1:
		d.addNode()
	case 2:
		if len(f.Nodes) > 1 {
			i := at("node", len(f.Nodes))
			f.Nodes = slices.Delete(f.Nodes, i, i+1)
		}
	case 3:
		d.addBridge()
	case 4:
		if len(f.Bridges) > 0 {
			i := at("bridge", len(f.Bridges))
			f.Bridges = slices.Delete(f.Bridges, i, i+1)
		}
	case 5:
		d.addLink()
	case 6:
		if len(f.Links) > 0 {
			i := at("link", len(f.Links))
			f.Links = slices.Delete(f.Links, i, i+1)
		}
	case 7, 8:
		if len(f.Bridges) > 0 {
			d.setBridge(&f.Bridges[at("bridge", len(f.Bridges))])
		}
	case 9:
		d.setNode(&f.Nodes[at("node", len(f.Nodes))])
	case 10:
		d.setRest(&f.Nodes[at("node", len(f.Nodes))])
	case 11:
		n := &f.Nodes[at("node", len(f.Nodes))]
		for i := range n.Attached {
			n.Attached[i] = d.attachment(n.Attached[i].Bridge)
		}
	case 13:
		d.setOwn(&f.Nodes[at("node", len(f.Nodes))])
	case 14:
		if n := &f.Nodes[at("node", len(f.Nodes))]; len(n.Own) > 0 {
			n.Turn = d.n("turn", 0, maxOwn-1)
			d.resetOwn(&n.Own[at("own", len(n.Own))])
		}
	case 12:
		if len(f.Links) > 0 {
			l := &f.Links[at("link", len(f.Links))]
			l.MTU = d.mtu("link mtu", 2)
			e := &l.Ends[at("end", 2)]
			e.V4, e.V6, e.Down = !e.V4, d.chance("link v6", 2), d.chance("down", 4)
			e.Impair = d.impair()
		}
	}
}

// repair takes out what a change has made invalid: references to what is gone, IPv6 on a small
// MTU, ports that nothing leads to, routes by a gateway that is not there.
func (d *drawing) repair() {
	f := d.f
	nodes, bridges := map[string]Node{"host": {}}, map[string]Bridge{}
	for _, n := range f.Nodes {
		nodes[n.Name] = n
	}
	for i := range f.Bridges {
		b := &f.Bridges[i]
		if _, ok := nodes[b.Node]; !ok {
			b.Node = ""
		}
		if b.Node != "" {
			b.Uplink = ""
			b.Internal, b.NoICC, b.Allocated, b.NoMasquerade = false, false, false, false
			b.V4, b.V6 = b.V4 && !b.NoGateway, b.V6 && !b.NoGateway
			b.NoGateway = false
		}
		bridges[b.Name] = *b
	}
	f.Links = slices.DeleteFunc(f.Links, func(l Link) bool {
		for _, e := range l.Ends {
			if _, ok := nodes[e.Node]; !ok && !e.Bridge {
				return true
			}
			if _, ok := bridges[e.Node]; !ok && e.Bridge {
				return true
			}
		}
		return l.Ends[0].Node == "host" && (l.Ends[1].Node == "host" || l.Ends[1].Bridge)
	})
	for i := range f.Links {
		if e := &f.Links[i].Ends[1]; !bridges[e.Node].Filtering {
			e.VLAN = ""
		} else if !hasPVID(e.VLAN) {
			e.Port = ""
		}
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		for j := range n.Attached {
			if !bridges[n.Attached[j].Bridge].Filtering {
				n.Attached[j].VLAN = ""
			} else if !hasPVID(n.Attached[j].VLAN) {
				n.Attached[j].Port = ""
			}
		}
		n.Attached = slices.DeleteFunc(n.Attached, func(a Attachment) bool { b, ok := bridges[a.Bridge]; return !ok || b.Node == n.Name })
		first := "" // the bridge that gives the default route
		for _, a := range n.Attached {
			if b := bridges[a.Bridge]; first == "" && b.V4 && !b.NoGateway && !b.Internal && b.Node == "" {
				first = a.Bridge
			}
		}
		if first == "" {
			n.Ports = nil
		}
		n.Routes = slices.DeleteFunc(n.Routes, func(r Route) bool {
			b := bridges[r.Bridge]
			ok := slices.ContainsFunc(n.Attached, func(a Attachment) bool { return a.Bridge == r.Bridge })
			return !ok || b.Allocated || b.NoGateway || r.V6 && !b.V6 || !r.V6 && !b.V4
		})
		n.repairOwn()
		n.DependsOn = slices.DeleteFunc(n.DependsOn, func(name string) bool {
			other, ok := nodes[name]
			return !ok || !other.Command || other.Host >= n.Host
		})
		if !n.Command {
			n.DependsOn = nil
		}
	}
}
