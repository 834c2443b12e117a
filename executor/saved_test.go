package executor_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
)

// values compares what things are, not how.
var values = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})}

var here = planner.Identity{ID: "m", Boot: "b", Namespace: "1"}

// save plans for a file, and returns the saved plan as it is read back, with the plan itself.
func (l *lab) save(f *topogen.File, nodes ...string) (*planner.Saved, *planner.Plan) {
	l.Helper()
	o, _, err := l.options(f, nil)
	if err != nil {
		l.Fatal(err)
	}
	o.Nodes = nodes
	p, err := planner.Build(o)
	if err != nil {
		l.Fatal(err)
	}
	saved, err := planner.Save(p, o, here, "v1")
	if err != nil {
		l.Fatal(err)
	}
	doc, err := saved.Encode()
	if err != nil {
		l.Fatal(err)
	}
	read, err := planner.LoadSaved(doc)
	if err != nil {
		l.Fatalf("%v\n%s", err, doc)
	}
	if d := cmp.Diff(o.Topology, read.Topology, values); d != "" {
		l.Fatalf("the topology that comes back (-saved +read):\n%s", d)
	}
	return read, p
}

// again plans for a saved plan on what is there now; the error is that of the check.
func (l *lab) again(saved *planner.Saved) (*planner.Plan, error) {
	l.Helper()
	o := saved.Options()
	s, err := l.m.Snapshot(context.Background(), planner.Query(o.Topology, o.Project))
	if err != nil {
		l.Fatal(err)
	}
	o.Snapshot, o.Applied = s, l.applied
	var p *planner.Plan
	if o.Topology, err = planner.Allocate(o.Topology, s); err == nil {
		p, err = planner.Build(o)
	}
	return p, saved.Check(p, o, err)
}

// A saved plan that is read back is the same plan, op by op, as long as nothing has changed; carried out, it is stale.
func TestSavedPlanIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		o := drawOptions(t)
		f := topogen.Draw(t, project, o)
		if rapid.Bool().Draw(t, "after another") {
			l.up(f)
			m.Restart()
			f = topogen.Change(t, f, o)
		}
		var nodes []string
		if rapid.Bool().Draw(t, "some nodes") {
			nodes = append(nodes, rapid.SampledFrom(f.Nodes).Draw(t, "node").Name)
		}
		saved, p := l.save(f, nodes...)
		before := m.String()
		again, err := l.again(saved)
		if err != nil {
			t.Fatalf("%v\n%s", err, f.YAML())
		}
		l.same("the plan that is made again", text(again), text(p))
		if d := cmp.Diff(p.Steps, again.Steps, values); d != "" {
			t.Fatalf("steps (-saved +again):\n%s", d)
		}
		l.same("machine after planning", m.String(), before)
		if nodes != nil {
			return
		}
		r := executor.Run(t.Context(), again, m, executor.Options{})
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		stale := new(planner.StaleError)
		if _, err := l.again(saved); !p.Empty() && !errors.As(err, &stale) {
			t.Fatalf("carried out once, again it gives %v", err)
		}
	})
}

// One foreign edit between the plan and its carrying out, of whatever the plan is about: it is stale, and names it.
func TestForeignEditMakesASavedPlanStale(t *testing.T) {
	edited, unread := map[string]int{}, 0
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		o := drawOptions(t)
		f := topogen.Draw(t, project, o)
		l.up(f)
		m.Restart()
		f = topogen.Change(t, f, o)
		saved, p := l.save(f)
		now, _, err := l.options(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		edits := topogen.Edits(now.Snapshot, project)
		if len(edits) == 0 {
			t.Skip("nothing to edit")
		}
		edit := rapid.SampledFrom(edits).Draw(t, "edit")
		if err := m.Foreign(edit.Ops...); err != nil {
			t.Fatalf("%s: %v", edit.Name, err)
		}
		before := m.String()
		_, err = l.again(saved)
		stale := new(planner.StaleError)
		if err == nil && goesAnyway(p, edit) {
			unread++
			return
		}
		if !errors.As(err, &stale) {
			t.Fatalf("%s: %v\n%s\n%s", edit.Name, err, text(p), f.YAML())
		}
		kind, _, _ := strings.Cut(edit.ID, "/")
		names := func(line string) bool {
			rest, ok := strings.CutPrefix(line, edit.ID)
			return ok && (rest == "" || rest[0] == ' ' || rest[0] == ':' || kind == "fdb" && rest[0] == '/') // read by VLAN, where its bridge is to filter them
		}
		if edit.ID != "" && stale.Cause == nil && !slices.ContainsFunc(stale.Changes, names) {
			t.Fatalf("%s: none of these names %s:\n%v\nplan:\n%s\n%s", edit.Name, edit.ID, stale, text(p), f.YAML())
		}
		l.same("machine after the check", m.String(), before)
		edited[kind]++
	})
	total := 0
	for _, n := range edited {
		total += n
	}
	t.Logf("figure: saved plans: %d foreign edits of %d kinds of objects between plan and up: 0 carried out, 0 not named; %d more were of what goes anyway", total, len(edited), unread)
}

// goesAnyway: what a port or a bridge was told of VLANs and MAC addresses goes, whatever it is, where the port leaves its bridge,
// or that is made anew or no longer filters VLANs; then it is not read.
func goesAnyway(p *planner.Plan, edit topogen.Edit) bool {
	kind, name, _ := strings.Cut(edit.ID, "/")
	return (kind == "fdb" || kind == "vlan" || strings.HasPrefix(edit.Name, "a VLAN of uplink/")) && slices.ContainsFunc(p.Changes, func(c planner.Change) bool {
		switch c.ID.Kind {
		case "port":
			return strings.HasPrefix(name+"/", c.ID.Name+"/") && (c.Action != planner.Update || strings.Contains(c.Detail(), "bridge "))
		case "bridge":
			return c.Action == planner.Delete || c.Action == planner.Replace || strings.Contains(c.Detail(), "vlan_filtering")
		}
		return false
	})
}

// A link or a namespace that was removed and made again alike is another one.
func TestMadeAgainAlikeIsNoticed(t *testing.T) {
	l, m := newLab(t)
	f := &topogen.File{Name: project, Bridges: []topogen.Bridge{{Name: "b1", Subnet: 1, V4: true}}, Nodes: []topogen.Node{{Name: "n1", Host: 1, Attached: []topogen.Attachment{{Bridge: "b1", Stated: true}}}}}
	l.up(f)
	down := f.Clone()
	down.Nodes[0].Attached[0].MTU = 1400
	saved, _ := l.save(down)
	if err := m.Foreign(kernel.NetnsDelete{Name: "p-n1"}); err != nil {
		t.Fatal(err)
	}
	l.up(f)
	_, err := l.again(saved)
	for _, line := range []string{"netns/n1 was removed and made again alike: cookie ", "link/n1:eth0 was removed and made again alike: ifindex ", "port/n1:eth0 was removed and made again alike: ifindex "} {
		if err == nil || !strings.Contains(err.Error(), "\n"+line) {
			t.Errorf("%v does not say %q", err, line)
		}
	}
}
