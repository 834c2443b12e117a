package planner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
)

const advertisedYAML = `
name: p
bridges:
  app: {subnet: [10.1.0.0/24, "fd01::/64"]}
namespaces:
  a: {bridges: {app: {accept_ra: true}}}
  b:
    bridges: [app]
    forwarding: false
links:
  - endpoints: [{node: a, interface: x}, {node: b, interface: x, accept_ra: true}]
`

// Who hears router advertisements is what the file says: a router by another value, and bridges never.
func TestAdvertisementsChange(t *testing.T) {
	set := func(netns, iface, value string) []kernel.Op {
		return []kernel.Op{kernel.SysctlSet{SysctlKey: kernel.AcceptRAKey(netns, iface), Value: value}}
	}
	for name, c := range map[string]struct {
		replace []string // in the file
		foreign []kernel.Op
		want    []string
	}{
		"no more": {
			replace: []string{"accept_ra: true", "accept_ra: false"},
			want:    []string{"- accept_ra/a:eth0 not in the file"},
		},
		"a router": {
			replace: []string{"forwarding: false", "forwarding: true"},
			want: []string{
				"~ sysctl/b:net.ipv4.ip_forward value 0 → 1 edited", "~ sysctl/b:net.ipv6.conf.all.forwarding value 0 → 1 edited",
				"~ accept_ra/b:x value 1 → 2 edited",
			},
		},
		"by hand":         {foreign: set("p-b", "eth0", "1"), want: []string{"- accept_ra/b:eth0 not in the file"}},
		"of a bridge":     {foreign: set("", "p-app", "2"), want: []string{"- accept_ra/host:p-app not in the file"}},
		"off by hand":     {foreign: set("p-a", "eth0", "0"), want: []string{"+ accept_ra/a:eth0 hears router advertisements missing"}},
		"another by hand": {foreign: set("p-a", "eth0", "2"), want: []string{"~ accept_ra/a:eth0 value 2 → 1 changed outside topo"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(t, advertisedYAML)
			if err := l.m.Foreign(c.foreign...); err != nil {
				t.Fatal(err)
			}
			if c.replace != nil {
				l.load(strings.Replace(advertisedYAML, c.replace[0], c.replace[1], 1))
			}
			if diff := cmp.Diff(c.want, lines(l.plan())); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			l.up()
			if again := lines(l.plan()); len(again) > 0 {
				t.Errorf("then there is %q", again)
			}
		})
	}
}

// A bridge whose MTU was too small for IPv6 begins with the host's default.
func TestABridgeThatGetsIPv6HearsNoAdvertisements(t *testing.T) {
	const text = "name: p\nbridges:\n  app: {subnet: 10.1.0.0/24, mtu: 1000}\n"
	l := on(t, text)
	l.load(strings.Replace(text, "1000", "1500", 1))
	l.up()
	if again := lines(l.plan()); len(again) > 0 {
		t.Errorf("then there is %q", again)
	}
	l.top = nil
	l.up()
	if diff := cmp.Diff(fake.New().String(), l.m.String()); diff != "" {
		t.Error(diff)
	}
}
