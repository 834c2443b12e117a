package planner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

// A way back is what a run for after did, or half of it, seen from what was there before: its plan, without the commands.
func TestRestore(t *testing.T) {
	web := func(more string) string {
		return "name: p\nnamespaces:\n  db: {command: [db]}\n  web: {command: [serve]" + more + "}\n"
	}
	for name, test := range map[string]struct {
		before string              // "": nothing
		since  func(*fake.Machine) // what happens before the run
		after  string
		then   func(*fake.Machine) // what happens after it
		want   []string
	}{
		"nothing changed": {before: web(""), after: web("")},
		"what was made goes, dependents first": {
			after: "name: p\nnamespaces: {a: {}}\n",
			want:  []string{"- hosts/a", "- netns/a"},
		},
		"what was replaced is replaced again, and what stands on it": {
			before: "name: p\nnamespaces: {a: {interfaces: {t: {type: tun, address: 10.1.1.1/24}}}}\n",
			after:  "name: p\nnamespaces: {a: {interfaces: {t: {type: tap, address: 10.1.1.1/24}}}}\n",
			want:   []string{"± link/a:t", "+ address/a:t/10.1.1.1/24"},
		},
		"what was removed is made again, needs first": {
			before: web(", links: [db]"),
			after:  "name: p\nnamespaces: {db: {command: [db]}}\n",
			want:   []string{"+ netns/web", "+ hosts/web", "+ process/web"},
		},
		"what had ended stays as it is": {
			before: web(""),
			since:  func(m *fake.Machine) { m.Exit("p", "web", 3) },
			after:  "name: p\nnamespaces:\n  db: {command: [db]}\n  web: {command: [other]}\n",
			want:   []string{"- process/web", "! process/web had ended (exited 3), and is not started again"},
		},
		"what had ended and was started again is stopped": {
			before: web(""),
			since:  func(m *fake.Machine) { m.Exit("p", "web", 3) },
			after:  web(""),
			want:   []string{"~ process/web"},
		},
		"a volume that the run made goes, unless another project uses it": {
			before: "name: p\ncontainers: {c: {rootfs: /, command: [c], volumes: [\"one:/one\"]}}\nvolumes: {one: {}}\n",
			after:  "name: p\ncontainers: {c: {rootfs: /, command: [c], volumes: [\"one:/one\", \"two:/two\", \"three:/three\"]}}\nvolumes: {one: {}, two: {}, three: {}}\n",
			then: func(m *fake.Machine) {
				if err := m.Foreign(
					kernel.SupervisorStart{Project: "q"},
					kernel.ProcessStart{Process: kernel.Process{Project: "q", Node: "n", Argv: []string{"x"}, Mounts: []kernel.Mount{{Kind: kernel.VolumeMount, Source: "p_two", Target: "/t"}}}},
				); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"- volume/three", "± process/c", "! volume/two stays: n of project q has it mounted"},
		},
		// It failed: ports and addresses were put back on a bridge that was none.
		"something of another kind in a bridge's place does not come back": {
			before: "name: p\nbridges: {b: {subnet: 10.0.0.0/24}}\nnamespaces: {a: {bridges: [b]}}\n",
			since: func(m *fake.Machine) {
				if err := m.Foreign(kernel.LinkDelete{Name: "p-b"}, kernel.LinkAdd{Name: "p-b", Kind: "dummy", Alias: "topo:p:bridge/b", Group: kernel.Group("p")}); err != nil {
					t.Fatal(err)
				}
			},
			after: "name: p\nbridges: {b: {subnet: 10.0.0.0/24}}\nnamespaces: {a: {bridges: [b]}}\n",
			want:  []string{"- bridge/b", "~ port/a:eth0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			if test.before != "" {
				l.load(test.before)
				carryOut(t, l, l.options())
			}
			if test.since != nil {
				test.since(l.m)
			}
			l.load(test.after)
			q := planner.Query(l.top, "p")
			read := func() kernel.Snapshot {
				s, err := l.m.Snapshot(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			q = planner.Past(q, read(), l.applied)
			run := l.options()
			run.Snapshot = read()
			carryOut(t, l, run)
			if test.then != nil {
				test.then(l.m)
			}
			p, err := planner.Restore(run, read())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range p.Changes {
				got = append(got, fmt.Sprintf("%c %s", c.Action.Rune(), c.ID))
			}
			for _, w := range p.Warnings {
				got = append(got, "! "+w)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("the way back (-want +got):\n%s", d)
			}
			if err := executor.Run(t.Context(), p, l.m, executor.Options{}).Err(); err != nil {
				t.Fatal(err)
			}
			if again, err := planner.Restore(run, read()); err != nil || !again.Empty() {
				t.Errorf("the way back leads not all the way (%v):\n%s", err, again.Text(planner.TextOptions{}))
			}
		})
	}
}

func carryOut(t *testing.T, l *lab, o planner.Options) {
	t.Helper()
	p, err := planner.Build(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := executor.Run(t.Context(), p, l.m, executor.Options{}).Err(); err != nil {
		t.Fatal(err)
	}
	l.applied = p.Remember()
}

// The private key that topo made comes back, and no other one in its place.
func TestRestoreKeepsKeys(t *testing.T) {
	const with = "name: p\nnamespaces:\n  a: {interfaces: {wg0: {type: wireguard, peers: [{public_key: \"aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=\", preshared_key: \"aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=\", allowed_ips: 10.7.0.0/24}]}}}\n"
	l := &lab{t: t, m: fake.New()}
	l.load(with)
	carryOut(t, l, l.options())
	l.load("name: p\nnamespaces: {a: {}}\n")
	q := planner.Query(l.top, "p")
	q.Secrets = true
	read := func() kernel.Snapshot {
		s, err := l.m.Snapshot(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	run := l.options()
	run.Snapshot = read()
	carryOut(t, l, run)
	if now := read(); len(now.Secrets) != 0 {
		t.Fatalf("the run removed not all keys: %d", len(now.Secrets))
	}
	p, err := planner.Restore(run, read())
	if err != nil {
		t.Fatal(err)
	}
	if text := p.Text(planner.TextOptions{Commands: true}); strings.Contains(text, "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU= preshared-key aGV") {
		t.Errorf("the plan shows a key:\n%s", text)
	}
	if err := executor.Run(t.Context(), p, l.m, executor.Options{}).Err(); err != nil {
		t.Fatal(err)
	}
	now := read()
	if len(now.Secrets) != 3 { // made, the link's own, the one shared with the peer
		t.Errorf("%d keys are back", len(now.Secrets))
	}
	for of, key := range run.Snapshot.Secrets {
		if now.Secrets[of] != key {
			t.Errorf("%+v is another key", of)
		}
	}
}

// What came to stand in the way since is not removed on the way back: it is refused, and named.
func TestRestoreRefusesWhatIsInTheWay(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nbridges: {b: {subnet: 10.1.0.0/24}}\n")
	carryOut(t, l, l.options())
	l.load("name: p\nnamespaces: {a: {}}\n")
	run := l.options()
	carryOut(t, l, run)
	if err := l.m.Foreign(kernel.BridgeAdd{Name: "p-b", MAC: "02:00:00:00:00:01"}); err != nil {
		t.Fatal(err)
	}
	_, err := planner.Restore(run, l.options().Snapshot)
	if err == nil || !strings.Contains(err.Error(), "interface p-b for the bridge b") {
		t.Errorf("the error is %v", err)
	}
}
