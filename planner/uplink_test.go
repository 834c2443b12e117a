package planner_test

import (
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const uplinkYAML = `
name: p
bridges:
  lan: {uplinks: [eth0]}
  other: {subnet: none}
namespaces:
  a: {bridges: [lan]}
`

// The plan has every step that an edit, or somebody else's, makes necessary, and no other; up takes them all, and down gives the card
// all back.
func TestUplinksChange(t *testing.T) {
	one := netip.MustParsePrefix("192.0.2.10/24")
	none, down := "", false
	testEdits(t, uplinkYAML, func(t *testing.T) *lab { return on(t, uplinkYAML) }, map[string]edit{
		"another bridge": {
			replace: []string{"lan: {uplinks: [eth0]}\n  other: {subnet: none}", "lan: {subnet: none}\n  other: {uplinks: [eth0]}"},
			want: []string{
				"~ bridge/lan mac 52:54:00:00:00:10 → 02:a2:15:8d:5d:72 edited",
				"~ bridge/other mac 02:52:98:3c:ff:80 → 52:54:00:00:00:10 edited",
				"± uplink/eth0 bridge p-lan → p-other, port of p-lan → p-other edited",
			},
		},
		"no uplink any more": {
			replace: []string{"{uplinks: [eth0]}", "{subnet: none, mac: \"52:54:00:00:00:10\"}"},
			want:    []string{"- uplink/eth0 not in the file"},
		},
		"another name of the bridge": {
			replace: []string{"{uplinks: [eth0]}", "{uplinks: [eth0], name: br-lan}"},
			want: []string{
				"± bridge/lan interface p-lan → br-lan edited",
				"~ port/a:eth0 bridge none → br-lan bridge/lan is replaced",
				"+ up/lan br-lan bridge/lan is replaced",
				"± uplink/eth0 bridge p-lan → br-lan, port of p-lan → br-lan edited",
			},
		},
		"pulled out": {
			foreign: []kernel.Op{kernel.LinkSet{Name: "eth0", Master: &none}},
			want:    []string{"~ uplink/eth0 port of none → p-lan changed outside topo"},
		},
		"set down": {
			foreign: []kernel.Op{kernel.LinkSet{Name: "eth0", Up: &down}},
			want:    []string{"~ uplink/eth0 state down → up changed outside topo"},
		},
		"an address put back on it": {
			foreign: []kernel.Op{kernel.AddrAdd{Link: "eth0", Prefix: one}},
			want:    []string{"~ uplink/eth0 left on the card 192.0.2.10/24 → none changed outside topo"},
		},
		"an address taken from the bridge": {
			foreign: []kernel.Op{kernel.AddrDelete{Link: "p-lan", Prefix: netip.MustParsePrefix("2001:db8:2::10/64")}},
			want:    []string{"~ uplink/eth0 missing on the bridge 2001:db8:2::10/64 → none changed outside topo"},
		},
		"a route taken from the bridge": {
			foreign: []kernel.Op{kernel.RouteDelete{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: "p-lan"}},
			want:    []string{"~ uplink/eth0 missing on the bridge route 0.0.0.0/0 → none changed outside topo"},
		},
		"a stray address on the bridge": {
			foreign: []kernel.Op{kernel.AddrAdd{Link: "p-lan", Prefix: netip.MustParsePrefix("192.0.2.99/24")}},
			want:    []string{"- address/host:p-lan/192.0.2.99/24 not in the file"},
		},
		"the bridge deleted": {
			foreign: []kernel.Op{kernel.LinkDelete{Name: "p-lan"}},
			want: []string{
				"+ bridge/lan missing",
				"~ port/a:eth0 bridge none → p-lan changed outside topo",
				"+ up/lan p-lan missing",
				"± uplink/eth0 port of none → p-lan, missing on the bridge 192.0.2.10/24, 2001:db8:2::10/64, route 0.0.0.0/0, route ::/0 → none bridge/lan is replaced",
			},
		},
	})
}

// Killed at any edit, before it or in the middle, up gets to its end, and down back to the beginning.
func TestUplinkCrash(t *testing.T) {
	before := fake.New().String()
	up := on(t, uplinkYAML).m.String()
	for _, half := range []bool{false, true} {
		for _, direction := range []string{"up", "down"} {
			for n := 0; ; n++ {
				l := &lab{t: t, m: fake.New()}
				l.load(uplinkYAML)
				if direction == "down" {
					l.up()
				}
				top := l.top
				if direction == "down" {
					l.top = nil
				}
				l.m.Restart()
				l.m.Crash(n, half)
				executor.Run(t.Context(), l.plan(), l.m, executor.Options{Workers: 1})
				crashed := l.m.Crashed()
				l.m.Restart()
				if n%2 == 0 {
					l.top = top
					l.up()
					if diff := cmp.Diff(up, l.m.String()); diff != "" {
						t.Fatalf("%s killed after %d edits (half: %t), and up (-want +got):\n%s", direction, n, half, diff)
					}
				}
				l.top = nil
				l.up()
				if diff := cmp.Diff(before, l.m.String()); diff != "" {
					t.Fatalf("%s killed after %d edits (half: %t), and down (-before +after):\n%s", direction, n, half, diff)
				}
				if !crashed {
					break
				}
			}
		}
	}
}

// The gateway answers no more: the card has all back, and what needs no card is done.
func TestUplinkGatewayIsSilent(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(uplinkYAML)
	card := cardOf(t, l)
	l.m.Silence(netip.MustParseAddr("192.0.2.1"))
	r := executor.Run(t.Context(), l.plan(), l.m, executor.Options{})
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), syscall.ETIMEDOUT.Error()) {
		t.Errorf("the run: %v", err)
	}
	if got := lines(l.plan()); !slices.Equal(got, []string{"+ uplink/eth0 port of p-lan, with 192.0.2.10/24, 2001:db8:2::10/64 missing"}) {
		t.Errorf("left to do: %q", got)
	}
	if diff := cmp.Diff(card, cardOf(t, l)); diff != "" {
		t.Errorf("the card is not what it was (-before +after):\n%s", diff)
	}
}

// cardOf is all that eth0 has.
func cardOf(t *testing.T, l *lab) (facts []any) {
	t.Helper()
	s, err := l.m.Snapshot(t.Context(), kernel.Query{Project: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range s.Host.Links {
		if x.Name == "eth0" {
			facts = append(facts, x)
		}
	}
	for _, a := range s.Host.Addrs {
		if a.Link == "eth0" {
			facts = append(facts, a.Prefix.String(), a.Secondary)
		}
	}
	for _, r := range s.Host.Routes {
		if r.Link == "eth0" {
			facts = append(facts, r.Dst.String(), r.Via.String(), r.Metric, r.Table, r.Protocol)
		}
	}
	return facts
}

// A default route to whoever is on the wire was none, and the card was moved without a word.
func TestUplinkMovesDefaultRouteWithoutGateway(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(uplinkYAML)
	o := l.options()
	o.Snapshot.Host.Routes = []kernel.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: "eth0"}}
	p, err := planner.Build(o)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Moves[0].Carries(netip.Addr{}); got != "the default route" {
		t.Errorf("carries %q", got)
	}
}

func TestUplinkMoves(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(uplinkYAML)
	moves := l.plan().Moves
	if len(moves) != 1 {
		t.Fatalf("moves: %+v", moves)
	}
	m := moves[0]
	if got := m.String(); got != "eth0 becomes a port of p-lan, which gets its addresses (192.0.2.10/24, 2001:db8:2::10/64), routes and static neighbours" {
		t.Errorf("says %q", got)
	}
	for session, want := range map[string]string{
		"192.0.2.10":        "the default route (via 192.0.2.1, 2001:db8:2::1) and the session that topo runs in (192.0.2.10)",
		"::ffff:192.0.2.10": "the default route (via 192.0.2.1, 2001:db8:2::1) and the session that topo runs in (192.0.2.10)",
		"192.0.2.11":        "the default route (via 192.0.2.1, 2001:db8:2::1)",
	} {
		if got := m.Carries(netip.MustParseAddr(session)); got != want {
			t.Errorf("with the session at %s it carries %q", session, got)
		}
	}
	l.up()
	if moves := l.plan().Moves; len(moves) != 0 {
		t.Errorf("moves when all is done: %+v", moves)
	}
	l.load(strings.Replace(uplinkYAML, "{uplinks: [eth0]}", "{uplinks: [eth0], name: br-lan}", 1))
	if moves := l.plan().Moves; len(moves) != 1 || len(moves[0].Gateways) != 2 {
		t.Errorf("moves to a new bridge: %+v", moves)
	}
}

// What can't be an uplink is refused.
func TestUplinkConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		yaml   string
		change func(*kernel.Snapshot)
		want   string
	}{
		"missing":       {"lan: {uplinks: [em1]}", nil, "uplink em1 of bridge lan: there is no such interface on the host"},
		"VLAN of none":  {"lan: {uplinks: [em1.7]}", nil, "uplink em1.7 of bridge lan: there is no interface em1 on the host"},
		"no VLAN":       {"lan: {uplinks: [eth0.5000]}", nil, "uplink eth0.5000 of bridge lan: there is no such interface on the host"},
		"VLAN of down":  {"lan: {uplinks: [eth0.7]}", func(s *kernel.Snapshot) { eth0(s).Up = false }, "uplink eth0.7 of bridge lan: eth0 is down"},
		"wireless":      {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) { eth0(s).Wireless = true }, "uplink eth0 of bridge lan: it is wireless, and an access point takes no frames of others' addresses"},
		"a bridge":      {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) { eth0(s).Kind = "bridge" }, "uplink eth0 of bridge lan: it is a bridge"},
		"a member":      {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) { eth0(s).Master = "bond0" }, "uplink eth0 of bridge lan: it is a member of bond0"},
		"low MTU":       {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) { eth0(s).MTU = 1400 }, "uplink eth0 of bridge lan: eth0 has an MTU of 1400, less than the bridge's 1500"},
		"low MTU, VLAN": {"lan: {uplinks: [eth0.7], mtu: 1600}", nil, "uplink eth0.7 of bridge lan: eth0 has an MTU of 1500, less than the bridge's 1600"},
		"the gateway's": {"lan: {uplinks: [eth0], subnet: 192.0.2.0/24, gateway: 192.0.2.10}", nil, "uplink eth0 of bridge lan: it has 192.0.2.10, which is the bridge's gateway, too"},
		"DHCP": {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) {
			for i := range s.Host.Addrs {
				s.Host.Addrs[i].Dynamic = true
			}
		}, "uplink eth0 of bridge lan: its address 192.0.2.10/24 ends by itself: a DHCP client renews it, and would do so on the card, not on the bridge"},
		"MACVLAN": {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) {
			s.Host.Links = append(s.Host.Links, kernel.Link{Name: "mv0", Kind: "macvlan", Parent: kernel.End{Name: "eth0"}})
		}, "uplink eth0 of bridge lan: it carries the macvlan mv0, which takes the frames that the bridge would get"},
		"another project's": {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) {
			s.Uplinks = []kernel.Uplink{{Project: "q", Card: "eth0", Bridge: "q-lan"}}
		}, "uplink eth0 of bridge lan: it is an uplink of q-lan of project q"},
		"topo's own link": {"lan: {uplinks: [eth0]}", func(s *kernel.Snapshot) { eth0(s).Alias = "topo:q:port/x:eth0" }, "uplink eth0 of bridge lan: belongs to port/x:eth0 of project q"},
	} {
		l := &lab{t: t, m: fake.New()}
		l.load("name: p\nbridges: {" + c.yaml + "}\n")
		o := l.options()
		if c.change != nil {
			c.change(&o.Snapshot)
		}
		_, err := planner.Build(o)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func eth0(s *kernel.Snapshot) *kernel.Link {
	i := slices.IndexFunc(s.Host.Links, func(l kernel.Link) bool { return l.Name == "eth0" })
	return &s.Host.Links[i]
}

// A VLAN that is not there is topo's own, and goes; one that is there stays.
func TestUplinkVLAN(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nbridges: {lan: {uplinks: [eth0.7, eth0.8], stp: true}}\n")
	if err := l.m.Foreign(kernel.LinkAdd{Name: "eth0.8", Kind: "vlan", Parent: kernel.End{Name: "eth0"}, Up: true, Params: []kernel.Param{{Name: "id", Value: "8"}}}); err != nil {
		t.Fatal(err)
	}
	if err := l.m.Settle(t.Context(), kernel.Query{Project: "p"}); err != nil {
		t.Fatal(err)
	}
	before := l.m.String()
	if got := planner.Query(l.top, "p").Options; !slices.Contains(got, "VLAN_8021Q") {
		t.Errorf("%q is asked for", got)
	}
	got := lines(l.plan())
	want := []string{"+ bridge/lan", "+ link/host:eth0.7 vlan id 7 on link/host:eth0", "+ up/lan p-lan", "+ uplink/eth0.7 port of p-lan", "+ uplink/eth0.8 port of p-lan"}
	for i := range got {
		got[i] = strings.TrimSuffix(got[i], " missing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	o := l.options()
	o.Snapshot.Lacking = []string{"VLAN_8021Q"}
	if _, err := planner.Build(o); err == nil || !strings.HasSuffix(err.Error(), "this kernel can't do vlan: it was built without CONFIG_VLAN_8021Q") {
		t.Errorf("without VLANs: %v", err)
	}
	l.up()
	l.top = nil
	l.up()
	if diff := cmp.Diff(before, l.m.String()); diff != "" {
		t.Errorf("the machine is not what it was (-before +after):\n%s", diff)
	}
}

func TestTwoUplinksAreWarnedOf(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nbridges: {lan: {uplinks: [eth0.7, eth0.8]}}\n")
	if got := l.plan().Warnings; !slices.Equal(got, []string{"bridge lan has 2 uplinks and no stp: on one and the same LAN they are a loop"}) {
		t.Errorf("warnings: %q", got)
	}
}

// The LAN's subnet may be stated: nodes get addresses of it, and none that the machine or its router has.
func TestUplinkOnItsOwnSubnet(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(`
name: p
bridges: {lan: {uplinks: [eth0], subnet: 192.0.2.0/28}, app: {subnet: 10.0.0.0/24}}
namespaces: {a: {bridges: [lan]}, b: {bridges: {lan: {address: 192.0.2.2}}}}
`)
	for _, when := range []string{"before", "after"} {
		var got []string
		for _, n := range l.options().Topology.Nodes {
			got = append(got, n.Attachments[0].Addresses[0].String())
		}
		if want := []string{"192.0.2.3/28", "192.0.2.2/28"}; !slices.Equal(got, want) {
			t.Errorf("addresses %s: %q, want %q", when, got, want)
		}
		l.up()
	}
	// To any other bridge the LAN is somebody's.
	l.load("name: p\nbridges: {lan: {uplinks: [eth0]}, app: {subnet: 192.0.2.0/24}}\n")
	s, err := l.m.Snapshot(t.Context(), kernel.Query{Project: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := planner.Allocate(l.top, s); err == nil || !strings.Contains(err.Error(), "subnet 192.0.2.0/24 of bridge app overlaps 192.0.2.10/24 on bridge/lan of project p") {
		t.Errorf("another bridge with the LAN's subnet: %v", err)
	}
}
