package planner_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const routedYAML = `
name: p
bridges:
  left: {subnet: [10.1.0.0/24, "fd01::/64"]}
  right: {subnet: [10.2.0.0/24, "fd02::/64"]}
namespaces:
  r:
    bridges:
      left: {address: [10.1.0.2, "fd01::2"], default_route: false}
      right: {address: [10.2.0.2, "fd02::2"], default_route: false}
    forwarding: true
    routes:
      - {to: 10.9.0.0/16, via: [10.1.0.9, 10.2.0.9]}
      - {to: "fd09::/64", nexthops: [{via: "fd01::9", weight: 3}, {via: "fd02::9"}]}
      - {to: 10.8.0.0/16, via: 10.1.0.9, src: 10.2.0.2, mtu: 1300}
      - {to: "fd08::/64", via: "fd01::9", src: "fd02::2"}
      - {to: 10.7.0.0/16, type: blackhole}
      - {to: "fd07::/64", type: unreachable}
`

// The plan has every step that an edit of routes, or somebody else's, makes necessary, and no other; up takes them all.
func TestRoutesChange(t *testing.T) {
	p := netip.MustParsePrefix
	const eth1 = "link/r:eth1"
	replaced := []string{
		"route/r:10.8.0.0/16 via 10.1.0.9 src 10.2.0.2 mtu 1300",
		"route/r:10.9.0.0/16 via 10.1.0.9, 10.2.0.9",
		"route/r:fd08::/64 via fd01::9 src fd02::2",
		"route/r:fd09::/64 via fd01::9 weight 3, fd02::9",
	}
	for name, c := range map[string]struct {
		replace []string // in the file
		foreign []kernel.Op
		want    []string
		op      string // of the first step
	}{
		"another weight": {
			replace: []string{"weight: 3", "weight: 4"},
			want:    []string{"~ route/r:fd09::/64 via fd01::9 weight 3, fd02::9 → fd01::9 weight 4, fd02::9 edited"},
			op:      "ip -n p-r -6 route replace fd09::/64 proto 116 nexthop via fd01::9 dev eth0 weight 4 nexthop via fd02::9 dev eth1 weight 1",
		},
		"one way": {
			replace: []string{"[10.1.0.9, 10.2.0.9]", "10.2.0.9"},
			want:    []string{"~ route/r:10.9.0.0/16 via 10.1.0.9, 10.2.0.9 → 10.2.0.9, interface eth0, eth1 → eth1 edited"},
			op:      "ip -n p-r route replace 10.9.0.0/16 via 10.2.0.9 dev eth1 proto 116",
		},
		"nowhere": {
			replace: []string{"10.1.0.9, src: 10.2.0.2, mtu: 1300", "x", "via: x", "type: prohibit"},
			want: []string{
				"~ route/r:10.8.0.0/16 type unicast → prohibit, via 10.1.0.9 → none, interface eth0 → none, src 10.2.0.2 → any, mtu 1300 → the link's edited",
			},
			op: "ip -n p-r route replace prohibit 10.8.0.0/16 proto 116",
		},
		"not there any more": {
			replace: []string{`      - {to: 10.7.0.0/16, type: blackhole}` + "\n", ""},
			want:    []string{"- route/r:10.7.0.0/16 not in the file"},
			op:      "ip -n p-r route delete 10.7.0.0/16",
		},
		"no router": {
			replace: []string{"forwarding: true", "forwarding: false"},
			want:    []string{"~ sysctl/r:net.ipv4.ip_forward value 1 → 0 edited", "~ sysctl/r:net.ipv6.conf.all.forwarding value 1 → 0 edited"},
		},
		"without a way by hand": {
			foreign: []kernel.Op{kernel.RouteReplace{
				Netns: "p-r", Dst: p("10.9.0.0/16"), Via: netip.MustParseAddr("10.1.0.9"), Link: "eth0", Table: kernel.TableMain,
			}},
			want: []string{"~ route/r:10.9.0.0/16 via 10.1.0.9 → 10.1.0.9, 10.2.0.9, interface eth0 → eth0, eth1 changed outside topo"},
		},
		"one to nowhere by hand": {
			foreign: []kernel.Op{kernel.RouteReplace{Netns: "p-r", Dst: p("10.6.0.0/16"), Type: "blackhole", Table: kernel.TableMain}},
			want:    []string{"- route/r:10.6.0.0/16 not in the file"},
		},
		"the source is removed": {
			foreign: []kernel.Op{kernel.AddrDelete{Netns: "p-r", Link: "eth1", Prefix: p("fd02::2/64")}},
			want: []string{
				"+ address/r:eth1/fd02::2/64 missing",
				"+ route/r:fd08::/64 via fd01::9 src fd02::2 address/r:eth1/fd02::2/64 is replaced",
				"+ route/r:fd09::/64 via fd01::9 weight 3, fd02::9 address/r:eth1/fd02::2/64 is replaced",
			},
		},
		"a link is replaced": {
			foreign: []kernel.Op{kernel.LinkDelete{Netns: "p-r", Name: "eth1"}},
			want: []string{
				"+ link/r:eth1 veth to port/r:eth1 missing",
				"+ address/r:eth1/10.2.0.2/24 missing",
				"+ address/r:eth1/fd02::2/64 missing",
				"+ " + replaced[0] + " missing",
				"+ " + replaced[1] + " missing",
				"+ " + replaced[2] + " address/r:eth1/fd02::2/64 is replaced",
				"+ " + replaced[3] + " " + eth1 + " is replaced",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(t, routedYAML)
			if err := l.m.Foreign(c.foreign...); err != nil {
				t.Fatal(err)
			}
			if c.replace != nil {
				text := routedYAML
				for i := 0; i < len(c.replace); i += 2 {
					text = strings.Replace(text, c.replace[i], c.replace[i+1], 1)
				}
				l.load(text)
			}
			plan := l.plan()
			if diff := cmp.Diff(c.want, lines(plan)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			if ops := plan.Steps[0].Ops; c.op != "" && (len(ops) != 1 || ops[0].String() != c.op) {
				t.Errorf("it does %v, want %s", ops, c.op)
			}
			l.up()
			if again := lines(l.plan()); len(again) > 0 {
				t.Errorf("then there is %q", again)
			}
		})
	}
}

// A link that is wanted down has no routes; a route with another way has that alone.
func TestRoutesByALinkThatIsDown(t *testing.T) {
	const text = `
name: p
namespaces:
  r:
    routes:
      - {to: 10.9.0.0/16, via: [10.1.0.2, 10.2.0.2]}
      - {to: "fd09::/64", via: ["fd01::2", "fd02::2"]}
      - {to: 10.8.0.0/16, via: 10.1.0.2}
  s: {}
links:
  - endpoints: [{node: r, interface: a, address: [10.1.0.1/24, "fd01::1/64"]}, {node: s, interface: a}]
  - endpoints: [{node: r, interface: b, address: [10.2.0.1/24, "fd02::1/64"]}, {node: s, interface: b}]
`
	down := strings.Replace(text, "{node: r, interface: a,", "{node: r, up: false, interface: a,", 1)
	l := on(t, text)
	l.load(down)
	want := []string{
		"- route/r:10.8.0.0/16 not in the file",
		"~ link/r:a state up → down edited",
		"+ address/r:a/fd01::1/64 link/r:a is set down",
		"~ route/r:10.9.0.0/16 via 10.1.0.2, 10.2.0.2 → 10.2.0.2, interface a, b → b edited",
		"+ route/r:fd09::/64 via fd02::2 address/r:a/fd01::1/64 is replaced",
	}
	if diff := cmp.Diff(want, lines(l.plan())); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
	if again := lines(l.plan()); len(again) > 0 {
		t.Errorf("then there is %q", again)
	}
	after := l.m.String()
	l.load(text)
	l.up()
	l.load(down)
	l.up()
	if diff := cmp.Diff(after, l.m.String()); diff != "" {
		t.Error(diff)
	}
}

// With the last IPv4 address of a link go the routes by it, those that need none to reach a next hop, too (fib_disable_ip).
func TestRouteOnLinkIsLostWithTheLastAddress(t *testing.T) {
	const text = `
name: p
namespaces:
  r:
    routes:
      - {to: 10.9.0.0/16, via: 192.0.2.9, interface: a, onlink: true}
      - {to: "fd09::/64", via: "2001:db8::9", interface: a, onlink: true}
  s: {}
links:
  - endpoints: [{node: r, interface: a, address: [10.1.0.1/24, "fd01::1/64"]}, {node: s, interface: a}]
`
	l := on(t, text)
	l.load(strings.NewReplacer("10.1.0.1", "10.2.0.1", "fd01::1", "fd02::1").Replace(text))
	want := []string{
		"- address/r:a/10.1.0.1/24 not in the file",
		"- address/r:a/fd01::1/64 not in the file",
		"+ address/r:a/10.2.0.1/24 missing",
		"+ address/r:a/fd02::1/64 missing",
		"+ route/r:10.9.0.0/16 via 192.0.2.9 onlink address/r:a/10.1.0.1/24 is replaced",
	}
	got := slices.DeleteFunc(lines(l.plan()), func(line string) bool { return strings.Contains(line, "hosts/") })
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
	if again := lines(l.plan()); len(again) > 0 {
		t.Errorf("then there is %q", again)
	}
}

// A link goes with all that leads out by it, and an IPv6 route that would keep its other ways is removed by itself.
func TestRoutesGoWithTheirLinks(t *testing.T) {
	l := on(t, routedYAML)
	text := strings.Replace(routedYAML, "      right: {address: [10.2.0.2, \"fd02::2\"], default_route: false}\n", "", 1)
	start := strings.Index(text, "    routes:")
	l.load(text[:start])
	want := []string{
		"- route/r:10.8.0.0/16 not in the file",
		"- route/r:fd09::/64 not in the file",
		"- route/r:fd08::/64 not in the file",
		"- route/r:fd07::/64 not in the file",
		"- route/r:10.7.0.0/16 not in the file",
		"- link/r:eth1 not in the file",
		"~ hosts/r 2 lines too many edited",
	}
	got := lines(l.plan())
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
	l.top = nil
	l.up()
	if diff := cmp.Diff(fake.New().String(), l.m.String()); diff != "" {
		t.Error(diff)
	}
}

// What the kernel was built without is a mistake of the plan, with the place in the file.
func TestKernelWithoutMultipath(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(strings.Replace(routedYAML, "type: unreachable", "type: unreachable, table: 7", 1))
	o := l.options()
	o.Snapshot.Lacking = planner.Query(l.top, "p").Options
	_, err := planner.Build(o)
	const want = "p.yaml:13:9: this kernel can't do routes with several next hops: it was built without CONFIG_IP_ROUTE_MULTIPATH\n" +
		"p.yaml:18:9: this kernel can't do several routing tables: it was built without CONFIG_IPV6_MULTIPLE_TABLES"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
