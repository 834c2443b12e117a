package executor_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
	"topo/spec"
)

// neighbour is a project that lives beside those that die. It needs all that projects share.
const neighbour = `
name: q
bridges: {net: {subnet: ["10.99.0.0/24", "fd99::/64"]}}
namespaces:
  a: {bridges: [net], ports: ["9999:80"]}
`

// What a project left that died at any moment is found by its marks alone, and goes; who lives, and what only looks alike, stays as
// it is. Where nobody lives the machine is as it was before.
func TestGCTakesTheDeadAlone(t *testing.T) {
	names := slices.Sorted(maps.Keys(lookAlikes))
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "look-alikes") {
			if err := m.Foreign(lookAlikes[name]...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		var known []string
		if rapid.Bool().Draw(t, "neighbour") {
			topology, err := spec.Load([]spec.Source{{Name: "q.yaml", Data: []byte(neighbour)}}, spec.Options{Dir: "/"})
			if err != nil {
				t.Fatal(err)
			}
			l.carryOut(planner.Options{Topology: topology, Project: "q"})
			known = []string{"q"}
		}
		before := withoutVolumes(m.String())

		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true}
		f := topogen.Draw(t, project, o)
		dies := rapid.SampledFrom([]string{"whole", "in up", "in down"}).Draw(t, "dies")
		if dies != "in up" {
			l.up(f)
			m.Restart()
		}
		if dies != "whole" {
			m.Crash(rapid.IntRange(0, 60).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			if dies == "in down" {
				f = nil
			}
			if _, err := l.run(f); err != nil && !isCrash(err) {
				t.Fatal(err)
			}
			m.Restart()
		}

		end := l.carryOut(planner.Options{Project: project, KeepShared: true})
		for i := range end.Changes {
			if k := end.Changes[i].ID.Kind; k == "firewall" || k == "forwarding" {
				t.Fatalf("what all share goes with one project:\n%s", text(end))
			}
		}
		l.carryOut(planner.Options{Project: kernel.HostProject, Known: known})
		l.same("machine after gc", withoutVolumes(m.String()), before)
	})
}

// A chain that is named as topo's are, and that nothing on the machine names, goes where it is empty and never called.
func TestGCTakesOrphanedChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		before := m.String()
		iptables := func(args string) kernel.Op {
			return kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: args}
		}
		ops := []kernel.Op{iptables("-N TOPO-I-0badcafe")}
		stays := true
		switch rapid.SampledFrom([]string{"empty", "rule", "called", "living"}).Draw(t, "chain") {
		case "empty":
			stays = false
		case "rule":
			ops = append(ops, iptables("-A TOPO-I-0badcafe -j ACCEPT"))
		case "called":
			ops = append(ops, iptables("-A FORWARD -j TOPO-I-0badcafe"))
		case "living":
			ops = []kernel.Op{iptables("-N TOPO-I-f40c425c")} // of q
		}
		if err := m.Foreign(ops...); err != nil {
			t.Fatal(err)
		}
		if stays {
			before = m.String()
		}
		l.carryOut(planner.Options{Project: kernel.HostProject, Known: []string{"q"}})
		l.same("machine after gc", m.String(), before)
	})
}

// carryOut reads, allocates, plans, does it and proves it.
func (l *lab) carryOut(o planner.Options) *planner.Plan {
	l.Helper()
	ctx := context.Background()
	q := planner.Query(o.Topology, o.Project)
	var err error
	if o.Snapshot, err = l.m.Snapshot(ctx, q); err != nil {
		l.Fatal(err)
	}
	if o.Topology != nil {
		if o.Topology, err = planner.Allocate(o.Topology, o.Snapshot); err != nil {
			l.Fatal(err)
		}
	}
	p, err := planner.Build(o)
	if err != nil {
		l.Fatal(err)
	}
	if err := executor.Run(ctx, p, l.m, executor.Options{Workers: l.workers}).Err(); err != nil {
		l.Fatalf("%v\n%s", err, text(p))
	}
	again := func(s kernel.Snapshot) (*planner.Plan, error) {
		o.Snapshot = s
		return planner.Build(o)
	}
	if err := executor.Verify(ctx, l.m, again, q, 5*time.Second); err != nil {
		l.Fatalf("%v\n%s", err, text(p))
	}
	return p
}

// withoutVolumes: these outlive projects, the dead ones, too.
func withoutVolumes(text string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "volume ") }), "\n")
}
