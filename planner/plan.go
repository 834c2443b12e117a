package planner

import "topo/internal/kernel"

// Action is what a change does, the rune that stands before it in a plan.
type Action string

// The actions.
const (
	Create  Action = "create"  // +
	Update  Action = "update"  // ~
	Replace Action = "replace" // ±
	Delete  Action = "delete"  // -
)

// Rune is the sign of the action in a printed plan.
func (a Action) Rune() rune {
	switch a {
	case Create:
		return '+'
	case Update:
		return '~'
	case Replace:
		return '±'
	default:
		return '-'
	}
}

// Reason says why a change is needed, in the words of the printed plan.
type Reason string

// The reasons. Replaced ones read "X is replaced".
const (
	Missing   Reason = "missing"
	Edited    Reason = "edited"
	Drifted   Reason = "changed outside topo"
	NotInFile Reason = "not in the file"
	// StoppedByTopo: a person stopped the process (topo stop, topo kill).
	StoppedByTopo Reason = "stopped by topo"
	// InactiveProfile: the file has the node, and none of its profiles is active.
	InactiveProfile Reason = "its profile is not active"
)

// Change is one difference between what is wanted and what is there.
type Change struct {
	Action Action
	ID     ID
	Have   Resource // nil for Create
	Want   Resource // nil for Delete
	Reason Reason
}

// Plan is a list of changes, in the order in which they are carried out, and the steps that do it.
type Plan struct {
	Project string
	// First: the host has nothing of the project yet.
	First bool
	// Warnings are no mistakes of the file, but what the machine may not bear.
	Warnings []string
	// Moves are the cards that become ports of bridges, by way of which the host is reached then, or go into nodes.
	Moves   []Move
	Changes []Change
	Steps   []Step

	wanted []Resource // all, whether or not there is a change of it
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 }

// Ended reports whether there are changes, all of them of processes that have ended: these don't come back by themselves.
func (p *Plan) Ended() bool {
	for _, c := range p.Changes {
		if e, ok := c.Have.(ended); !ok || !e.Ended() {
			return false
		}
	}
	return !p.Empty()
}

// Lasting reports whether there are changes, and none that the kernel may still make in its own time: processes that have ended don't
// come back by themselves, and neither do rules of iptables.
func (p *Plan) Lasting() bool {
	edits, rules := make([]int, len(p.Changes)), make([]int, len(p.Changes))
	for _, s := range p.Steps {
		for _, op := range s.Ops {
			edits[s.Change]++
			if _, ok := op.(kernel.Iptables); ok {
				rules[s.Change]++
			}
		}
	}
	for i, c := range p.Changes {
		if e, ok := c.Have.(ended); (!ok || !e.Ended()) && (edits[i] == 0 || rules[i] < edits[i]) {
			return false
		}
	}
	return !p.Empty()
}

// Step is edits that are carried out in a row. A change has one; a replacement may have two,
// the removal and the creation, so that others come between.
type Step struct {
	Change int // index in Plan.Changes
	Ops    []kernel.Op
	After  []int // indices of steps that must be done first; all less than the step's own
	// Unit names steps that are carried out as one: their ops go, in order, into one call of Do.
	// Rules of one iptables table are, and so become one transaction. Steps of a unit stand next to each other.
	Unit string
	// Shared: the step touches what all projects share (forwarding, built-in chains, the host's
	// addresses); the host lock is held until the last such step is done.
	Shared bool
}
