package planner_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const cardYAML = `
name: p
namespaces:
  fw: {interfaces: {wan: {type: physical, parent: "host:eth0", address: [198.51.100.2/24, "2001:db8:9::2/64"]}}, routes: [{to: default, via: 198.51.100.1}]}
  other: {}
`

// The plan has every step that an edit, or somebody else's, makes necessary, and no other; up takes them all, and down gives the card
// all back.
func TestCardsChange(t *testing.T) {
	down, group, mtu := false, uint32(9), 1300
	lost := []string{
		"+ address/fw:wan/198.51.100.2/24 missing", "+ address/fw:wan/2001:db8:9::2/64 missing", "+ route/fw:default via 198.51.100.1 missing",
	}
	testEdits(t, cardYAML, func(t *testing.T) *lab { return on(t, cardYAML) }, map[string]edit{
		"another MTU": {
			replace: []string{"address:", "mtu: 1400, address:"},
			want:    []string{"~ link/fw:wan mtu 1500 → 1400 edited"},
		},
		"another name": {
			replace: []string{"wan:", "up0:"},
			want: []string{
				"- link/fw:wan not in the file", "+ link/fw:up0 the host's eth0 missing",
				"+ address/fw:up0/198.51.100.2/24 missing", "+ address/fw:up0/2001:db8:9::2/64 missing",
				"+ route/fw:default via 198.51.100.1 link/fw:up0 is replaced",
			},
		},
		"no card any more": {
			replace: []string{`{interfaces: {wan: {type: physical, parent: "host:eth0", address: [198.51.100.2/24, "2001:db8:9::2/64"]}}, routes: [{to: default, via: 198.51.100.1}]}`, "{}"},
			want:    []string{"- link/fw:wan not in the file", "~ hosts/fw 1 line missing, 2 lines too many edited"},
		},
		"set down": {
			foreign: []kernel.Op{kernel.LinkSet{Netns: "p-fw", Name: "wan", Up: &down}},
			want: []string{
				"~ link/fw:wan state down → up changed outside topo", "+ address/fw:wan/2001:db8:9::2/64 missing", "+ route/fw:default via 198.51.100.1 missing",
			},
		},
		"another group": {
			foreign: []kernel.Op{kernel.LinkSet{Netns: "p-fw", Name: "wan", Group: &group}},
			want:    []string{"~ link/fw:wan group 9 → 1946960879 changed outside topo"},
		},
		"another MTU by hand": {
			foreign: []kernel.Op{kernel.LinkSet{Netns: "p-fw", Name: "wan", MTU: &mtu}},
			want:    []string{"~ link/fw:wan mtu 1300 → 1500 changed outside topo"},
		},
		"the namespace deleted": {
			foreign: []kernel.Op{kernel.NetnsDelete{Name: "p-fw"}},
			want:    append([]string{"+ netns/fw p-fw missing", "± link/fw:wan is there off → on, mtu 0 → 1500, state down → up, group 0 → 1946960879 changed outside topo"}, lost...),
		},
	})
}

// The plan of a card that is a member of a bond was a panic. All members, and what stands on them, have the bond's MTU.
func TestCardInABondIsNoPanic(t *testing.T) {
	l := on(t, `
name: p
namespaces: {fw: {interfaces: {wan: {type: physical, parent: "host:eth0"}, d0: {type: dummy}, d0.7: {type: vlan, parent: d0, id: 7}, b0: {type: bond, members: [wan, d0], mtu: 1400}}}}
`)
	mtu := map[string]int{}
	for _, n := range l.options().Snapshot.Netns {
		for _, x := range n.Links {
			mtu[x.Name] = x.MTU
		}
	}
	for _, name := range []string{"wan", "d0", "d0.7", "b0"} {
		if mtu[name] != 1400 {
			t.Errorf("%s has MTU %d, not the bond's", name, mtu[name])
		}
	}
}

// Killed at any edit, before it or in the middle, and the namespace gone besides: down gets back to the beginning.
func TestCardCrash(t *testing.T) {
	before := fake.New().String()
	for _, gone := range []bool{false, true} {
		for n, crashed := 0, true; crashed; n++ {
			l := &lab{t: t, m: fake.New()}
			l.load(cardYAML)
			top := l.top
			l.m.Crash(n, n%2 == 0)
			executor.Run(t.Context(), l.plan(), l.m, executor.Options{Workers: 1})
			crashed = l.m.Crashed()
			l.m.Restart()
			if gone {
				if err := l.m.Foreign(kernel.NetnsDelete{Name: "p-fw"}); err != nil {
					t.Fatal(err)
				}
				if err := l.m.Settle(t.Context(), kernel.Query{Project: "p"}); err != nil {
					t.Fatal(err)
				}
			} else if n%3 == 0 {
				l.top = top
				l.up()
			}
			l.top = nil
			l.up()
			if diff := cmp.Diff(before, l.m.String()); diff != "" {
				t.Fatalf("killed after %d edits (namespace gone: %t), and down (-before +after):\n%s", n, gone, diff)
			}
		}
	}
}

func TestCardConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*kernel.Snapshot)
		want   string
	}{
		"missing":           {func(s *kernel.Snapshot) { eth0(s).Name = "em7" }, "card eth0 for link/fw:wan: there is no such interface on the host"},
		"a bridge":          {func(s *kernel.Snapshot) { eth0(s).Kind = "bridge" }, "card eth0 for link/fw:wan: it is no card but a bridge"},
		"a member":          {func(s *kernel.Snapshot) { eth0(s).Master = "bond0" }, "card eth0 for link/fw:wan: it is a member of bond0"},
		"topo's own":        {func(s *kernel.Snapshot) { eth0(s).Alias = "topo:q:port/x:eth0" }, "card eth0 for link/fw:wan: belongs to port/x:eth0 of project q"},
		"another project's": {func(s *kernel.Snapshot) { s.Lent = []kernel.LentCard{{Project: "q", Card: "eth0", Netns: "q-a"}} }, "card eth0 for link/fw:wan: it is lent to q-a of project q"},
	} {
		l := &lab{t: t, m: fake.New()}
		l.load(cardYAML)
		o := l.options()
		c.change(&o.Snapshot)
		if _, err := planner.Build(o); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	l := &lab{t: t, m: fake.New()}
	l.load(cardYAML)
	if m := l.plan().Moves; len(m) != 1 || m[0].String() != "eth0 goes into node fw, and the host is not reached by it any more" || len(m[0].Gateways) != 2 {
		t.Errorf("moves: %+v", m)
	}
}
