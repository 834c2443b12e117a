package planner

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// A CycleError is a dependency that leads back to itself.
type CycleError struct{ Path []ID }

func (e *CycleError) Error() string {
	words := make([]string, len(e.Path))
	for i, id := range e.Path {
		words[i] = id.String()
	}
	return "dependency cycle: " + strings.Join(words, " → ")
}

// half is one of the two things that a change does: it removes what is there, or makes what is wanted.
type half struct {
	change *Change
	remove bool
	ops    []kernel.Op
	unit   string
	rank   int // of its kind, for the order among what is free
	after  map[*half]bool
	group  *group
}

// group is halves that are carried out as one.
type group struct {
	halves  []*half
	waiting int
	before  []*group
	index   int // of the heap
}

// order turns changes into a plan. docs/ordering.md draws the rules:
//
//   - what is needed is made before what needs it, and removed after it;
//   - of a replacement, the removal comes before the creation;
//   - what takes up a name (an interface's, a subnet's on an interface) is removed before its successor is made;
//   - removals come first among what is free, so that they make room;
//   - all rules of an iptables table are removed in one transaction and made in one.
func order(project string, changes map[ID]*Change, host kernel.Snapshot) (*Plan, error) {
	halves := split(changes)
	link(halves)
	groups := gather(halves)
	sorted, err := sortGroups(groups)
	if err != nil {
		return nil, err
	}
	p := &Plan{Project: project}
	assemble(p, sorted)
	deleteByGroup(p, host)
	return p, nil
}

func split(changes map[ID]*Change) []*half {
	rank := map[string]int{}
	for i, k := range kinds {
		rank[k.Name] = i
	}
	rank["resolv"] = rank["hosts"]
	var out []*half
	for _, c := range changes {
		add := func(remove bool, ops []kernel.Op) {
			h := &half{change: c, remove: remove, ops: ops, rank: rank[c.ID.Kind], after: map[*half]bool{}}
			h.unit = unitOf(h)
			out = append(out, h)
		}
		switch c.Action {
		case Create:
			add(false, c.Want.Create())
		case Update:
			ops, _ := c.Want.Update(c.Have)
			add(false, ops)
		case Delete:
			add(true, c.Have.Delete())
		case Replace:
			add(true, c.Have.Delete())
			add(false, c.Want.Create())
		}
	}
	slices.SortFunc(out, compareHalves)
	return out
}

func compareHalves(a, b *half) int {
	if a.remove != b.remove {
		if a.remove {
			return -1
		}
		return 1
	}
	n := cmp.Or(cmp.Compare(a.rank, b.rank), naturally(a.change.ID.Name, b.change.ID.Name), cmp.Compare(a.change.ID.Kind, b.change.ID.Kind))
	if a.remove {
		return -n
	}
	return n
}

// unitOf: rules of one iptables table are one transaction.
func unitOf(h *half) string {
	if len(h.ops) == 0 {
		return ""
	}
	first, ok := h.ops[0].(kernel.Iptables)
	if !ok {
		return ""
	}
	verb := "make"
	if h.remove {
		verb = "remove"
	}
	return fmt.Sprintf("%s %s %s", verb, first.Family, first.Table)
}

// link draws the edges.
func link(halves []*half) {
	makes, removes := map[ID]*half{}, map[ID]*half{}
	claims := map[string][]*half{}
	for _, h := range halves {
		if h.remove {
			removes[h.change.ID] = h
			if c, ok := h.change.Have.(claimant); ok {
				for _, name := range c.Claims() {
					claims[name] = append(claims[name], h)
				}
			}
		} else {
			makes[h.change.ID] = h
		}
	}
	for _, h := range halves {
		if h.remove {
			// Dependents go first.
			for _, need := range h.change.Have.Needs() {
				if n := removes[need]; n != nil && n != h {
					n.after[h] = true
				}
			}
			continue
		}
		for _, need := range h.change.Want.Needs() {
			if n := makes[need]; n != nil && n != h {
				h.after[n] = true
			}
		}
		if r := removes[h.change.ID]; r != nil {
			h.after[r] = true
		}
		if c, ok := h.change.Want.(claimant); ok {
			for _, name := range c.Claims() {
				for _, r := range claims[name] {
					h.after[r] = true
				}
			}
		}
	}
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
		}
	}
	for _, g := range out {
		before := map[*group]bool{}
		for _, h := range g.halves {
			for a := range h.after {
				if a.group != g {
					before[a.group] = true
				}
			}
		}
		for b := range before {
			b.before = append(b.before, g)
		}
		g.waiting = len(before)
	}
	return out
}

// within orders the halves of a unit; they come in the order of their kinds, which is nearly right.
func within(halves []*half) []*half {
	var out []*half
	done := map[*half]bool{}
	var visit func(*half)
	visit = func(h *half) {
		if done[h] {
			return
		}
		done[h] = true
		for _, o := range halves {
			if h.after[o] {
				visit(o)
			}
		}
		out = append(out, h)
	}
	for _, h := range halves {
		visit(h)
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
			for a := range h.after {
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

// assemble writes the sorted groups down as steps; a change is listed where its last half is.
func assemble(p *Plan, groups []*group) {
	last := map[*Change]*half{}
	for _, g := range groups {
		for _, h := range g.halves {
			last[h.change] = h
		}
	}
	index := map[*Change]int{}
	for _, g := range groups {
		for _, h := range g.halves {
			if last[h.change] == h {
				index[h.change] = len(p.Changes)
				p.Changes = append(p.Changes, *h.change)
			}
		}
	}
	step := map[*half]int{}
	for _, g := range groups {
		for _, h := range g.halves {
			s := Step{Change: index[h.change], Ops: h.ops, Unit: h.unit, Shared: isShared(h.change)}
			for a := range h.after {
				s.After = append(s.After, step[a])
			}
			slices.Sort(s.After)
			step[h] = len(p.Steps)
			p.Steps = append(p.Steps, s)
		}
	}
}

func isShared(c *Change) bool {
	for _, r := range []Resource{c.Have, c.Want} {
		if s, ok := r.(shared); ok && s.Shared() {
			return true
		}
	}
	return false
}

// deleteByGroup replaces the removals of single links by one message where all links of the project's
// group go: 1,000 veths in 0.7 s instead of 34 s.
func deleteByGroup(p *Plan, host kernel.Snapshot) {
	group := kernel.Group(p.Project)
	members := map[string]bool{}
	for _, l := range host.Host.Links {
		if l.Group == group {
			members[l.Name] = true
		}
	}
	// A veth's removal by its end in a node takes the host's end along.
	near := map[[2]string]string{}
	for _, l := range host.Host.Links {
		if l.Peer.Name != "" {
			near[[2]string{l.Peer.Netns, l.Peer.Name}] = l.Name
		}
	}
	removed := map[string]bool{}
	var steps []int
	for i, s := range p.Steps {
		if len(s.Ops) != 1 || p.Changes[s.Change].Action != Delete {
			continue
		}
		d, ok := s.Ops[0].(kernel.LinkDelete)
		if !ok {
			continue
		}
		name := d.Name
		if d.Netns != "" {
			name = near[[2]string{d.Netns, d.Name}]
		}
		if members[name] {
			removed[name] = true
			steps = append(steps, i)
		}
	}
	for name := range members {
		if !removed[name] {
			return
		}
	}
	if len(steps) < 2 {
		return
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	// All of them are one step, where the last of them stood: what must precede any precedes all.
	moveTogether(p, steps, kernel.GroupDelete{Group: group, Names: names})
}

// moveTogether makes steps one unit with a single op, behind everything that any of them waits for.
func moveTogether(p *Plan, steps []int, op kernel.Op) {
	in := map[int]bool{}
	for _, i := range steps {
		in[i] = true
	}
	// Steps that wait for a member move behind the last member; they keep their order.
	lastMember := steps[len(steps)-1]
	late := map[int]bool{}
	for i := range p.Steps {
		if in[i] || i > lastMember {
			continue
		}
		for _, a := range p.Steps[i].After {
			if in[a] || late[a] {
				late[i] = true
			}
		}
	}
	for _, i := range steps {
		for _, a := range p.Steps[i].After {
			if late[a] {
				return // a member waits for what waits for another: they can't go together
			}
		}
	}
	var sequence []int
	for i := 0; i <= lastMember; i++ {
		if !in[i] && !late[i] {
			sequence = append(sequence, i)
		}
	}
	sequence = append(sequence, steps...)
	for i := range p.Steps {
		if late[i] || i > lastMember {
			sequence = append(sequence, i)
		}
	}
	moved := make([]int, len(p.Steps))
	for to, from := range sequence {
		moved[from] = to
	}
	out := make([]Step, len(p.Steps))
	for to, from := range sequence {
		s := p.Steps[from]
		after := make([]int, 0, len(s.After))
		for _, a := range s.After {
			if in[from] && in[a] {
				continue
			}
			after = append(after, moved[a])
		}
		slices.Sort(after)
		s.After = after
		if in[from] {
			s.Unit = "remove links"
			s.Ops = nil
			if from == steps[0] {
				s.Ops = []kernel.Op{op}
			}
		}
		out[to] = s
	}
	p.Steps = out
	relist(p)
}

// relist puts changes into the order of their last steps.
func relist(p *Plan) {
	index := map[int]int{}
	var changes []Change
	last := map[int]int{}
	for i, s := range p.Steps {
		last[s.Change] = i
	}
	for i, s := range p.Steps {
		if last[s.Change] == i {
			index[s.Change] = len(changes)
			changes = append(changes, p.Changes[s.Change])
		}
	}
	for i := range p.Steps {
		p.Steps[i].Change = index[p.Steps[i].Change]
	}
	p.Changes = changes
}

// naturally compares names with their numbers as numbers: n9 before n10.
func naturally(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if n := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(na, nb)); n != 0 {
				return n
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
