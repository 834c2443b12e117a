package planner_test

import (
	"testing"

	"topo/internal/fake"
)

// Side by side with its interfaces, what these were to begin with came too late for some: a router whose line was out kept its routes.
func TestWhatInterfacesBeginWithIsSetBeforeThem(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(`
name: p
bridges: {net: {subnet: none}, sw: {node: r}}
namespaces:
  r:
    bridges: [net]
    interfaces: {d: {type: tap}}
    sysctls: {net.ipv4.conf.default.rp_filter: 2, net.ipv6.conf.default.accept_dad: 0}
  s: {}
links: [[r:x, s:y], [s:z, r:w], [r:up, sw:port]]
`)
	o := orderOf(l.plan())
	for _, key := range []string{"net.ipv4.conf.default.rp_filter=2", "net.ipv6.conf.default.accept_dad=0"} {
		for _, comes := range []string{"type veth", "-n p-r tuntap", "-n p-r type bridge"} {
			o.come(t, key, comes)
		}
	}
}
