package executor_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/internal/testhost"
	"topo/internal/topogen"
)

// The same properties on Linux, with namespaces only, in a machine for each test. Tens of runs
// take about a minute; `-kernel.checks=N` draws more.
var kernelChecks = flag.Int("kernel.checks", 15, "runs of each property on Linux")

// full: the kernel has everything, as that of scripts/run-in-vm does.
var full = os.Getenv("TOPO_TEST_FULL_KERNEL") != ""

// onLinux checks a property on this test's machine; false: another process does.
func onLinux(t *testing.T, property func(*testing.T, *lab)) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	checks := *kernelChecks
	if full { // on one slow CPU
		checks = (checks + 1) / 2
	}
	if err := flag.Set("rapid.checks", fmt.Sprint(checks)); err != nil {
		t.Fatal(err)
	}
	h, err := linux.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	rapid.Check(t, func(r *rapid.T) {
		l := &lab{TB: r, m: h, workers: 4}
		l.down() // what a failed run has left
		property(t, l)
	})
}

// draw is the source of what a property draws.
func (l *lab) draw() *rapid.T { return l.TB.(*rapid.T) }

// 1 and 3.
func TestLinuxUpIsIdempotentAndDownLeavesNothing(t *testing.T) {
	onLinux(t, func(t *testing.T, l *lab) {
		before := testhost.Machine(t)
		f := topogen.Draw(l.draw(), project, topogen.Options{Plain: !full})
		l.up(f)
		up := l.facts()
		if p := l.up(f); !p.Empty() {
			l.Fatalf("the plan after up:\n%s\n%s", text(p), f.YAML())
		}
		l.same("facts after the second up", l.facts(), up)
		l.down()
		l.same("machine after down", testhost.Machine(t), before)
	})
}

// 4.
func TestLinuxChangeEndsAsIfMadeAnew(t *testing.T) {
	onLinux(t, func(t *testing.T, l *lab) {
		before := testhost.Machine(t)
		o := topogen.Options{Stated: true, Plain: !full}
		a := topogen.Draw(l.draw(), project, o)
		b := topogen.Change(l.draw(), a, o)
		wantB := l.wanted(l.up(b))
		anew := l.facts()
		l.down()
		wantA := l.wanted(l.up(a))
		p := l.up(b)
		l.same("facts after a and b", l.facts(), anew)
		shared := alike(wantA, wantB)
		for _, c := range p.Changes {
			if shared(c.ID) {
				l.Fatalf("%s is the same in both files and gets changed:\n%s\n%s\n%s", c.ID, text(p), a.YAML(), b.YAML())
			}
		}
		l.down()
		l.same("machine after down", testhost.Machine(t), before)
	})
}

// 6.
func TestLinuxForeignEdit(t *testing.T) {
	onLinux(t, func(t *testing.T, l *lab) {
		before := testhost.Machine(t)
		f := topogen.Draw(l.draw(), project, topogen.Options{Plain: !full})
		l.up(f)
		up := l.facts()
		for range 5 {
			edits := topogen.Edits(l.read(), project)
			if len(edits) == 0 {
				break
			}
			edit := rapid.SampledFrom(edits).Draw(l.draw(), "edit")
			if err := l.m.Do(context.Background(), edit.Ops); err != nil {
				l.Fatalf("%s: %v", edit.Name, err)
			}
			if strings.HasPrefix(edit.Name, "deletion of namespace") {
				if err := l.m.Settle(context.Background(), project); err != nil {
					l.Fatal(err)
				}
			}
			l.repairs(f, edit)
			l.same("facts after "+edit.Name+" and up", l.facts(), up)
		}
		l.down()
		l.same("machine after down", testhost.Machine(t), before)
	})
}

func (l *lab) read() kernel.Snapshot {
	l.Helper()
	s, err := l.m.Snapshot(context.Background(), kernel.Query{Project: project})
	if err != nil {
		l.Fatal(err)
	}
	return s
}

// facts is what a reading finds, less what the kernel makes up (indices, MAC addresses of ports,
// link-local addresses, operational states) and what tells of the way (see withoutHistory).
func (l *lab) facts() string {
	l.Helper()
	s := l.read()
	var lines []string
	add := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	for _, n := range append([]kernel.Netns{s.Host}, s.Netns...) {
		add("netns %q %v %d", n.Name, n.Mark, n.Group)
		for _, x := range n.Links {
			mac := x.MAC
			if x.Port != nil {
				mac = ""
			}
			add("%s: link %s %s mtu %d %s up %t group %d alias %q master %q peer %v", n.Name, x.Name, x.Kind, x.MTU, mac, x.Up, x.Group, x.Alias, x.Master, x.Peer)
			if x.Bridge != nil {
				b := *x.Bridge
				b.Changing = false // a tree that has just changed, or was given up just then
				if b.STP {         // and has another ageing time for a while
					b.AgeingTime = 0
				}
				add("%s: bridge %s %+v vlans %v", n.Name, x.Name, b, x.VLANs)
			}
			if x.Port != nil {
				p := *x.Port
				p.State = ""
				add("%s: port %s %+v vlans %v", n.Name, x.Name, p, x.VLANs)
			}
		}
		for _, x := range n.Addrs {
			if !x.Kernel {
				add("%s: address %s %s", n.Name, x.Link, x.Prefix)
			}
		}
		for _, x := range n.Routes {
			if x.Protocol == kernel.Protocol {
				add("%s: route %+v", n.Name, x)
			}
		}
	}
	for _, x := range s.Chains {
		if strings.HasPrefix(x.Name, "TOPO-") {
			add("chain %+v", x)
		}
	}
	for _, x := range s.Rules {
		add("rule %+v", x)
	}
	for _, x := range s.Forwards {
		add("forwarding %+v", x)
	}
	for _, x := range s.Files {
		add("file %+v", x)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
