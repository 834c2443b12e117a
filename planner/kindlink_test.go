package planner_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
)

const hostLinksYAML = `
name: p
namespaces:
  a:
links:
  - {type: ipip, endpoints: [{node: host, interface: mine, local: 192.0.2.10, address: 10.7.0.1/30}, {node: a, interface: t, local: 192.0.2.11}]}
  - {type: dummy, endpoints: [{node: host, interface: base}]}
  - {type: vlan, id: 7, parent: host:base, endpoints: [{node: host, interface: tagged}, {node: a, interface: v, id: 8}]}
  - {type: wireguard, endpoints: [{node: host, interface: wg, listen_port: 7, address: 10.8.0.1/30}, {node: a, interface: wg, address: 10.8.0.2/30}]}
`

// Wherever topo is killed, down finds all that it made on the host, though most of these links have no MAC address that says whose
// they are, and up finishes it.
func TestKilledWhileLinksOfTheHostAreMade(t *testing.T) {
	before := fake.New().String()
	for n := 0; ; n++ {
		for _, down := range []bool{true, false} {
			l := &lab{t: t, m: fake.New()}
			l.load(hostLinksYAML)
			p := l.plan()
			l.m.Crash(n, true)
			err := executor.Run(context.Background(), p, l.m, executor.Options{}).Err()
			if !l.m.Crashed() {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			l.m.Restart()
			if down {
				l.top = nil
			}
			l.up()
			if diff := cmp.Diff(before, l.m.String()); down && diff != "" {
				t.Errorf("down after a death at edit %d leaves:\n%s", n, diff)
			}
		}
	}
}
