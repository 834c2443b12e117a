package main

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
	"topo/spec"
)

// What a watchman reads leads the same way back as what topo had in mind when it wrote it down.
func TestStateIsKeptWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := fake.New()
		o := topogen.Options{Processes: true, Stated: true, Card: "eth0"}
		a := topogen.Draw(t, "p", o)
		_, p := carryOut(t, m, a)
		applied := p.Remember()
		b := topogen.Change(t, a, o)
		back, _ := carryOut(t, m, b)
		back.run.Applied = applied
		back.applied = []byte("{}")
		data, err := back.encode()
		if err != nil {
			t.Fatal(err)
		}
		kept, err := decodeWayBack(data)
		if err != nil {
			t.Fatal(err)
		}
		kept.run.Applied = applied
		now, err := m.Snapshot(context.Background(), kept.query)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(wayText(t, back, now), wayText(t, kept, now)); d != "" {
			t.Fatalf("the way back by what was kept (-topo's +watchman's):\n%s\n%s\n%s", d, a.YAML(), b.YAML())
		}
	})
}

func wayText(t *rapid.T, b *wayBack, now kernel.Snapshot) string {
	p, err := planner.Restore(b.run, now)
	if err != nil {
		t.Fatal(err)
	}
	return p.Text(planner.TextOptions{Commands: true})
}

// carryOut brings a file up on a machine in memory, and gives the way back and the plan.
func carryOut(t *rapid.T, m *fake.Machine, f *topogen.File) (*wayBack, *planner.Plan) {
	topology, err := spec.Load([]spec.Source{{Name: "topo.yaml", Data: f.YAML()}}, spec.Options{Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	q := planner.Query(topology, "p")
	s, err := m.Snapshot(context.Background(), q)
	if err == nil {
		q = planner.Past(q, s, nil)
		s, err = m.Snapshot(context.Background(), q)
	}
	if err == nil {
		topology, err = planner.Allocate(topology, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := planner.Options{Topology: topology, Project: "p", Snapshot: s}
	p, err := planner.Build(run)
	if err == nil {
		err = executor.Run(context.Background(), p, m, executor.Options{}).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &wayBack{run: run, query: q}, p
}
