package planner

import (
	"cmp"
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
	rank   int     // of its kind, for the order among what is free
	name   string  // of the change, to be compared byte by byte ([natural])
	after  []*half // some more than once
	group  *group
	other  *half // of a replacement
	step   int   // its place in the plan
	listed int   // its change's
}

// order turns changes into a plan. docs/ordering.md draws the rules:
//
//   - what is needed is made before what needs it, and is removed, changed or made again after what needed it is removed;
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
	assemble(p, sorted, len(halves))
	deleteByGroup(p, host)
	return p, nil
}

func split(changes map[ID]*Change) []*half {
	rank := map[string]int{}
	for i, k := range kinds {
		rank[k.Name] = i
	}
	rank["resolv"] = rank["hosts"]
	store := make([]half, 0, 2*len(changes))
	out := make([]*half, 0, cap(store))
	for _, c := range changes {
		name := natural(c.ID.Name)
		add := func(remove bool, ops []kernel.Op) *half {
			store = append(store, half{change: c, remove: remove, ops: ops, rank: rank[c.ID.Kind], name: name})
			h := &store[len(store)-1]
			h.unit = unitOf(h)
			out = append(out, h)
			return h
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
			gone, made := add(true, c.Have.Delete()), add(false, c.Want.Create())
			gone.other, made.other = made, gone
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
	n := cmp.Compare(a.rank, b.rank)
	if n == 0 {
		n = cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.change.ID.Kind, b.change.ID.Kind))
	}
	if a.remove {
		return -n
	}
	return n
}

// unitOf: rules of one iptables table are one transaction.
func unitOf(h *half) string {
	ops := h.ops
	if _, ok := first(ops).(kernel.FlowsDelete); ok {
		ops = ops[1:]
	}
	rule, ok := first(ops).(kernel.Iptables)
	if !ok {
		return ""
	}
	verb := "make"
	if h.remove {
		verb = "remove"
	}
	return fmt.Sprintf("%s %s %s", verb, rule.Family, rule.Table)
}

// link draws the edges.
func link(halves []*half) {
	makes, removes := make(map[ID]*half, len(halves)), map[ID]*half{}
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
	// The end of a veth that another one carries stands once that is made.
	for id, h := range carriers(halves) {
		if end := makes[id]; end != nil {
			end.after = append(end.after, h)
		} else {
			makes[id] = h
		}
	}
	for _, h := range halves {
		if h.remove {
			// Dependents go first, also where what they need stays: an entry in a VLAN goes before its port leaves that VLAN.
			for _, need := range h.change.Have.Needs() {
				if n := cmp.Or(removes[need], makes[need]); n != nil && n != h {
					n.after = append(n.after, h)
				}
			}
			continue
		}
		for _, need := range h.change.Want.Needs() {
			if n := makes[need]; n != nil && n != h {
				h.after = append(h.after, n)
			}
		}
		if r, ok := h.change.Have.(ruleset); ok {
			// A rule that leads elsewhere now no longer needs what goes.
			for _, need := range r.needs {
				if n := removes[need]; n != nil && n != h {
					n.after = append(n.after, h)
				}
			}
		}
		if r := removes[h.change.ID]; r != nil {
			h.after = append(h.after, r)
		}
		if c, ok := h.change.Want.(claimant); ok {
			for _, name := range c.Claims() {
				h.after = append(h.after, claims[name]...)
			}
		}
	}
	defaultsFirst(halves)
	removePairsOnce(halves, removes)
}

// defaultsFirst: what the interfaces of a node begin with (net.ipv4.conf.default…) is set before there are any.
func defaultsFirst(halves []*half) {
	defaults := map[string][]*half{} // by namespace
	for _, h := range halves {
		if s, ok := h.change.Want.(sysctl); ok && !h.remove && ofInterface(s.key, "default") {
			defaults[s.key.Netns] = append(defaults[s.key.Netns], h)
		}
	}
	for _, h := range halves {
		if h.remove || h.change.Action == Update {
			continue
		}
		for _, netns := range bornIn(h.change.Want) {
			h.after = append(h.after, defaults[netns]...)
		}
	}
}

// bornIn are the namespaces that the creation of a resource brings interfaces into.
func bornIn(r Resource) []string {
	switch r := r.(type) {
	case veth:
		return []string{r.own.Netns, r.other.Netns}
	case device:
		return []string{r.own.Netns}
	case card:
		return []string{r.own.Netns}
	case bridge:
		return []string{r.spec.Netns}
	}
	return nil
}

// carriers is the creations that make another end, too, by that end.
func carriers(halves []*half) map[ID]*half {
	out := map[ID]*half{}
	for _, h := range halves {
		v, ok := h.change.Want.(veth)
		if ok && !h.remove && h.change.Action != Update && v.carrier == v.id {
			out[parseID(v.peer)] = h
		}
	}
	return out
}

// removePairsOnce: the removal of one end of a veth takes the other along, so of two removals the
// second has no op of its own; what must precede the second precedes the first.
func removePairsOnce(halves []*half, removes map[ID]*half) {
	seen := map[*half]bool{}
	for _, h := range halves {
		v, ok := h.change.Have.(veth)
		if !ok || !h.remove {
			continue
		}
		seen[h] = true
		first := removes[parseID(v.peer)]
		if first == nil || first == h || !seen[first] || first.change.Have.(veth).peer != v.id.String() {
			continue
		}
		h.ops = nil
		first.after = append(first.after, h.after...)
		h.after = []*half{first}
	}
}

// assemble writes the sorted groups, of so many halves, down as steps; a change is listed where its last half is.
func assemble(p *Plan, groups []*group, halves int) {
	sorted := make([]*half, 0, halves)
	for _, g := range groups {
		for _, h := range g.halves {
			h.step = len(sorted)
			sorted = append(sorted, h)
		}
	}
	p.Changes, p.Steps = make([]Change, 0, halves), make([]Step, 0, halves)
	for _, h := range sorted {
		if h.other != nil && h.other.step > h.step {
			continue
		}
		h.listed = len(p.Changes)
		if h.other != nil {
			h.other.listed = h.listed
		}
		p.Changes = append(p.Changes, *h.change)
	}
	for _, h := range sorted {
		s := Step{Change: h.listed, Ops: h.ops, Unit: h.unit, Shared: isShared(h.change)}
		if len(h.after) > 0 {
			s.After = make([]int, len(h.after))
			for i, a := range h.after {
				s.After[i] = a.step
			}
			slices.Sort(s.After)
			s.After = slices.Compact(s.After)
		}
		p.Steps = append(p.Steps, s)
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
