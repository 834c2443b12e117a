package planner

import (
	"testing"

	"topo/internal/kernel"
)

func TestLasting(t *testing.T) {
	t.Parallel()
	rule := kernel.Iptables{Family: kernel.IPv4, Table: "nat", Args: "-N TOPO-SNAT"}
	link := kernel.LinkDelete{Name: "app"}
	chain, port := Change{Action: Update, Have: firewall{}, Want: firewall{}}, Change{Action: Delete, Have: bridge{}}
	over := Change{Action: Update, Have: process{state: "exited 1"}, Want: process{}}
	for _, c := range []struct {
		name    string
		changes []Change
		steps   []Step
		want    bool
	}{
		{"nothing", nil, nil, false},
		{"rules", []Change{chain}, []Step{{Change: 0, Ops: []kernel.Op{rule, rule}}}, true},
		{"a link that goes in its own time", []Change{port}, []Step{{Change: 0, Ops: []kernel.Op{link}}}, false},
		{"both", []Change{chain, port}, []Step{{Change: 0, Ops: []kernel.Op{rule}}, {Change: 1, Ops: []kernel.Op{link}}}, false},
		{"both in one change", []Change{chain}, []Step{{Change: 0, Ops: []kernel.Op{rule}}, {Change: 0, Ops: []kernel.Op{link}}}, false},
		{"no edit", []Change{port}, nil, false},
		{"a process that has ended", []Change{over}, []Step{{Change: 0, Ops: []kernel.Op{link}}}, true},
		{"that, and rules", []Change{over, chain}, []Step{{Change: 0, Ops: []kernel.Op{link}}, {Change: 1, Ops: []kernel.Op{rule}}}, true},
	} {
		if got := (&Plan{Changes: c.changes, Steps: c.steps}).Lasting(); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
