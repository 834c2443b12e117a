package planner_test

import (
	"slices"
	"strings"
	"testing"

	"topo/internal/fake"
)

// A node that got the address of one that went was not reached for eight seconds: neighbours knew the other's MAC address.
func TestAnAddressTakesItsMACAlong(t *testing.T) {
	const yaml = `
name: p
bridges: {app: {subnet: [10.1.0.0/24, "fd00:1::/64"]}, six: {subnet: "fd00:2::/64"}, wire: {subnet: none}}
namespaces:
  red: {bridges: [app, six, wire]}
`
	macs := func(node string) []string {
		l := &lab{t: t, m: fake.New()}
		l.load(strings.Replace(yaml, "red", node, 1))
		l.up()
		var out []string
		for _, n := range l.options().Snapshot.Netns {
			for _, link := range n.Links {
				if link.Name != "lo" {
					out = append(out, link.MAC)
				}
			}
		}
		return out
	}
	red, blue := macs("red"), macs("blue")
	if len(red) != 3 || len(slices.Compact(slices.Sorted(slices.Values(red)))) != 3 {
		t.Fatalf("MAC addresses %q", red)
	}
	if !slices.Equal(red[:2], blue[:2]) {
		t.Errorf("with the same addresses red has %q, blue %q", red, blue)
	}
	if red[2] == blue[2] {
		t.Errorf("without an address both have %s", red[2])
	}
}
