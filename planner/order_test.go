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

// The kernel sets down what leaves a bond: up ended with a difference.
func TestWhoLeavesABondStaysUp(t *testing.T) {
	const yaml = `
name: p
namespaces: {n: {interfaces: {d0: {type: dummy}, d1: {type: dummy}, v0: {type: vrf, table: 9}, b0: {type: bond, members: [d0, d1]}}}}
`
	testEdits(t, yaml, func(t *testing.T) *lab { return on(t, yaml) }, map[string]edit{
		"for nothing": {
			replace: []string{"[d0, d1]", "[d0]"},
			want:    []string{"- member/n:d1 not in the file", "~ link/n:d1 mac …"},
			ops:     []string{"ip -n p-n link set d1 down && ip -n p-n link set d1 nomaster && ip -n p-n link set d1 up"},
		},
		"for a VRF": {
			replace: []string{"[d0, d1]", "[d0]", "table: 9", "table: 9, members: [d1]"},
			want:    []string{"~ link/n:d1 mac …", "± member/n:d1 master b0 → v0, kind bond → vrf edited"},
		},
		"as it goes": {
			replace: []string{", b0: {type: bond, members: [d0, d1]}", ""},
			want:    []string{"- member/n:d1 not in the file", "- member/n:d0 not in the file", "- link/n:b0 not in the file", "~ link/n:d0 mac …", "~ link/n:d1 mac …"},
		},
		"as it is made anew": {
			replace: []string{"type: bond", "type: bond, mode: balance-xor"},
			want:    []string{"± link/n:b0 mode balance-rr → balance-xor edited", "± member/n:d0 …", "± member/n:d1 …"},
		},
	})
}
