package executor_test

import (
	"context"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/testhost"
	"topo/internal/topogen"
)

// refusing is a machine that refuses the n-th edit from now (from 1), as the fake does; transactions are refused whole.
type refusing struct {
	executor.Machine
	n     int
	errno syscall.Errno
}

func (m *refusing) Do(ctx context.Context, ops []kernel.Op) error {
	for batch := range kernel.Transactions(ops) {
		if m.n > 0 && m.n <= len(batch) {
			at := m.n - 1
			m.n = 0
			return &kernel.OpError{Op: batch[at], Err: m.errno}
		}
		m.n -= min(len(batch), max(m.n, 0))
		if err := m.Machine.Do(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// 7, with --rollback-on-failure: the n-th edit of a run is refused, and perhaps one of the way back.
func TestLinuxRollback(t *testing.T) {
	runs := 0
	onLinux(t, func(t *testing.T, l *lab) {
		l.workers = 1 // of the machine below
		empty := testhost.Machine(t)
		o := topogen.Options{Stated: true, Plain: !full}
		a := topogen.Draw(l.draw(), project, o)
		b := topogen.Change(l.draw(), a, o)
		fresh := rapid.Bool().Draw(l.draw(), "fresh")
		l.applied = nil
		if !fresh {
			l.up(a)
		}
		before := l.facts()
		try, p, err := l.attempt(b)
		if err != nil {
			l.Fatal(err)
		}
		refuse := func(n int) *refusing {
			return &refusing{l.m, rapid.IntRange(1, n).Draw(l.draw(), "op"), rapid.SampledFrom(errnos).Draw(l.draw(), "errno")}
		}
		n := len(opsOf(p))
		if n == 0 {
			l.Skip("nothing to do")
		}
		if err := executor.Run(context.Background(), p, refuse(n), executor.Options{Workers: 1}).Err(); err == nil {
			l.Fatalf("no edit was refused:\n%s", text(p))
		}
		if rapid.Bool().Draw(l.draw(), "the way back fails, too") {
			now, err := l.m.Snapshot(context.Background(), try.query)
			if err != nil {
				l.Fatal(err)
			}
			back, err := try.replan(now)
			if err != nil {
				l.Fatal(err)
			}
			if n := len(opsOf(back)); n > 0 {
				_ = executor.Run(context.Background(), back, refuse(n), executor.Options{Workers: 1}) // it fails, as it was asked to
			}
		}
		back, _, err := try.rollback()
		if err != nil {
			l.Fatalf("the way back: %v\n%s\nafter:\n%s\n%s\n%s", err, text(back), text(p), a.YAML(), b.YAML())
		}
		l.same("facts after the way back\n"+text(back)+"\nafter\n"+text(p), l.facts(), before)
		if fresh {
			l.same("machine after the way back", testhost.Machine(t), empty)
		}
		l.down()
		l.same("machine after down", testhost.Machine(t), empty)
		runs++
	})
	if runs > 0 { // in the process of the test's machine
		t.Logf("figure: rollback on Linux: %d failed runs undone, 0 with a difference", runs)
	}
}
