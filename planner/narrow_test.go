package planner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
	"topo/planner"
)

// Up of one node made what is on a cable to another one, which it left out, and failed; and a cable into a switch, without the switch.
func TestUpOfOneNodeWithCables(t *testing.T) {
	const cable = `
name: p
namespaces:
  n: {routes: [{to: 10.9.0.0/16, via: 10.0.0.2}], interfaces: {x.7: {type: vlan, parent: x, id: 7, address: 10.7.0.1/24}}}
  s: {}
links: [{endpoints: [{node: n, interface: x, address: 10.0.0.1/24, impair: {delay: 1ms}}, {node: s, interface: y, address: 10.0.0.2/24}]}]
`
	const plugged = "name: p\nbridges: {sw: {node: s}}\nnamespaces: {s: , n: }\nlinks: [[n:x, sw:y]]\n"
	const trunk = `
name: p
bridges: {sw1: {node: s1, vlan_filtering: true}, sw2: {node: s2}, sw3: {subnet: none}}
namespaces: {s1: , s2: }
links:
  - endpoints: [{node: sw1, interface: up, vlan: 10, port: {fdb: ["02:00:00:00:00:0a"]}}, {node: sw2, interface: down}]
  - [sw2:in, sw3:out]
`
	for name, c := range map[string]struct {
		yaml, node string
		want       []string
	}{
		"a cable, this end":    {cable, "n", []string{"netns/n", "hosts/n"}},
		"a cable, that end":    {cable, "s", []string{"netns/s", "hosts/s"}},
		"into a switch":        {plugged, "n", []string{"netns/n", "netns/s", "hosts/n", "hosts/s", "bridge/sw", "link/n:x", "up/sw"}},
		"the switch":           {plugged, "s", []string{"netns/s", "hosts/s", "bridge/sw", "up/sw"}},
		"a switch of two":      {trunk, "s1", []string{"netns/s1", "hosts/s1", "bridge/sw1", "bridge/sw3", "up/sw1", "up/sw3"}},
		"a switch at the host": {trunk, "s2", []string{"netns/s2", "hosts/s2", "bridge/sw2", "bridge/sw3", "port/sw2:in", "up/sw2", "up/sw3"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load(c.yaml)
			o := l.options()
			o.Nodes = []string{c.node}
			p, err := planner.Build(o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range p.Changes {
				got = append(got, c.ID.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if err := executor.Run(t.Context(), p, l.m, executor.Options{}).Err(); err != nil {
				t.Fatal(err)
			}
			l.up() // and the rest
		})
	}
}

// The VXLAN of a bridge that is no longer in the file, and the VLAN of its uplink, went; a cable between two that are did not.
func TestKeepOrphansOfBridges(t *testing.T) {
	for name, c := range map[string]struct {
		yaml    string
		replace []string
		want    []string
	}{
		"its VXLAN stays":             {"name: p\nbridges: {\nb: {subnet: none, vxlan: {id: 5, remotes: [192.0.2.1]}},\na: {subnet: none}}\n", []string{"b: {subnet: none, vxlan: {id: 5, remotes: [192.0.2.1]}},", ""}, nil},
		"its uplink's VLAN stays":     {"name: p\nbridges: {\nb: {uplinks: [eth0.7]},\na: {subnet: none}}\n", []string{"b: {uplinks: [eth0.7]},", ""}, nil},
		"a cable to it stays":         {"name: p\nbridges: {\nb: {subnet: none},\na: {subnet: none}}\nlinks: [[a:x, b:y]]\n", []string{"b: {subnet: none},", "", "links: [[a:x, b:y]]", ""}, nil},
		"a cable between others goes": {"name: p\nbridges: {b: {subnet: none}, a: {subnet: none}}\nlinks: [[a:x, b:y]]\n", []string{"links: [[a:x, b:y]]", ""}, []string{"port/a:x"}},
		"a VXLAN of another's goes":   {"name: p\nbridges: {b: {subnet: none, vxlan: {id: 5}}}\n", []string{", vxlan: {id: 5}", ", mtu: 1450"}, []string{"link/host:vxc1190eac01"}},
		"VLANs of a port of it go":    {"name: p\nbridges: {b: {subnet: none, vlan_filtering: true}, a: {subnet: none}}\nlinks: [{endpoints: [{node: a, interface: x}, {node: b, interface: y, vlan: 7}]}]\n", []string{", vlan: 7", ""}, []string{"vlan/b:y"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(t, c.yaml)
			l.load(strings.NewReplacer(c.replace...).Replace(c.yaml))
			o := l.options()
			o.KeepOrphans = true
			p, err := planner.Build(o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range p.Changes {
				got = append(got, c.ID.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("plan: %q, want %q", got, c.want)
			}
		})
	}
}

// Up of one node, or without the orphans, removed a chain in which rules of a node that it left out stood, and failed (EBUSY).
func TestChainsOfWhatIsLeftOutStay(t *testing.T) {
	const yaml = `
name: p
bridges: {b: {subnet: 10.0.0.0/24}}
namespaces:
  web: {bridges: [b], ports: ["8080:80"]}
  other: {bridges: [b]}
`
	internal := strings.Replace(yaml, "subnet: 10.0.0.0/24", "subnet: 10.0.0.0/24, internal: true", 1)
	for name, c := range map[string]struct {
		without string // of the file as it is then
		nodes   []string
	}{
		"up of the other node": {`, ports: ["8080:80"]`, []string{"other"}},
		"without the orphan":   {"  web: {bridges: [b], ports: [\"8080:80\"]}\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(t, yaml)
			l.load(strings.Replace(internal, c.without, "", 1))
			o := l.options()
			o.Nodes, o.KeepOrphans = c.nodes, c.nodes == nil
			p, err := planner.Build(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range lines(p) {
				if strings.HasPrefix(line, "- fence") {
					t.Errorf("what a port that stays translates to is kept in no more: %s", line)
				}
			}
			if err := executor.Run(t.Context(), p, l.m, executor.Options{}).Err(); err != nil {
				t.Fatal(err)
			}
			l.up() // and the rest
		})
	}
}
