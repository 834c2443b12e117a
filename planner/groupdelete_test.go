package planner_test

import (
	"slices"
	"testing"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

// All links of the group go, and another one comes: which is first is open, so no message may go by the group.
func TestNoGroupIsDeletedThatALinkJoins(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nbridges: {b1: {subnet: none}}\nnamespaces: {a: {bridges: [b1]}}\n")
	l.up()
	byGroup := func(yaml string) bool {
		l.load(yaml)
		p := l.plan()
		return slices.ContainsFunc(p.Steps, func(s planner.Step) bool {
			return slices.ContainsFunc(s.Ops, func(op kernel.Op) bool { _, ok := op.(kernel.GroupDelete); return ok })
		})
	}
	if !byGroup("name: p\nnamespaces: {a: {}}\n") {
		t.Error("what all goes is not removed by its group")
	}
	if byGroup("name: p\nbridges: {b2: {subnet: none}}\nnamespaces: {a: {}}\n") {
		t.Error("the group is removed while a link joins it")
	}
}
