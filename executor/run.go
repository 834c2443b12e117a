package executor

import (
	"container/heap"
	"context"
	"time"

	"topo/internal/kernel"
	"topo/planner"
)

// Options are how a plan is carried out. The zero value is of use.
type Options struct {
	// Workers is how many calls of [Machine.Do] are under way at most; 0 means 8. Most edits
	// hold the kernel's one RTNL lock, so more gain nothing. Steps that only wait (for a process
	// to become healthy, or to stop) do not count.
	Workers int
	// Events is told of every change that starts or ends. Calls come one after the other, from
	// the goroutine that called [Run]; the run stands still until Events returns. May be nil.
	Events func(Event)
	// SharedDone is called once, as soon as no step that touches what all projects share is
	// left or under way; in a plan without such steps that is before the first one starts. May be nil.
	SharedDone func()
}

const defaultWorkers = 8

// Event is a change that started or ended.
type Event struct {
	Change  int // index in planner.Plan.Changes
	State   State
	Err     error         // of a failed or skipped one
	Elapsed time.Duration // since the change started; 0 for Started and Skipped
}

// Run carries out a plan. Every step that can be is carried out: the failure of
// one leaves out only what depends on it.
//
// When ctx is cancelled no further step starts, and Run waits for those under
// way. They run with ctx itself: [Machine.Do] lets the edit that it is at come to
// its end, and cuts short what may take long (waiting for a process).
func Run(ctx context.Context, p *planner.Plan, m Machine, o Options) *Report {
	if o.Workers <= 0 {
		o.Workers = defaultWorkers
	}
	r := newRun(p, o)
	jobs := make(chan *task)
	defer close(jobs)
	ended := make(chan outcome)
	carryOut := func(t *task) { ended <- outcome{t, m.Do(ctx, t.ops)} }
	for range min(o.Workers, len(r.tasks)) {
		go func() {
			for t := range jobs {
				carryOut(t)
			}
		}()
	}

	r.releaseShared()
	working, waiting := 0, 0 // tasks of workers, tasks with a goroutine of their own
	for {
		for ctx.Err() == nil && r.ready.Len() > 0 && (working < o.Workers || r.ready.peek().waits) {
			t := heap.Pop(&r.ready).(*task)
			r.start(t)
			if t.waits {
				waiting++
				go carryOut(t)
			} else {
				working++
				jobs <- t
			}
		}
		if working+waiting == 0 {
			break
		}
		out := <-ended
		if out.task.waits {
			waiting--
		} else {
			working--
		}
		r.end(ctx, out.task, out.err)
	}
	if ctx.Err() != nil {
		r.interrupt(context.Cause(ctx))
	}
	return r.report
}

type outcome struct {
	task *task
	err  error
}

// run is the state of one call of Run. Only the goroutine that called it looks at it.
type run struct {
	plan    *planner.Plan
	options Options
	tasks   []*task
	ready   queue
	report  *Report

	started  []time.Time // of each change; zero: not yet
	pending  []int       // steps of each change that have not ended
	shared   int         // tasks with a shared step that have not ended
	released bool        // SharedDone was called
}

func newRun(p *planner.Plan, o Options) *run {
	r := &run{
		plan:    p,
		options: o,
		tasks:   tasks(p.Steps),
		report:  &Report{Plan: p, Results: make([]Result, len(p.Changes))},
		started: make([]time.Time, len(p.Changes)),
		pending: make([]int, len(p.Changes)),
	}
	for i := range r.report.Results {
		r.report.Results[i].Cause = NoCause
	}
	for _, s := range p.Steps {
		r.pending[s.Change]++
	}
	for _, t := range r.tasks {
		if t.shared {
			r.shared++
		}
		if t.after == 0 {
			r.ready = append(r.ready, t) // in order, and so a heap
		}
	}
	return r
}

// start notes that the changes of a task are under way.
func (r *run) start(t *task) {
	now := time.Now()
	for i := t.first; i < t.end; i++ {
		change := r.plan.Steps[i].Change
		r.report.Results[change].Begun = true
		if r.started[change].IsZero() {
			r.started[change] = now
			r.event(Event{Change: change, State: Started})
		}
	}
}

// end notes how a task ended, and marks what depends on its failure before anybody hears of it.
func (r *run) end(ctx context.Context, t *task, err error) {
	switch {
	case err == nil:
		t.state = Done
		for i := t.first; i < t.end; i++ {
			r.stepDone(r.plan.Steps[i].Change)
		}
		for _, next := range t.next {
			if next.after--; next.after == 0 && next.state == "" {
				heap.Push(&r.ready, next)
			}
		}
	case ctx.Err() != nil && isCancellation(err):
		t.state = Skipped
		cause := context.Cause(ctx)
		dependents := mark(t.next)
		r.report.Interrupted = true
		r.skip(t, NoCause, cause)
		for _, d := range dependents {
			r.skip(d, NoCause, cause)
			r.taskEnded(d)
		}
	default:
		t.state = Failed
		dependents := mark(t.next)
		culprit, failure := r.fail(t, err)
		for _, d := range dependents {
			r.skip(d, culprit, failure)
			r.taskEnded(d)
		}
	}
	r.taskEnded(t)
}

// fail notes which of a task's steps are done, which one failed, and which were left undone because of it.
func (r *run) fail(t *task, err error) (culprit int, failure *StepError) {
	b := t.blame(r.plan.Steps, err)
	culprit = r.plan.Steps[b.step].Change
	failure = &StepError{Change: r.plan.Changes[culprit], Op: b.op, Err: b.err}
	r.stepFailed(culprit, failure)
	for i := t.first; i < t.end; i++ {
		switch change := r.plan.Steps[i].Change; {
		case i < b.undone:
			r.stepDone(change)
		case change != culprit:
			r.stepSkipped(change, culprit, failure)
		}
	}
	return culprit, failure
}

// mark marks tasks, and all that depend on them, as not to be carried out.
func mark(next []*task) []*task {
	var marked []*task
	visit := func(tasks []*task) {
		for _, t := range tasks {
			if t.state == "" {
				t.state = Skipped
				marked = append(marked, t)
			}
		}
	}
	visit(next)
	for i := 0; i < len(marked); i++ {
		visit(marked[i].next)
	}
	return marked
}

func (r *run) skip(t *task, culprit int, cause error) {
	for i := t.first; i < t.end; i++ {
		r.stepSkipped(r.plan.Steps[i].Change, culprit, cause)
	}
}

// interrupt skips whatever has not started.
func (r *run) interrupt(cause error) {
	for _, t := range mark(r.tasks) {
		r.report.Interrupted = true
		r.skip(t, NoCause, cause)
		r.taskEnded(t)
	}
}

func (r *run) stepDone(change int) {
	r.pending[change]--
	result := &r.report.Results[change]
	if r.pending[change] == 0 && result.State == "" {
		result.State = Done
		r.event(Event{Change: change, State: Done, Elapsed: time.Since(r.started[change])})
	}
}

// stepFailed fails the change. The removal of a replacement that fails takes the creation with it: that is one failure.
func (r *run) stepFailed(change int, err error) {
	r.report.Results[change] = Result{State: Failed, Err: err, Cause: NoCause, Begun: true}
	r.event(Event{Change: change, State: Failed, Err: err, Elapsed: time.Since(r.started[change])})
}

func (r *run) stepSkipped(change, culprit int, err error) {
	result := &r.report.Results[change]
	if result.State != "" {
		return
	}
	result.State, result.Err, result.Cause = Skipped, err, culprit
	r.event(Event{Change: change, State: Skipped, Err: err})
}

func (r *run) taskEnded(t *task) {
	if t.shared {
		r.shared--
		r.releaseShared()
	}
}

func (r *run) releaseShared() {
	if r.shared == 0 && !r.released {
		r.released = true
		if r.options.SharedDone != nil {
			r.options.SharedDone()
		}
	}
}

func (r *run) event(e Event) {
	if r.options.Events != nil {
		r.options.Events(e)
	}
}

// waits reports whether an edit spends its time waiting: for a process, or for a registry.
func waits(op kernel.Op) bool {
	switch op.(type) {
	case kernel.ProcessWait, kernel.ProcessStop, kernel.ProcessHalt, kernel.ImagePull:
		return true
	}
	return false
}
