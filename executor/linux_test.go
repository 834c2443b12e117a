package executor_test

import (
	"context"
	"encoding/json"
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
				if err := l.m.Settle(context.Background(), kernel.Query{Project: project}); err != nil {
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

func (l *lab) read() kernel.Snapshot { return l.readBy(kernel.Query{Project: project}) }

func (l *lab) readBy(q kernel.Query) kernel.Snapshot {
	l.Helper()
	s, err := l.m.Snapshot(context.Background(), q)
	if err != nil {
		l.Fatal(err)
	}
	return s
}

// facts is all that a reading finds of the network, less what the kernel makes up and what tells of the way: see made, below. What a
// reading has and this leaves out whole is not the project's (other routes, addresses that the kernel makes by itself), or is the way's
// (records of what was there before). What a run has kept in mind of the machine is no other than what a new reading finds.
func (l *lab) facts() string {
	l.Helper()
	q := l.query
	q.Again = true
	kept := l.factsOf(l.readBy(q))
	found := l.factsOf(l.readBy(l.query))
	l.same("facts that were kept in mind, and those of a new reading", kept, found)
	return found
}

func (l *lab) factsOf(s kernel.Snapshot) string {
	l.Helper()
	var lines []string
	add := func(what string, fact any) {
		text, err := json.Marshal(fact)
		if err != nil {
			l.Fatal(err)
		}
		lines = append(lines, what+" "+string(text))
	}
	for _, n := range append([]kernel.Netns{s.Host}, s.Netns...) {
		add("netns", []any{n.Name, n.Mark, n.Unfinished, n.Group})
		filters := map[string]bool{} // the bridges that tell VLANs apart
		for _, x := range n.Links {
			filters[x.Name] = x.Bridge != nil && x.Bridge.VLANFiltering
		}
		for _, x := range n.Links {
			add(n.Name+": link", made(x, filters[x.Name] || filters[x.Master]))
		}
		for _, x := range n.Addrs {
			if !x.Kernel {
				add(n.Name+": address", []any{x.Link, x.Prefix, x.Dynamic})
			}
		}
		for _, x := range n.Routes {
			if x.Protocol == kernel.Protocol {
				add(n.Name+": route", x)
			}
		}
		for _, x := range n.PolicyRules {
			add(n.Name+": rule", x)
		}
	}
	for _, x := range s.Chains {
		if strings.HasPrefix(x.Name, "TOPO-") {
			add("chain", x)
		}
	}
	for _, x := range s.Rules {
		add("rule", x)
	}
	for _, x := range s.Forwards {
		add("forwarding", x)
	}
	for _, x := range s.Files {
		add("file", x)
	}
	for _, x := range s.Uplinks {
		add("uplink", x)
	}
	for _, x := range s.Lent {
		add("card", x)
	}
	for _, x := range s.Volumes {
		add("volume", x)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// made is a link as topo makes it: all of it that has an effect, without the kernel's own. What a bridge knows of VLANs stays
// with it when it stops to filter them, and that is nothing to it then (br_handle_vlan and br_allowed_ingress in net/bridge/br_vlan.c).
func made(x kernel.Link, filters bool) kernel.Link {
	if !filters {
		x.VLANs = nil
	}
	x.FDB = slices.DeleteFunc(slices.Clone(x.FDB), func(e kernel.FDBEntry) bool { return filters != (e.VLAN != 0) })
	x.Index, x.Oper = 0, "" // given out anew; in the kernel's own time
	if x.Port != nil {
		x.MAC = "" // nobody states a port's
		p := *x.Port
		p.State = ""
		x.Port = &p
	}
	if x.Bridge != nil {
		b := *x.Bridge
		b.Changing = false // a tree that has just changed, or was given up just then
		if b.STP {         // and has another ageing time for a while
			b.AgeingTime = 0
		}
		x.Bridge = &b
	}
	if x.WireGuard != nil {
		w := *x.WireGuard
		w.PublicKey, w.ListenPort = "", 0 // chance's, where the file states none
		x.WireGuard = &w
	}
	return x
}
