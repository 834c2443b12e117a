package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
)

// A wayBack is what the state before a run can be put back by.
type wayBack struct {
	run     planner.Options // what the run was planned from; its snapshot is from before it
	query   kernel.Query
	applied []byte   // what the last successful up before it applied; nil: there was none
	source  []string // the files that one read; nil: it is not known
}

// rolledBackError is a run that failed and was undone, or that could not be undone (undone). Its code is that of the failure.
type rolledBackError struct {
	cause  error
	undone error // why the state before could not be put back; nil: it was
}

func (e *rolledBackError) Error() string {
	if e.undone != nil {
		return fmt.Sprintf("%v\nputting back what was before: %v", e.cause, e.undone)
	}
	return fmt.Sprintf("%v\nwhat was before is back", e.cause)
}

func (e *rolledBackError) Unwrap() error { return e.cause }

// undo puts back what was there before a run that failed, as --rollback-on-failure has it. An interruption doesn't end it: that ended the
// run, and is why it is undone.
// A watchman is not needed any more then; where it fails, and topo ends, that one tries again.
func (w *changing) undo(ctx context.Context, m *machine, back *wayBack, watch *watchOver, cause error) error {
	w.say("rollback", cause.Error(), "putting back what was before")
	defer context.AfterFunc(ctx, func() {
		if w.progress != progressJSON {
			fmt.Fprintln(w.err, "topo: interrupted; what was before is put back all the same (once more to leave at once)")
		}
	})()
	err := back.carryOut(context.WithoutCancel(ctx), w, m)
	if err == nil && watch != nil {
		err = watch.pending.end()
	}
	return &rolledBackError{cause, err}
}

// carryOut plans the way back from what there is now, carries that out, and proves it.
func (b *wayBack) carryOut(ctx context.Context, w *changing, m *machine) error {
	if err := m.engine.Quiesce(ctx, w.project); err != nil {
		return fmt.Errorf("waiting for what a topo before this one asked for: %w", err)
	}
	release, err := w.lockHost(ctx, m)
	if err != nil {
		return err
	}
	unlockHost := sync.OnceFunc(func() { warn(w.err, release()) })
	defer unlockHost()
	now, err := m.Snapshot(ctx, b.query)
	if err != nil {
		return err
	}
	replan := func(s kernel.Snapshot) (*planner.Plan, error) { return planner.Restore(b.run, s) }
	p, err := replan(now)
	if err != nil {
		return err
	}
	for _, text := range p.Warnings {
		warn(w.err, errors.New(text))
	}
	if !p.Empty() {
		if _, err := io.WriteString(w.out, p.Text(planner.TextOptions{Color: colourful(w.out)})); err != nil {
			warn(w.err, fmt.Errorf("printing the plan: %w", err)) // whoever looked may be gone: the more is it needed
		}
		if err := outcomeError(ctx, "plan", w.execute(ctx, m, p, unlockHost)); err != nil {
			return err
		}
		if err := executor.Verify(ctx, m, replan, b.query, settleTime); err != nil {
			return err
		}
	}
	return b.putStateBack(ctx, m)
}

// putStateBack leaves the files that topo keeps of a project as they were.
func (b *wayBack) putStateBack(ctx context.Context, m *machine) error {
	if b.applied != nil {
		err := linux.WriteApplied(b.run.Project, b.applied)
		if b.source != nil {
			err = errors.Join(err, linux.WriteSource(b.run.Project, b.source))
		}
		return err
	}
	now, err := m.Snapshot(ctx, b.query)
	if err != nil {
		return err
	}
	left, err := planner.Build(planner.Options{Project: b.run.Project, Snapshot: now, Volumes: true})
	if err != nil || !left.Empty() {
		return errors.Join(err, linux.RemoveApplied(b.run.Project))
	}
	return forget(m, b.run.Project)
}

// say tells of a turn that a run takes.
func (w *changing) say(event, why, text string) {
	if w.progress != progressJSON {
		fmt.Fprintf(w.err, "topo: %s\ntopo: %s\n", why, text)
		return
	}
	line := struct {
		Event   string `json:"event"`
		Project string `json:"project"`
		Why     string `json:"why"`
	}{event, w.project, why}
	_ = json.NewEncoder(w.err).Encode(line) // stderr is gone: there is no other place to say so
}
