package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
	"topo/spec"
)

// half is a run of three changes of which the second failed and the third stands on it.
func half() *executor.Report {
	p := &planner.Plan{Project: "lab", Changes: []planner.Change{
		{Action: planner.Create, ID: planner.ID{Kind: "netns", Name: "web"}},
		{Action: planner.Update, ID: planner.ID{Kind: "link", Name: "web:eth0"}},
		{Action: planner.Replace, ID: planner.ID{Kind: "process", Name: "web"}},
	}}
	failure := &executor.StepError{Change: p.Changes[1], Op: kernel.NetnsDelete{Name: "x"}, Err: syscall.EBUSY}
	return &executor.Report{Plan: p, Results: []executor.Result{
		{State: executor.Done, Cause: executor.NoCause},
		{State: executor.Failed, Err: failure, Cause: executor.NoCause},
		{State: executor.Skipped, Err: failure, Cause: 1, Begun: true},
	}}
}

func TestOutcomeOfAFailure(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printOutcome(&b, half(), 1234*time.Millisecond)
	want := `
lab: 1 of 3 done, 1 failed, 1 skipped in 1.2s
  failed  ~ link/web:eth0
            ip netns delete x
            device or resource busy
  skipped ± process/web  (link/web:eth0 failed; the old one is removed already)
`
	if d := cmp.Diff(want, "\n"+b.String()); d != "" {
		t.Error(d)
	}
	b.Reset()
	printError(&b, outcomeError(context.Background(), "up", half()))
	want = `
topo: lab: 1 change failed, 2 changes left undone
  What is done stays. "topo up" again continues.
`
	if d := cmp.Diff(want, "\n"+b.String()); d != "" {
		t.Error(d)
	}
}

func TestProgressLines(t *testing.T) {
	t.Parallel()
	r := half()
	events := []executor.Event{
		{Change: 0, State: executor.Started},
		{Change: 0, State: executor.Done, Elapsed: 1500 * time.Microsecond},
		{Change: 1, State: executor.Started},
		{Change: 1, State: executor.Failed, Err: r.Results[1].Err, Elapsed: time.Millisecond},
		{Change: 2, State: executor.Skipped, Err: r.Results[2].Err},
	}
	for mode, want := range map[string]string{
		progressPlain: `
done   + netns/web  1.5ms
failed ~ link/web:eth0  updating link/web:eth0: ip netns delete x: device or resource busy
`,
		progressJSON: `
{"event":"started","id":"netns/web","action":"create","elapsed_ms":0}
{"event":"done","id":"netns/web","action":"create","elapsed_ms":1.5}
{"event":"started","id":"link/web:eth0","action":"update","elapsed_ms":0}
{"event":"failed","id":"link/web:eth0","action":"update","elapsed_ms":1,"error":"updating link/web:eth0: ip netns delete x: device or resource busy"}
{"event":"skipped","id":"process/web","action":"replace","elapsed_ms":0,"error":"updating link/web:eth0: ip netns delete x: device or resource busy"}
{"event":"summary","project":"lab","done":1,"failed":1,"skipped":1,"interrupted":false,"elapsed_ms":2}
`,
	} {
		var b bytes.Buffer
		p := newProgress(mode, r.Plan, &b)
		for _, e := range events {
			p.event(e)
		}
		if mode == progressJSON {
			p.finish(r, 2*time.Millisecond)
		}
		if d := cmp.Diff(want, "\n"+b.String()); d != "" {
			t.Errorf("%s: %s", mode, d)
		}
	}
}

func TestBarLeavesOnlyTheOutcome(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := half()
	p := newProgress(progressTTY, r.Plan, &b)
	for i := range r.Results {
		p.event(executor.Event{Change: i, State: executor.Started})
		p.event(executor.Event{Change: i, State: r.Results[i].State})
	}
	p.finish(r, time.Second)
	lines := strings.Split(b.String(), "\r")
	if last := lines[len(lines)-1]; !strings.Contains(last, "1 of 3 done") {
		t.Errorf("the last thing on the line is %q", last)
	}
	if drawn := strings.Join(lines[:len(lines)-1], ""); !strings.Contains(drawn, "netns/web") {
		t.Errorf("the bar never says what is done: %q", drawn)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	interruptedRun := half()
	interruptedRun.Interrupted = true
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupted)
	late, cancelLate := context.WithCancelCause(context.Background())
	cancelLate(errTimeout)
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"an error", errors.New("x"), 1},
		{"mistakes", spec.Errors{{Msg: "x"}}, 1},
		{"pending", exitStatus(2), 2},
		{"a conflict", fmt.Errorf("planning: %w", &planner.ConflictError{}), 3},
		{"a lock", &linux.LockedError{}, 5},
		{"a child", exitStatus(42), 42},
		{"a child that is not there", &codedError{127, errors.New("x")}, 127},
		{"a failed run", outcomeError(context.Background(), "up", half()), 1},
		{"an interrupted run", outcomeError(ctx, "up", interruptedRun), 130},
		{"a run that took too long", outcomeError(late, "up", interruptedRun), 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
