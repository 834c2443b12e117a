package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const switchesYAML = `
name: p
bridges:
  sw1: {node: s1, vlan_filtering: true}
  sw2: {node: s2, subnet: 10.1.0.0/24}
namespaces:
  s1:
  s2: {sysctls: {net.ipv4.ip_forward: 1}}
  a: {bridges: {sw1: {vlan: 10, host_interface: a}}}
  b: {bridges: {sw2: {host_interface: b, port: {cost: 9, fdb: ["02:00:00:00:00:0b"]}}}}
links:
  - endpoints: [{node: sw1, interface: up, vlan: {tagged: 10}}, {node: sw2, interface: down, impair: {rate: 10mbit}}]
`

// A bridge in a node is repaired, changed and removed there as one of the host is.
func TestNodeBridgePlans(t *testing.T) {
	testEdits(t, switchesYAML, func(t *testing.T) *lab { return on(t, switchesYAML) }, map[string]edit{
		"a priority": {
			replace: []string{"{node: s1,", "{node: s1, priority: 1,"},
			want:    []string{"~ bridge/sw1 priority 32768 → 1 edited"},
			ops:     []string{"ip -n p-s1 link set sw1 type bridge priority 1"},
		},
		"a VLAN": {
			replace: []string{"vlan: 10,", "vlan: 20,"},
			want:    []string{"~ vlan/a:eth0 pvid 10 → 20, untagged 10 → 20 edited"},
			ops:     []string{"bridge -n p-s1 vlan delete dev a vid 10", "bridge -n p-s1 vlan add dev a vid 20 pvid untagged"},
		},
		"a port's cost, by hand": {
			foreign: []kernel.Op{kernel.PortSet{Netns: "p-s2", Name: "b", Cost: ptr(3)}},
			want:    []string{"~ port/b:eth0 cost 3 → 9 changed outside topo"},
			ops:     []string{"bridge -n p-s2 link set dev b cost 9"},
		},
		"no static entry": {
			replace: []string{`, fdb: ["02:00:00:00:00:0b"]`, ""},
			want:    []string{"- fdb/b:eth0/02:00:00:00:00:0b not in the file"},
			ops:     []string{"bridge -n p-s2 fdb delete 02:00:00:00:00:0b dev b master"},
		},
		"no address": {
			replace: []string{"subnet: 10.1.0.0/24", "subnet: 10.1.0.0/24, gateway: none"},
			want:    []string{"- route/b:default not in the file", "- address/s2:sw2/10.1.0.1/24 not in the file", "~ hosts/s2 1 line missing, 1 line too many edited"},
		},
		"off the bridge": {
			foreign: []kernel.Op{kernel.LinkSet{Netns: "p-s1", Name: "a", Master: ptr("")}},
			want:    []string{"~ port/a:eth0 bridge none → sw1 changed outside topo", "+ vlan/a:eth0 pvid 10 untagged 10 missing"},
			ops:     []string{"ip -n p-s1 link set a master sw1"},
		},
		"no mark": {
			foreign: []kernel.Op{kernel.LinkSet{Netns: "p-s1", Name: "a", Alias: ptr("")}, kernel.LinkSet{Netns: "p-s1", Name: "sw1", Alias: ptr("")}},
			want:    []string{"~ bridge/sw1 mark none → topo:p:bridge/sw1 changed outside topo", "~ port/a:eth0 mark none → topo:p:port/a:eth0 changed outside topo"},
		},
		"no bridge": {
			foreign: []kernel.Op{kernel.LinkDelete{Netns: "p-s1", Name: "sw1"}},
			want: []string{
				"+ bridge/sw1 missing", "~ port/a:eth0 bridge none → sw1 changed outside topo", "~ port/sw1:up bridge none → sw1 changed outside topo",
				"+ vlan/a:eth0 pvid 10 untagged 10 missing", "+ vlan/sw1:up tagged 10 missing", "+ up/sw1 sw1 missing",
			},
		},
		"no port": {
			replace: []string{"  b: {", "  b: # {"},
			want:    []string{"- link/b:eth0 not in the file", "~ hosts/b 1 line missing, 1 line too many edited"},
		},
	})
}

// A bridge moves from the host into a node, and to another one: all that is plugged in is made anew.
func TestBridgeMovesIntoANode(t *testing.T) {
	const yaml = "name: p\nbridges: {sw: {subnet: none}}\nnamespaces: {s: , u: , a: {bridges: [sw]}, b: {bridges: [sw]}}\nlinks: [[sw:x, u:y]]\n"
	l := on(t, yaml)
	for _, to := range []string{"{subnet: none, node: s}", "{subnet: 10.1.0.0/24, node: u}", "{subnet: 10.1.0.0/24, node: s, vlan_filtering: true}", "{subnet: none}"} {
		next := strings.Replace(yaml, "{subnet: none}", to, 1)
		if strings.Contains(to, "node: u") {
			next = strings.Replace(next, "links: [[sw:x, u:y]]", "", 1)
		}
		l.load(next)
		l.up()
		if again := lines(l.plan()); len(again) > 0 {
			t.Errorf("%s: then there is %q", to, again)
		}
		fresh := &lab{t: t, m: fake.New()}
		fresh.load(next)
		fresh.up()
		if diff := cmp.Diff(fresh.m.String(), l.m.String()); diff != "" {
			t.Errorf("%s: the machine differs from one made anew (-anew +changed):\n%s", to, diff)
		}
	}
	l.top = nil
	l.up()
	if diff := cmp.Diff(fake.New().String(), l.m.String()); diff != "" {
		t.Error(diff)
	}
}

// Who is plugged into a switch is not brought up without it, and the switch not with others.
func TestUpOfOneNodeAtASwitch(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(switchesYAML)
	for node, want := range map[string][]string{
		"a": {"netns/a", "netns/s1", "bridge/sw1", "up/sw1"},
		"b": {"netns/b", "netns/s2", "bridge/sw2", "up/sw2"},
	} {
		o := l.options()
		o.Nodes = []string{node}
		p, err := planner.Build(o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range p.Changes {
			if c.ID.Kind == "netns" || c.ID.Kind == "bridge" || c.ID.Kind == "up" {
				got = append(got, c.ID.String())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("up %s (-want +got):\n%s", node, diff)
		}
	}
}

// A switch's own interface in a VLAN stands on its bridge, and is made anew with it.
func TestInterfaceOnABridgeInANode(t *testing.T) {
	const yaml = `
name: p
bridges: {lan: {node: sw, vlan_filtering: true, vlan: {tagged: 10}}}
namespaces:
  sw: {interfaces: {lan.10: {type: vlan, parent: lan, id: 10, address: 10.0.0.1/24}}, routes: [{to: 10.9.0.0/16, via: 10.0.0.9}]}
  a: {bridges: {lan: {vlan: 10, address: 10.0.0.2/24}}}
`
	l := on(t, yaml)
	if err := l.m.Foreign(kernel.LinkDelete{Netns: "p-sw", Name: "lan"}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"+ bridge/lan missing", "~ port/a:eth0 bridge none → lan changed outside topo", "+ link/sw:lan.10 vlan id 10 on bridge/lan missing",
		"+ address/sw:lan.10/10.0.0.1/24 missing", "+ route/sw:10.9.0.0/16 via 10.0.0.9 missing",
		"+ vlan/a:eth0 pvid 10 untagged 10 missing", "+ vlan/lan tagged 10 missing", "+ up/lan lan missing",
	}
	got := lines(l.plan())
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
	if again := lines(l.plan()); len(again) > 0 {
		t.Errorf("then there is %q", again)
	}
}
