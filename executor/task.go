package executor

import (
	"errors"
	"reflect"
	"slices"

	"topo/internal/kernel"
	"topo/planner"
)

// task is steps that are carried out by one call of Do: a unit, or a single step.
type task struct {
	index      int
	first, end int // steps [first, end) of the plan
	ops        []kernel.Op
	shared     bool // one of its steps is
	waits      bool // it spends its time waiting, and gets no worker
	after      int  // tasks that must be done first and are not yet
	next       []*task
	state      State // "" until it ended or was skipped
}

// tasks joins the steps of each unit, and the dependencies between them. As a step comes after
// all that it depends on, and the steps of a unit stand next to each other, joining makes no cycle.
func tasks(steps []planner.Step) []*task {
	var all []*task
	of := make([]*task, len(steps))
	var current *task
	for i, s := range steps {
		if i == 0 || s.Unit == "" || s.Unit != steps[i-1].Unit {
			current = &task{index: len(all), first: i}
			all = append(all, current)
		}
		of[i] = current
		current.end = i + 1
		current.ops = append(current.ops, s.Ops...)
		current.shared = current.shared || s.Shared
		for _, op := range s.Ops {
			current.waits = current.waits || waits(op)
		}
	}
	seen := make([]int, len(all)) // 1 + the last task that was found to depend on this one
	for i, s := range steps {
		t := of[i]
		for _, before := range s.After {
			b := of[before]
			if b == t || seen[b.index] == t.index+1 {
				continue
			}
			seen[b.index] = t.index + 1
			b.next = append(b.next, t)
			t.after++
		}
	}
	return all
}

// blame is where a task failed.
type blame struct {
	step   int       // the one whose op failed
	undone int       // the first whose edits are not all in place
	op     kernel.Op // nil when not known
	err    error
}

// blame finds the step that made the task fail. A transaction takes back what its earlier ops did;
// steps that ended before it began are done.
func (t *task) blame(steps []planner.Step, err error) blame {
	b := blame{step: t.first, undone: t.first, err: err}
	var failure *kernel.OpError
	if !errors.As(err, &failure) {
		return b
	}
	b.op, b.err = failure.Op, failure.Err
	begin, at := 0, -1
	for batch := range kernel.Transactions(t.ops) {
		if i := slices.IndexFunc(batch, func(op kernel.Op) bool { return reflect.DeepEqual(op, failure.Op) }); i >= 0 {
			at = begin + i
			break
		}
		begin += len(batch)
	}
	if at < 0 {
		return b
	}
	n := 0
	for i := t.first; i < t.end; i++ {
		n += len(steps[i].Ops)
		if n <= begin {
			b.undone = i + 1
		}
		if n > at {
			b.step = i
			break
		}
	}
	return b
}

// queue is the tasks that can start, as a heap: the first of the plan first.
type queue []*task

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].index < q[j].index }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(t any)        { *q = append(*q, t.(*task)) }
func (q *queue) Pop() any {
	old := *q
	t := old[len(old)-1]
	*q = old[:len(old)-1]
	return t
}

func (q queue) peek() *task { return q[0] }
