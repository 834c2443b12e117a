package executor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"topo/executor"
	"topo/internal/kernel"
	"topo/planner"
)

// stub is a machine that only does what the test says.
type stub struct {
	executor.Machine
	do func(context.Context, []kernel.Op) error

	mu    sync.Mutex
	calls []string // the ops of each call of Do, in the order in which they ended
}

func (s *stub) Do(ctx context.Context, ops []kernel.Op) error {
	var err error
	if s.do != nil {
		err = s.do(ctx, ops)
	}
	words := make([]string, len(ops))
	for i, op := range ops {
		words[i] = name(op)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, strings.Join(words, " "))
	return err
}

// op is an edit that is told from others by its name alone.
func op(name string) kernel.Op { return kernel.NetnsDelete{Name: name} }

func name(o kernel.Op) string {
	switch o := o.(type) {
	case kernel.NetnsDelete:
		return o.Name
	case kernel.Iptables:
		return o.Args
	case kernel.ProcessWait:
		return "wait:" + o.Node
	}
	return o.String()
}

// plan makes a plan of steps, each of a change of its own whose name is that of its first op.
func plan(steps ...planner.Step) *planner.Plan {
	p := &planner.Plan{Project: "p", Steps: steps}
	for i := range p.Steps {
		p.Steps[i].Change = i
		p.Changes = append(p.Changes, planner.Change{Action: planner.Create, ID: planner.ID{Kind: "netns", Name: name(p.Steps[i].Ops[0])}})
	}
	return p
}

func step(name string, after ...int) planner.Step {
	return planner.Step{Ops: []kernel.Op{op(name)}, After: after}
}

func refuse(names ...string) func(context.Context, []kernel.Op) error {
	return func(_ context.Context, ops []kernel.Op) error {
		for _, o := range ops {
			if slices.Contains(names, name(o)) {
				return &kernel.OpError{Op: o, Err: syscall.EBUSY}
			}
		}
		return nil
	}
}

func states(r *executor.Report) string {
	words := make([]string, len(r.Results))
	for i, x := range r.Results {
		words[i] = string(x.State)
	}
	return strings.Join(words, " ")
}

func TestStepsComeAfterWhatTheyDependOn(t *testing.T) {
	m := &stub{}
	p := plan(step("a"), step("b", 0), step("c", 0), step("d", 1, 2), step("e"))
	r := executor.Run(t.Context(), p, m, executor.Options{Workers: 3})
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, c := range m.calls {
		at[c] = i
	}
	if len(at) != 5 || at["a"] > at["b"] || at["a"] > at["c"] || at["b"] > at["d"] || at["c"] > at["d"] {
		t.Errorf("ended in the order %v", m.calls)
	}
}

func TestOneWorkerFollowsThePlan(t *testing.T) {
	m := &stub{}
	executor.Run(t.Context(), plan(step("a"), step("b"), step("c", 0), step("d"), step("e", 1)), m, executor.Options{Workers: 1})
	if got := strings.Join(m.calls, " "); got != "a b c d e" {
		t.Errorf("carried out %s", got)
	}
}

func TestWorkersAreBounded(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	full := make(chan struct{})
	m := &stub{do: func(context.Context, []kernel.Op) error {
		mu.Lock()
		now++
		most = max(most, now)
		if now == 3 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		select {
		case <-full: // so three must run side by side
		case <-time.After(10 * time.Second):
			return errors.New("fewer than three workers")
		}
		mu.Lock()
		now--
		mu.Unlock()
		return nil
	}}
	var steps []planner.Step
	for i := range 50 {
		steps = append(steps, step(fmt.Sprint(i)))
	}
	if err := executor.Run(t.Context(), plan(steps...), m, executor.Options{Workers: 3}).Err(); err != nil {
		t.Fatal(err)
	}
	if most != 3 {
		t.Errorf("%d at the same time, want 3", most)
	}
}

func TestFailureLeavesOutWhatDependsOnIt(t *testing.T) {
	m := &stub{do: refuse("b")}
	p := plan(step("a"), step("b", 0), step("c", 1), step("d", 2), step("e", 0))
	var events []string
	r := executor.Run(t.Context(), p, m, executor.Options{Workers: 1, Events: func(e executor.Event) {
		events = append(events, fmt.Sprintf("%s %s", p.Changes[e.Change].ID.Name, e.State))
	}})
	if got := states(r); got != "done failed skipped skipped done" {
		t.Errorf("states: %s", got)
	}
	if r.Results[2].Cause != 1 || r.Results[3].Cause != 1 || r.Results[0].Cause != executor.NoCause {
		t.Errorf("causes: %+v", r.Results)
	}
	want := "a started, a done, b started, b failed, c skipped, d skipped, e started, e done"
	if got := strings.Join(events, ", "); got != want {
		t.Errorf("events: %s\nwant:   %s", got, want)
	}
	if got, want := r.Err().Error(), "creating netns/b: ip netns delete b: device or resource busy"; got != want {
		t.Errorf("error: %s\nwant:  %s", got, want)
	}
	var failure *executor.StepError
	if !errors.As(r.Err(), &failure) || failure.Change.ID.Name != "b" || failure.Op != op("b") || !errors.Is(r.Err(), syscall.EBUSY) {
		t.Errorf("error: %#v", r.Err())
	}
}

func rule(table, args string) kernel.Op {
	return kernel.Iptables{Family: kernel.IPv4, Table: table, Args: args}
}

func TestUnitIsOneCall(t *testing.T) {
	unit := func(o kernel.Op, after ...int) planner.Step {
		return planner.Step{Ops: []kernel.Op{o}, Unit: "rules", After: after}
	}
	steps := []planner.Step{
		step("a"), unit(rule("raw", "-N R")), unit(rule("filter", "-N A"), 0), unit(rule("filter", "-A A"), 2), unit(rule("nat", "-N N")), step("z", 3),
	}
	m := &stub{}
	if err := executor.Run(t.Context(), plan(steps...), m, executor.Options{}).Err(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m.calls, ", "); got != "a, -N R -N A -A A -N N, z" {
		t.Errorf("calls: %s", got)
	}

	m = &stub{do: refuse("-A A")}
	r := executor.Run(t.Context(), plan(steps...), m, executor.Options{})
	// The raw table was done before; the filter table is one transaction, that was taken back.
	if got := states(r); got != "done done skipped failed skipped skipped" {
		t.Errorf("states: %s", got)
	}
	if r.Results[2].Cause != 3 || r.Results[5].Cause != 3 {
		t.Errorf("causes: %+v", r.Results)
	}
}

// replacement is a plan whose first change is two steps with another change between them.
func replacement() *planner.Plan {
	id := func(name string) planner.ID { return planner.ID{Kind: "netns", Name: name} }
	return &planner.Plan{
		Project: "p",
		Changes: []planner.Change{{Action: planner.Replace, ID: id("r")}, {Action: planner.Delete, ID: id("x")}},
		Steps: []planner.Step{
			{Change: 0, Ops: []kernel.Op{op("r-")}},
			{Change: 1, Ops: []kernel.Op{op("x")}, After: []int{0}},
			{Change: 0, Ops: []kernel.Op{op("r+")}, After: []int{0, 1}},
		},
	}
}

func TestReplacementIsDoneWithItsLastStep(t *testing.T) {
	for _, c := range []struct {
		fails, states, events string
		begun                 bool
	}{
		{"", "done done", "0 started, 1 started, 1 done, 0 done", true},
		{"r-", "failed skipped", "0 started, 0 failed, 1 skipped", true},
		{"x", "skipped failed", "0 started, 1 started, 1 failed, 0 skipped", true},
		{"r+", "failed done", "0 started, 1 started, 1 done, 0 failed", true},
	} {
		var events []string
		r := executor.Run(t.Context(), replacement(), &stub{do: refuse(c.fails)}, executor.Options{Events: func(e executor.Event) {
			events = append(events, fmt.Sprintf("%d %s", e.Change, e.State))
		}})
		if got := states(r); got != c.states || r.Results[0].Begun != c.begun {
			t.Errorf("%s fails: %s, begun %t, want %s, %t", c.fails, got, r.Results[0].Begun, c.states, c.begun)
		}
		if got := strings.Join(events, ", "); got != c.events {
			t.Errorf("%s fails: events %s\nwant %s", c.fails, got, c.events)
		}
	}
}

func TestSharedDone(t *testing.T) {
	shared := func(name string, after ...int) planner.Step {
		s := step(name, after...)
		s.Shared = true
		return s
	}
	for _, c := range []struct {
		name  string
		steps []planner.Step
		fails string
		want  string // what had ended when SharedDone was called
	}{
		{"none is shared", []planner.Step{step("a"), step("b", 0)}, "", ""},
		{"the second is", []planner.Step{step("a"), shared("b", 0), step("c", 1)}, "", "a b"},
		{"the last one fails", []planner.Step{shared("a"), shared("b", 0), step("c", 0)}, "b", "a b"},
		{"the last one is skipped", []planner.Step{step("a"), shared("b", 0), step("c")}, "a", "a"},
		{"nothing to do", nil, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &stub{do: refuse(c.fails)}
			calls, got := 0, ""
			executor.Run(t.Context(), plan(c.steps...), m, executor.Options{Workers: 1, SharedDone: func() {
				calls++
				m.mu.Lock()
				defer m.mu.Unlock()
				got = strings.Join(m.calls, " ")
			}})
			if calls != 1 || got != c.want {
				t.Errorf("called %d times, the last after %q; want once, after %q", calls, got, c.want)
			}
		})
	}
}

func TestInterruption(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("somebody pressed Ctrl-C")
	m := &stub{do: func(ctx context.Context, ops []kernel.Op) error {
		if name(ops[0]) == "b" {
			cancel(why)
		}
		return nil // the edit under way comes to its end
	}}
	called := 0
	p := plan(step("a"), step("b", 0), step("c", 1), step("d", 1))
	p.Steps[3].Shared = true
	r := executor.Run(ctx, p, m, executor.Options{Workers: 1, SharedDone: func() { called++ }})
	if got := states(r); got != "done done skipped skipped" || !r.Interrupted {
		t.Errorf("%s, interrupted %t", got, r.Interrupted)
	}
	if !errors.Is(r.Err(), executor.ErrInterrupted) || r.Results[2].Err != why || r.Results[2].Cause != executor.NoCause {
		t.Errorf("error %v, result %+v", r.Err(), r.Results[2])
	}
	if called != 1 {
		t.Errorf("SharedDone was called %d times", called)
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	m = &stub{do: func(ctx context.Context, ops []kernel.Op) error {
		cancel(why)
		<-ctx.Done()
		return &kernel.OpError{Op: ops[0], Err: ctx.Err()}
	}}
	r = executor.Run(ctx, plan(step("a"), step("b", 0)), m, executor.Options{})
	if got := states(r); got != "skipped skipped" || !r.Interrupted || !r.Results[0].Begun || r.Results[1].Begun {
		t.Errorf("a wait that was cut short: %+v", r)
	}

	ctx, cancel = context.WithCancelCause(t.Context())
	m = &stub{do: func(context.Context, []kernel.Op) error { cancel(why); return nil }}
	if r = executor.Run(ctx, plan(step("a")), m, executor.Options{}); r.Interrupted || r.Err() != nil {
		t.Errorf("interrupted after the last step: %+v", r)
	}
}

func TestWaitingTakesNoWorker(t *testing.T) {
	released := make(chan struct{})
	m := &stub{do: func(_ context.Context, ops []kernel.Op) error {
		if name(ops[0]) == "last" {
			close(released)
			return nil
		}
		select {
		case <-released:
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("the steps that wait hold all workers")
		}
	}}
	var steps []planner.Step
	for i := range 20 {
		steps = append(steps, planner.Step{Ops: []kernel.Op{kernel.ProcessWait{Node: fmt.Sprint(i), Condition: kernel.ServiceHealthy}}})
	}
	if err := executor.Run(t.Context(), plan(append(steps, step("last"))...), m, executor.Options{Workers: 2}).Err(); err != nil {
		t.Error(err)
	}
}

// TestManySteps: 5,000 steps that all depend on one, and one on all: each edge is looked at once.
func TestManySteps(t *testing.T) {
	const n = 5000
	before := runtime.NumGoroutine()
	most := 0
	steps := []planner.Step{step("first")}
	all := []int{0}
	for i := 1; i < n; i++ {
		steps = append(steps, step(fmt.Sprint(i), 0))
		all = append(all, i)
	}
	steps = append(steps, step("last", all...))
	m := &stub{}
	r := executor.Run(t.Context(), plan(steps...), m, executor.Options{Events: func(executor.Event) { most = max(most, runtime.NumGoroutine()) }})
	if r.Err() != nil || len(m.calls) != n+1 || m.calls[n] != "last" {
		t.Errorf("%d calls, %v", len(m.calls), r.Err())
	}
	if most > before+8 {
		t.Errorf("%d goroutines, %d before", most, before)
	}
	m = &stub{do: refuse("first")}
	if r = executor.Run(t.Context(), plan(steps...), m, executor.Options{}); len(m.calls) != 1 || r.Results[n].Cause != 0 {
		t.Errorf("%d calls, %+v", len(m.calls), r.Results[n])
	}
}
