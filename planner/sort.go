package planner

import (
	"container/heap"
	"slices"
)

// group is halves that are carried out as one.
type group struct {
	halves  []*half
	waiting int
	before  []*group
	index   int // of the heap
}

func gather(halves []*half) []*group {
	units := map[string]*group{}
	var out []*group
	for _, h := range halves {
		g := units[h.unit]
		if h.unit == "" || g == nil {
			g = &group{}
			out = append(out, g)
			if h.unit != "" {
				units[h.unit] = g
			}
		}
		g.halves = append(g.halves, h)
		h.group = g
	}
	for i, g := range out {
		g.index = i
		if len(g.halves) > 1 {
			g.halves = within(g.halves)
			joinFlows(g.halves)
		}
	}
	for _, g := range out {
		for _, h := range g.halves {
			for _, a := range h.after {
				if a.group != g {
					a.group.before = append(a.group.before, g)
					g.waiting++
				}
			}
		}
	}
	return out
}

// within orders the halves of a unit; they come in the order of their kinds, which is nearly right.
func within(halves []*half) []*half {
	at := make(map[*half]int, len(halves))
	for i, h := range halves {
		at[h] = i
	}
	var out []*half
	done := make([]bool, len(halves))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		var before []int
		for _, o := range halves[i].after {
			if j, ok := at[o]; ok {
				before = append(before, j)
			}
		}
		slices.Sort(before)
		for _, j := range before {
			visit(j)
		}
		out = append(out, halves[i])
	}
	for i := range halves {
		visit(i)
	}
	return out
}

type queue []*group

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].index < q[j].index }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*group)) }
func (q *queue) Pop() any {
	old := *q
	g := old[len(old)-1]
	*q = old[:len(old)-1]
	return g
}

// sortGroups is a topological sort that takes, among what is free, the first by index: the same
// changes give the same plan.
func sortGroups(groups []*group) ([]*group, error) {
	q := &queue{}
	for _, g := range groups {
		if g.waiting == 0 {
			heap.Push(q, g)
		}
	}
	var out []*group
	for q.Len() > 0 {
		g := heap.Pop(q).(*group)
		out = append(out, g)
		for _, b := range g.before {
			if b.waiting--; b.waiting == 0 {
				heap.Push(q, b)
			}
		}
	}
	if len(out) < len(groups) {
		return nil, cycle(groups)
	}
	return out, nil
}

// cycle finds a path that leads back to itself among the groups that were never free.
func cycle(groups []*group) error {
	blocking := map[*group]*half{}
	var start *group
	for _, g := range groups {
		if g.waiting == 0 {
			continue
		}
		start = g
		for _, h := range g.halves {
			for _, a := range h.after {
				if a.group != g && a.group.waiting > 0 && (blocking[g] == nil || compareHalves(a, blocking[g]) < 0) {
					blocking[g] = a
				}
			}
		}
	}
	at := map[*group]int{}
	var path []ID
	for g := start; ; g = blocking[g].group {
		if i, seen := at[g]; seen {
			return &CycleError{Path: append(path[i:], path[i])}
		}
		at[g] = len(path)
		path = append(path, g.halves[0].change.ID)
	}
}
