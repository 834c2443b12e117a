package executor_test

import (
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
)

// The properties of docs/testing.md, on the strict machine in memory, by number. Each holds
// for any topology and any change of one; `go test -rapid.checks=N` draws more.

func drawOptions(t *rapid.T) topogen.Options {
	return topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: rapid.Bool().Draw(t, "stated")}
}

// 1: after up the plan is empty, and a second up edits nothing. 3: down leaves what was there before.
func TestUpIsIdempotentAndDownLeavesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		l.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		before := m.String()
		f := topogen.Draw(t, project, drawOptions(t))
		l.up(f)
		if p := l.plan(f); !p.Empty() {
			t.Fatalf("the plan after up:\n%s\n%s", text(p), f.YAML())
		}
		m.Restart()
		up := m.String()
		l.up(f)
		if ops := m.Done(); len(ops) > 0 {
			t.Fatalf("a second up carried out %v", ops)
		}
		l.same("machine after the second up", m.String(), up)
		l.down()
		if ops := m.Absent(); len(ops) > 0 {
			t.Fatalf("down deleted what was not there: %v", ops)
		}
		l.same("machine after down", m.String(), before)
		if p := l.plan(nil); !p.Empty() {
			t.Fatalf("the plan after down:\n%s", text(p))
		}
	})
}

// 4: up from a to b ends as up of b; what a and b share is left alone.
func TestChangeEndsAsIfMadeAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true}
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		wantB := anew.up(b)
		l, m := newLab(t)
		before := m.String()
		wantA := l.up(a)
		m.Restart()
		p := l.up(b)
		if ops := m.Absent(); len(ops) > 0 {
			t.Fatalf("deleted what was not there: %v\n%s\n%s", ops, text(p), yaml(a))
		}
		l.equal("machine after a and b", m.String(), anewMachine.String())
		shared := sharedBetween(wantA, wantB)
		for _, c := range p.Changes {
			if shared[c.ID] {
				t.Fatalf("%s is the same in both files and gets changed:\n%s\n%s\n%s", c.ID, text(p), a.YAML(), b.YAML())
			}
		}
		l.down()
		l.same("machine after down", m.String(), before)
	})
}

// sharedBetween is what two plans create alike, and what that needs alike.
func sharedBetween(a, b *planner.Plan) map[planner.ID]bool {
	in := func(p *planner.Plan) map[planner.ID]planner.Resource {
		all := map[planner.ID]planner.Resource{}
		for _, c := range p.Changes {
			all[c.ID] = c.Want
		}
		return all
	}
	x, y := in(a), in(b)
	shared := map[planner.ID]bool{}
	var same func(planner.ID) bool
	same = func(id planner.ID) bool {
		if s, ok := shared[id]; ok {
			return s
		}
		shared[id] = false // what needs itself is shared with nobody
		one, other := x[id], y[id]
		if one == nil || other == nil || attrs(one) != attrs(other) {
			return false
		}
		for _, need := range append(one.Needs(), other.Needs()...) {
			if (x[need] != nil || y[need] != nil) && !same(need) {
				return false
			}
		}
		shared[id] = true
		return true
	}
	for id := range x {
		same(id)
	}
	return shared
}

func attrs(r planner.Resource) string {
	var b strings.Builder
	for _, a := range r.Attrs() {
		b.WriteString(a.Name + "=" + a.Value + "\n")
	}
	return b.String()
}

// 2: killed at any point, up gets to the same end, and down to the beginning.
func TestCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true}
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		anew.up(b)

		l, m := newLab(t)
		before := m.String()
		var p *planner.Plan
		var err error
		switch rapid.SampledFrom([]string{"up", "change", "down"}).Draw(t, "while") {
		case "up":
			m.Crash(rapid.IntRange(0, 60).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			p, err = l.run(b)
		case "change":
			l.up(a)
			m.Restart()
			m.Crash(rapid.IntRange(0, 30).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			p, err = l.run(b)
		case "down":
			l.up(a)
			m.Restart()
			m.Crash(rapid.IntRange(0, 30).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			p, err = l.run(nil)
		}
		if err != nil && !isCrash(err) {
			t.Fatalf("%v\n%s", err, text(p))
		}
		m.Restart()
		crashed := m.String()
		if rapid.Bool().Draw(t, "up again") {
			if again, err := l.run(b); err != nil {
				t.Fatalf("up after the crash: %v\n%s\ncrashed:\n%s\nmachine:\n%s", err, text(again), text(p), crashed)
			}
			l.equal("machine after the crash and up", m.String(), anewMachine.String())
		}
		if again, err := l.run(nil); err != nil {
			t.Fatalf("down after the crash: %v\n%s\ncrashed:\n%s\nmachine:\n%s", err, text(again), text(p), crashed)
		}
		l.same("machine after the crash and down", m.String(), before)
	})
}

// 7: any edit may be refused. The report is true, and the next up gets there.
func TestFailure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true}
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		anew.up(b)

		l, m := newLab(t)
		before := m.String()
		l.up(a)
		m.Restart()
		errno := rapid.SampledFrom([]syscall.Errno{syscall.EBUSY, syscall.ENOBUFS, syscall.EEXIST, syscall.EINTR, syscall.ENOSPC}).Draw(t, "errno")
		m.Fail(rapid.IntRange(1, 30).Draw(t, "op"), errno)
		opts, _, err := l.options(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := planner.Build(opts)
		if err != nil {
			t.Fatal(err)
		}
		r := executor.Run(t.Context(), p, m, executor.Options{Workers: rapid.IntRange(1, 4).Draw(t, "workers")})
		truthful(t, p, r, m.Done())
		m.Restart()
		l.up(b)
		l.equal("machine after the failure and up", m.String(), anewMachine.String())
		l.down()
		l.same("machine after down", m.String(), before)
	})
}

// truthful checks a report against the ops that were carried out.
func truthful(t *rapid.T, p *planner.Plan, r *executor.Report, done []kernel.Op) {
	carried := map[string]int{}
	for _, op := range done {
		carried[op.String()]++
	}
	for i, result := range r.Results {
		all := true
		for _, s := range p.Steps {
			if s.Change != i {
				continue
			}
			for _, op := range s.Ops {
				all = all && carried[op.String()] > 0
			}
		}
		if (result.State == executor.Done) != all {
			t.Fatalf("%s is reported %s; all its ops were carried out: %t\n%s", p.Changes[i].ID, result.State, all, text(p))
		}
		if result.State == executor.Skipped && r.Results[result.Cause].State != executor.Failed {
			t.Fatalf("%s was skipped because of %s, which is %s", p.Changes[i].ID, p.Changes[result.Cause].ID, r.Results[result.Cause].State)
		}
	}
}
