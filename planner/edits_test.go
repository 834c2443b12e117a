package planner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

// edit is a change of the file, or one of somebody else's on the machine, and the plan that it makes necessary.
type edit struct {
	replace []string // in the file, as strings.NewReplacer takes them
	foreign []kernel.Op
	qdisc   string   // that somebody puts on b's x
	want    []string // the plan's lines; of one that ends with an ellipsis, the beginning
	ops     []string // of the first step, where they matter
}

// testEdits: the plan has every step that each edit makes necessary, and no other; up takes them all, nothing is deleted that is not
// there, and down leaves the machine as it was.
func testEdits(t *testing.T, yaml string, begin func(t *testing.T) *lab, edits map[string]edit) {
	t.Helper()
	for name, e := range edits {
		t.Run(name, func(t *testing.T) {
			before := fake.New().String()
			l := begin(t)
			if err := l.m.Foreign(e.foreign...); err != nil {
				t.Fatal(err)
			}
			if err := l.m.Settle(t.Context(), kernel.Query{Project: "p"}); err != nil {
				t.Fatal(err)
			}
			if e.qdisc != "" {
				l.m.SetQdisc("p-b", "x", e.qdisc)
			}
			l.load(strings.NewReplacer(e.replace...).Replace(yaml))
			p := l.plan()
			got := lines(p)
			for i := range min(len(got), len(e.want)) {
				if start, cut := strings.CutSuffix(e.want[i], "…"); cut && strings.HasPrefix(got[i], start) {
					got[i] = e.want[i]
				}
			}
			if diff := cmp.Diff(e.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			var ops []string
			for _, op := range append(p.Steps, planner.Step{})[0].Ops {
				ops = append(ops, op.String())
			}
			if diff := cmp.Diff(e.ops, ops); e.ops != nil && diff != "" {
				t.Errorf("the first step (-want +got):\n%s", diff)
			}
			l.up()
			if again := lines(l.plan()); len(again) > 0 {
				t.Errorf("then there is %q", again)
			}
			if absent := l.m.Absent(); len(absent) > 0 {
				t.Errorf("deleted what was not there: %v", absent)
			}
			l.top = nil
			l.up()
			if diff := cmp.Diff(before, l.m.String()); diff != "" {
				t.Errorf("the machine is not what it was (-before +after):\n%s", diff)
			}
		})
	}
}
