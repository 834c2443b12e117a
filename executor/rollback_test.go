package executor_test

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
)

// attempt is a run of up that can be undone.
type attempt struct {
	*lab
	options planner.Options
	query   kernel.Query
}

// attempt reads what stands before a run for a file, and plans it.
func (l *lab) attempt(f *topogen.File) (*attempt, *planner.Plan, error) {
	l.Helper()
	_, q, err := l.options(f, nil)
	if err != nil {
		return nil, nil, err
	}
	first, err := l.m.Snapshot(context.Background(), q)
	if err != nil {
		return nil, nil, err
	}
	q = planner.Past(q, first, l.applied)
	before, err := l.m.Snapshot(context.Background(), q)
	if err != nil {
		return nil, nil, err
	}
	o, _, err := l.options(f, &before)
	if err != nil {
		return nil, nil, err
	}
	p, err := planner.Build(o)
	return &attempt{l, o, q}, p, err
}

func (a *attempt) replan(s kernel.Snapshot) (*planner.Plan, error) {
	return planner.Restore(a.options, s)
}

// rollback puts back what was there before the attempt, and proves it.
func (a *attempt) rollback() (*planner.Plan, *executor.Report, error) {
	a.Helper()
	now, err := a.m.Snapshot(context.Background(), a.query)
	if err != nil {
		return nil, nil, err
	}
	p, err := a.replan(now)
	if err != nil {
		return nil, nil, err
	}
	r := executor.Run(context.Background(), p, a.m, executor.Options{Workers: a.workers})
	if err := r.Err(); err != nil {
		return p, r, err
	}
	return p, r, executor.Verify(context.Background(), a.m, a.replan, a.query, 5*time.Second)
}

var errnos = []syscall.Errno{syscall.EBUSY, syscall.ENOBUFS, syscall.EEXIST, syscall.EINTR, syscall.ENOSPC, syscall.ENODEV, syscall.EPERM}

// beginning draws what a machine is like before a run for b: fresh, or after an up for a, or one that somebody edited since.
func (l *lab) beginning(t *rapid.T, m *fake.Machine, a *topogen.File, o topogen.Options) (from string) {
	l.Helper()
	from = rapid.SampledFrom([]string{"nothing", "a", "an edited a"}).Draw(t, "from")
	if from != "nothing" {
		l.up(a)
	}
	if from == "an edited a" {
		// Cards, the jumps and chains, and the files that processes have bound are mended on the way back, whatever they were like.
		s := l.read()
		edits := slices.DeleteFunc(topogen.Edits(s, project), func(e topogen.Edit) bool {
			kind, _, _ := strings.Cut(e.ID, "/")
			if kind == "bridge" && !e.Exact && len(s.Uplinks) > 0 {
				return true // its card has no bridge to go back to
			}
			switch {
			case strings.HasPrefix(e.Name, "lo of "):
				return true // a namespace is made again with its lo up
			case strings.HasPrefix(e.Name, "deletion of address "):
				return true // routes over it may be left, and the kernel takes no new one by a gateway on no network
			case strings.HasPrefix(e.Name, "deletion of a VLAN of "):
				return true // likewise static entries of the VLAN
			case strings.HasPrefix(e.Name, "another "):
				return true // what somebody made anew as something else is no state that every way back leads to
			case strings.HasPrefix(e.Name, "a route by port/"):
				return true // no file has one by a bridge's port, and nothing says that it comes after it
			case strings.HasPrefix(e.Name, "group of bridge/"), strings.HasPrefix(e.Name, "alias of port/"):
				return true // what is in a node without its mark is nobody's: it stays where it is, or is made again as any link
			}
			return o.Processes && strings.HasPrefix(e.Name, "deletion of /etc/netns/") || slices.Contains([]string{"uplink", "firewall", "chain", ""}, kind)
		})
		if len(edits) > 0 {
			edit := rapid.SampledFrom(edits).Draw(t, "edit")
			if err := m.Foreign(edit.Ops...); err != nil {
				t.Fatalf("%s: %v", edit.Name, err)
			}
			if err := m.Settle(t.Context(), kernel.Query{Project: project}); err != nil {
				t.Skip(err) // a process holds the namespace that was removed
			}
			from += ": " + edit.Name
		}
	}
	m.Restart()
	return from
}

// fails carries a plan out, of which an edit is refused, or topo dies in it.
func (a *attempt) fails(t *rapid.T, m *fake.Machine, p *planner.Plan, dies bool) {
	a.Helper()
	n := len(opsOf(p))
	if n == 0 {
		t.Skip("nothing to do")
	}
	at := rapid.IntRange(1, n).Draw(t, "op")
	if dies {
		m.Crash(at-1, rapid.Bool().Draw(t, "half"))
	} else {
		m.Fail(at, rapid.SampledFrom(errnos).Draw(t, "errno"))
	}
	r := executor.Run(t.Context(), p, m, executor.Options{Workers: a.workers})
	if !dies {
		truthful(t, p, r, m.Done())
	}
	if r.Err() == nil {
		t.Fatalf("no edit was refused:\n%s", text(p))
	}
	m.Restart()
}

// 7, with --rollback-on-failure: whatever edit of a run is refused, or wherever topo dies in it, the way back leads to the very machine
// from before the run.
func TestRollback(t *testing.T) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		o := drawOptions(t)
		l, m := newLab(t)
		l.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		empty := m.String()
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		from := l.beginning(t, m, a, o)
		before := m.String()
		try, p, err := l.attempt(b)
		if err != nil {
			t.Skip(err) // the edit is in the way
		}
		try.fails(t, m, p, rapid.Bool().Draw(t, "dies"))
		back, _, err := try.rollback()
		if err != nil {
			t.Fatalf("the way back to %s: %v\n%s\nafter:\n%s\n%s", from, err, text(back), text(p), b.YAML())
		}
		if got, want := withoutPast(m.String()), withoutPast(before); got != want {
			t.Fatalf("machine after the way back to %s:\n%s\n%s\nafter:\n%s\n%s", from, cmp.Diff(want, got), text(back), text(p), a.YAML())
		}
		if from == "nothing" {
			l.same("machine", m.String(), empty)
		}
		l.up(b)
		l.down()
		l.same("machine after down", withoutOrphans(m.String()), empty)
		runs++
	})
	t.Logf("figure: rollback: %d failed runs undone, 0 with a difference", runs)
}

// An edit of the way back may be refused, too, or topo may die on it: the report is true, and the next try gets there; or an up; or a down.
func TestRollbackFails(t *testing.T) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true, Card: "eth0"}
		l, m := newLab(t)
		l.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		empty := m.String()
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		anew.up(b)
		from := l.beginning(t, m, a, o)
		before := m.String()
		try, p, err := l.attempt(b)
		if err != nil {
			t.Skip(err)
		}
		try.fails(t, m, p, false)
		now, err := m.Snapshot(t.Context(), try.query)
		if err != nil {
			t.Fatal(err)
		}
		back, err := try.replan(now)
		if err != nil {
			t.Fatal(err)
		}
		try.fails(t, m, back, rapid.Bool().Draw(t, "dies on the way back"))
		switch rapid.SampledFrom([]string{"try again", "up", "down"}).Draw(t, "then") {
		case "try again":
			again, _, err := try.rollback()
			if err != nil {
				t.Fatalf("the second try to get back to %s: %v\n%s\nafter:\n%s\nafter:\n%s", from, err, text(again), text(back), text(p))
			}
			if got, want := withoutPast(m.String()), withoutPast(before); got != want {
				t.Fatalf("machine after the second try to get back to %s:\n%s\n%s\nafter:\n%s\nafter:\n%s", from, cmp.Diff(want, got), text(again), text(back), text(p))
			}
		case "up":
			l.up(b)
			l.equal("machine after a failed way back and up", m.String(), anewMachine.String())
		}
		l.down()
		l.same("machine after down", withoutOrphans(m.String()), empty)
		runs++
	})
	t.Logf("figure: rollback that fails: %d runs, 0 that did not converge", runs)
}

// withoutPast leaves out what a way back can't bring back, and what nobody misses:
//   - the record of forwarding names the project's own links that stood when it was made;
//   - records that are of no use (withoutOrphans);
//   - a link that ever had a carrier keeps its link-local address;
//   - rules of a project's own chains stand in the order in which they were added, and none overlaps another with another verdict.
func withoutPast(text string) string {
	lines := slices.DeleteFunc(strings.Split(withoutOrphans(text), "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return ofOwnForwarding(line) || strings.HasPrefix(line, "fe80:") || strings.HasPrefix(line, "route fe80:")
	})
	return sortedOwnChains(lines)
}

// withoutOrphans leaves out the record of a parameter of a namespace that somebody removed, and that is not made again: no plan takes it
// away, but the end of down does, on Linux (RemoveState).
func withoutOrphans(text string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		netns, ok := strings.CutPrefix(line, "record "+project+": "+project+"-")
		netns, _, _ = strings.Cut(netns, " ")
		return ok && !strings.Contains("\n"+text, "\nnetns \""+project+"-"+netns+"\"")
	}), "\n")
}

func opsOf(p *planner.Plan) []kernel.Op {
	var ops []kernel.Op
	for _, s := range p.Steps {
		ops = append(ops, s.Ops...)
	}
	return ops
}
