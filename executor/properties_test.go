package executor_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
)

// The properties that topo promises, on the strict machine in memory, by number. Each holds
// for any topology and any change of one; `go test -rapid.checks=N` draws more.

func drawOptions(t *rapid.T) topogen.Options {
	return topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: rapid.Bool().Draw(t, "stated"), Card: "eth0"}
}

// 1: after up the plan is empty, and a second up edits nothing. 3: down leaves what was there before.
func TestUpIsIdempotentAndDownLeavesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		l.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		before := m.String()
		f := topogen.Draw(t, project, drawOptions(t))
		l.up(f)
		if p := l.plan(f); !p.Empty() {
			t.Fatalf("the plan after up:\n%s\n%s", text(p), f.YAML())
		}
		m.Restart()
		up := m.String()
		l.up(f)
		if ops := m.Done(); len(ops) > 0 {
			t.Fatalf("a second up carried out %v", ops)
		}
		l.same("machine after the second up", m.String(), up)
		l.down()
		if ops := m.Absent(); len(ops) > 0 {
			t.Fatalf("down deleted what was not there: %v", ops)
		}
		l.same("machine after down", m.String(), before)
		if p := l.plan(nil); !p.Empty() {
			t.Fatalf("the plan after down:\n%s", text(p))
		}
	})
}

// 4: up from a to b ends as up of b; what a and b share is left alone.
func TestChangeEndsAsIfMadeAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true, Card: "eth0"}
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		wantB := anew.wanted(anew.up(b))
		l, m := newLab(t)
		l.workers = rapid.IntRange(1, 4).Draw(t, "workers")
		before := m.String()
		wantA := l.wanted(l.up(a))
		m.Restart()
		p := l.up(b)
		if ops := m.Absent(); len(ops) > 0 {
			t.Fatalf("deleted what was not there: %v\n%s\n%s", ops, text(p), yaml(a))
		}
		l.equal("machine after a and b", m.String(), anewMachine.String())
		shared := alike(wantA, wantB)
		for _, c := range p.Changes {
			port := planner.ID{Kind: "port", Name: c.ID.Name}
			if c.ID.Kind == "link" && !shared(port) && string(c.Reason) == port.String()+" is replaced" {
				continue // the other end of its pair went to a bridge of another namespace
			}
			if shared(c.ID) {
				t.Fatalf("%s is the same in both files and gets changed:\n%s\n%s\n%s", c.ID, text(p), a.YAML(), b.YAML())
			}
		}
		l.down()
		l.same("machine after down", m.String(), before)
	})
}

// wanted is what an up wanted: attributes by ID, and the resources that it made by an op of their own.
type wanted struct {
	attrs planner.Applied
	made  map[string]planner.Resource
}

func (l *lab) wanted(first *planner.Plan) wanted {
	w := wanted{l.applied, map[string]planner.Resource{}}
	for _, c := range first.Changes {
		w.made[c.ID.String()] = c.Want
	}
	return w
}

// alike reports for each resource whether two files want the same of it, and of all that it needs.
func alike(a, b wanted) func(planner.ID) bool {
	known := map[string]bool{}
	var same func(id string) bool
	same = func(id string) bool {
		if answer, ok := known[id]; ok {
			return answer
		}
		known[id] = false // what needs itself is shared with nobody
		x, inA := a.attrs[id]
		y, inB := b.attrs[id]
		if !inA || !inB || x != y {
			return false
		}
		for _, r := range []planner.Resource{a.made[id], b.made[id]} {
			if r == nil {
				continue // made together with another one
			}
			for _, need := range r.Needs() {
				_, inA := a.attrs[need.String()]
				_, inB := b.attrs[need.String()]
				if (inA || inB) && !same(need.String()) {
					return false
				}
			}
		}
		known[id] = true
		return true
	}
	return func(id planner.ID) bool { return same(id.String()) }
}

// 2: killed at any point, up gets to the same end, and down to the beginning.
func TestCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true, Card: "eth0"}
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		anew.up(b)

		l, m := newLab(t)
		before := m.String()
		var p *planner.Plan
		var err error
		switch rapid.SampledFrom([]string{"up", "change", "down"}).Draw(t, "while") {
		case "up":
			m.Crash(rapid.IntRange(0, 60).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			p, err = l.run(b)
		case "change":
			l.up(a)
			m.Restart()
			m.Crash(rapid.IntRange(0, 30).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			p, err = l.run(b)
		case "down":
			l.up(a)
			m.Restart()
			m.Crash(rapid.IntRange(0, 30).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			p, err = l.run(nil)
		}
		if err != nil && !isCrash(err) {
			t.Fatalf("%v\n%s", err, text(p))
		}
		m.Restart()
		crashed := m.String()
		if rapid.Bool().Draw(t, "up again") {
			if again, err := l.run(b); err != nil {
				t.Fatalf("up after the crash: %v\n%s\ncrashed:\n%s\nmachine:\n%s", err, text(again), text(p), crashed)
			}
			l.equal("machine after the crash and up", m.String(), anewMachine.String())
		}
		if again, err := l.run(nil); err != nil {
			t.Fatalf("down after the crash: %v\n%s\ncrashed:\n%s\nmachine:\n%s", err, text(again), text(p), crashed)
		}
		l.same("machine after the crash and down", m.String(), before)
	})
}

// 7: any edit may be refused. The report is true, and the next up gets there.
func TestFailure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{Processes: rapid.Bool().Draw(t, "processes"), Stated: true, Card: "eth0"}
		a := topogen.Draw(t, project, o)
		b := topogen.Change(t, a, o)
		anew, anewMachine := newLab(t)
		anew.up(b)

		l, m := newLab(t)
		before := m.String()
		l.up(a)
		m.Restart()
		errno := rapid.SampledFrom([]syscall.Errno{syscall.EBUSY, syscall.ENOBUFS, syscall.EEXIST, syscall.EINTR, syscall.ENOSPC}).Draw(t, "errno")
		m.Fail(rapid.IntRange(1, 30).Draw(t, "op"), errno)
		opts, _, err := l.options(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := planner.Build(opts)
		if err != nil {
			t.Fatal(err)
		}
		r := executor.Run(t.Context(), p, m, executor.Options{Workers: rapid.IntRange(1, 4).Draw(t, "workers")})
		truthful(t, p, r, m.Done())
		m.Restart()
		l.up(b)
		l.equal("machine after the failure and up", m.String(), anewMachine.String())
		l.down()
		l.same("machine after down", m.String(), before)
	})
}

// Whatever is done to the files of a project, and however it ends, no volume of it is lost, or is another one than it was:
// only down -v removes any.
func TestNoVolumeIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		l.volumesStay = true
		before := m.String()
		o := topogen.Options{Processes: true, Stated: true}
		f := topogen.Draw(t, project, o)
		made := map[string]kernel.Volume{}
		look := func() {
			t.Helper()
			s, err := l.m.Snapshot(t.Context(), planner.Query(nil, project))
			if err != nil {
				t.Fatal(err)
			}
			there := map[string]kernel.Volume{}
			for _, v := range s.Volumes {
				v.Users = nil
				there[v.Name] = v
			}
			for name, v := range made {
				if diff := cmp.Diff(v, there[name]); diff != "" {
					t.Fatalf("volume %s (-made +there):\n%s\n%s", name, diff, f.YAML())
				}
			}
			made = there
		}
		for range rapid.IntRange(1, 5).Draw(t, "runs") {
			switch rapid.SampledFrom([]string{"up", "crash", "failure"}).Draw(t, "end") {
			case "crash":
				m.Crash(rapid.IntRange(0, 60).Draw(t, "after"), rapid.Bool().Draw(t, "half"))
			case "failure":
				m.Fail(rapid.IntRange(1, 60).Draw(t, "op"), syscall.ENOSPC)
			}
			target := f
			if rapid.Bool().Draw(t, "down") {
				target = nil
			}
			_, _ = l.run(target) // it may fail, as it was asked to
			m.Restart()
			look()
			f = topogen.Change(t, f, o)
		}
		l.down()
		look()
		l.volumesStay = false
		l.down()
		l.same("machine after down -v", m.String(), before)
	})
}

// truthful checks a report against the ops that were carried out.
func truthful(t *rapid.T, p *planner.Plan, r *executor.Report, done []kernel.Op) {
	carried := map[string]int{}
	for _, op := range done {
		carried[op.String()]++
	}
	for i, result := range r.Results {
		ops, all := 0, true
		for _, s := range p.Steps {
			if s.Change != i {
				continue
			}
			for _, op := range s.Ops {
				ops++
				all = all && carried[op.String()] > 0
			}
			if len(s.Ops) == 0 { // made by those that it comes after
				for _, a := range s.After {
					all = all && r.Results[p.Steps[a].Change].State == executor.Done
				}
			}
		}
		if ops > 0 && (result.State == executor.Done) != all {
			t.Fatalf("%s is reported %s; all its ops were carried out: %t\n%s", p.Changes[i].ID, result.State, all, text(p))
		}
		if result.State == executor.Skipped && r.Results[result.Cause].State != executor.Failed {
			t.Fatalf("%s was skipped because of %s, which is %s", p.Changes[i].ID, p.Changes[result.Cause].ID, r.Results[result.Cause].State)
		}
	}
}

// 6: one edit by somebody else: the plan names what was edited, where nothing follows from it nothing
// else, and up repairs it.
func TestForeignEdit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		f := topogen.Draw(t, project, drawOptions(t))
		l.up(f)
		up := m.String()
		o, _, err := l.options(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		edits := topogen.Edits(o.Snapshot, project)
		if len(edits) == 0 {
			t.Skip("nothing to edit")
		}
		edit := rapid.SampledFrom(edits).Draw(t, "edit")
		if err := m.Foreign(edit.Ops...); err != nil {
			t.Fatalf("%s: %v", edit.Name, err)
		}
		l.repairs(f, edit)
		l.equal("machine after "+edit.Name+" and up", m.String(), up)
	})
}

// repairs expects a plan to name an edit, and up to undo it.
func (l *lab) repairs(f *topogen.File, edit topogen.Edit) {
	l.Helper()
	p := l.plan(f)
	named := slices.ContainsFunc(p.Changes, func(c planner.Change) bool { return c.ID.String() == edit.ID })
	if p.Empty() || edit.ID != "" && !named || edit.Exact && len(p.Changes) != 1 {
		l.Fatalf("%s: the plan should name %s (nothing else: %t):\n%s\n%s", edit.Name, edit.ID, edit.Exact, text(p), yaml(f))
	}
	if p, err := l.run(f); err != nil {
		l.Fatalf("%s: %v\n%s\n%s", edit.Name, err, text(p), yaml(f))
	}
	if err := l.m.Do(context.Background(), edit.Undo); err != nil {
		l.Fatalf("%s: %v", edit.Name, err)
	}
}

// 6, for processes: one that ends or was stopped is started again, unless its policy does so; a supervisor that dies
// is replaced.
func TestProcessEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		f := topogen.Draw(t, project, topogen.Options{Processes: true, Stated: true})
		l.up(f)
		up := m.String()
		o, _, err := l.options(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Snapshot.Processes) == 0 {
			t.Skip("no process")
		}
		p := rapid.SampledFrom(o.Snapshot.Processes).Draw(t, "of").Process
		edit := topogen.Edit{ID: "process/" + p.Node}
		switch event := rapid.SampledFrom([]string{"end", "stop", "death of the supervisor"}).Draw(t, "event"); {
		case event == "stop":
			edit.Name = "stop of " + p.Node
			if err := m.Foreign(kernel.ProcessHalt{Project: project, Node: p.Node}); err != nil {
				t.Fatal(err)
			}
		case event != "end":
			edit = topogen.Edit{Name: event, ID: "supervisor/" + project}
			m.KillSupervisor(project)
		case p.Restart.Again(false, 0):
			m.Exit(project, p.Node, 1)
			if plan := l.plan(f); !plan.Empty() {
				t.Fatalf("a process that is being restarted is in the plan:\n%s", text(plan))
			}
			l.down()
			return
		default:
			m.Exit(project, p.Node, 1)
			edit.Name = "end of " + p.Node
		}
		l.repairs(f, edit)
		l.equal("machine after the "+edit.Name+" and up", m.String(), up)
		l.down()
	})
}

// lookAlikes is other people's things that look like topo's.
var lookAlikes = map[string][]kernel.Op{
	"a namespace with the prefix":            {kernel.NetnsAdd{Name: "p-foreign"}},
	"a namespace of another project":         {kernel.NetnsAdd{Name: "p-other", Alias: "topo:q:netns/other", Group: kernel.Group(project)}},
	"a bridge with the prefix":               {kernel.BridgeAdd{Name: "p-foreign", MTU: 1500}},
	"a link in the group, of somebody":       {kernel.BridgeAdd{Name: "grouped", Group: kernel.Group(project)}, kernel.LinkSet{Name: "grouped", Alias: ptr("mine")}},
	"a link in the group, of another one":    {kernel.BridgeAdd{Name: "q-b1", Group: kernel.Group(project)}, kernel.LinkSet{Name: "q-b1", Alias: ptr("topo:q:bridge/b1")}},
	"a bridge with a subnet":                 {kernel.BridgeAdd{Name: "br7", MTU: 1500}, kernel.LinkSet{Name: "br7", Up: ptr(true)}, kernel.AddrAdd{Link: "br7", Prefix: netip.MustParsePrefix("10.77.0.1/24")}},
	"a chain like topo's":                    {rule("filter", "-N TOPO-FOREIGN"), rule("filter", "-A TOPO-FOREIGN -j ACCEPT")},
	"a rule of another project":              {rule("filter", "-A FORWARD -i q-b1 -m comment --comment topo:q:isolation/b1 -j ACCEPT")},
	"a rule for a bridge of topo":            {rule("filter", "-A FORWARD -i p-b1 -j ACCEPT"), rule("nat", "-A POSTROUTING -s 10.20.1.0/24 -j MASQUERADE")},
	"a policy":                               {rule("filter", "-P FORWARD DROP")},
	"hosts files of a namespace of somebody": {kernel.FileWrite{Path: "/etc/netns/p-foreign/hosts", Content: kernel.Text{"127.0.0.1 localhost\n"}}},
	"a hosts file of another project":        {kernel.FileWrite{Path: "/etc/netns/p-other/hosts", Content: kernel.Text{"# topo:q:hosts/other\n"}}},
	"forwarding":                             {kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Key: "net.ipv4.ip_forward"}, Value: "1"}},
	"forwarding of one link":                 {kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Key: "net/ipv4/conf/eth0/forwarding"}, Value: "1"}},
	// A user's own rules outlive the last project, with the jump to them.
	"a user's own chain": {
		rule("filter", "-N TOPO-USER"), rule("filter", "-A TOPO-USER -s 198.51.100.0/24 -j DROP"),
		rule("filter", "-I FORWARD -m comment --comment topo:@host:firewall/ipv4/filter -j TOPO-USER"),
	},
}

func ptr[T any](v T) *T { return &v }

// 5: what looks like topo's and is not stays as it is, through up, change and down.
func TestLookAlikesStay(t *testing.T) {
	names := slices.Sorted(maps.Keys(lookAlikes))
	rapid.Check(t, func(t *rapid.T) {
		l, m := newLab(t)
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "look-alikes") {
			if err := m.Foreign(lookAlikes[name]...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		before := m.String()
		o := drawOptions(t)
		o.Card = "" // it is to be moved
		f := topogen.Draw(t, project, o)
		stays := func(when string) {
			t.Helper()
			now := strings.Split(m.String(), "\n")
			for _, line := range strings.Split(before, "\n") {
				// accept_redirects goes with forwarding, which is put back by down.
				if !slices.Contains(now, line) && !strings.Contains(line, "sysctl") {
					t.Fatalf("after %s this is missing: %s\n%s", when, line, m.String())
				}
			}
		}
		l.up(f)
		stays("up")
		l.up(topogen.Change(t, f, o))
		stays("a change")
		l.down()
		l.same("machine after down", m.String(), before)
	})
}

// 5: what stands in the way is refused, and nothing is done.
func TestInTheWayIsRefused(t *testing.T) {
	file := &topogen.File{
		Name:    project,
		Bridges: []topogen.Bridge{{Name: "b1", Subnet: 1, V4: true}},
		Nodes: []topogen.Node{{
			Name: "n1", Host: 1, Attached: []topogen.Attachment{{Bridge: "b1", Stated: true}},
			Ports: []topogen.Port{{Host: 8080, Node: 80, Protocol: "tcp"}},
		}},
		Links: []topogen.Link{{Number: 1, Ends: [2]topogen.End{{Node: "host"}, {Node: "n1"}}}},
	}
	mac := "02:00:00:00:00:01"
	for name, ops := range map[string][]kernel.Op{
		"bridge p-b1":              {kernel.BridgeAdd{Name: "p-b1", MAC: mac}},
		"bridge of another":        {kernel.BridgeAdd{Name: "p-b1", MAC: mac, Group: kernel.Group(project)}, kernel.LinkSet{Name: "p-b1", Alias: ptr("topo:q:bridge/b1")}},
		"namespace p-n1":           {kernel.NetnsAdd{Name: "p-n1"}},
		"namespace of another":     {kernel.NetnsAdd{Name: "p-n1", Alias: "topo:q:netns/n1", Group: kernel.Group(project)}},
		"link lk1a":                {kernel.BridgeAdd{Name: "lk1a", MAC: mac}},
		"hosts file":               {kernel.FileWrite{Path: "/etc/netns/p-n1/hosts", Content: kernel.Text{"127.0.0.1 localhost\n"}}},
		"hosts file of another":    {kernel.FileWrite{Path: "/etc/netns/p-n1/hosts", Content: kernel.Text{"# topo:q:hosts/n1\n"}}},
		"a subnet that overlaps":   {kernel.BridgeAdd{Name: "br7", MAC: mac}, kernel.LinkSet{Name: "br7", Up: ptr(true)}, kernel.AddrAdd{Link: "br7", Prefix: netip.MustParsePrefix("10.20.0.1/16")}},
		"a listener on 8080":       nil,
		"a published port of 8080": {rule("nat", "-N TOPO-D-00000001"), rule("nat", "-A TOPO-D-00000001 -p tcp --dport 8080 -m comment --comment topo:q:publish/x:8080/tcp -j DNAT --to-destination 10.9.0.2:80")},
	} {
		t.Run(name, func(t *testing.T) {
			l, m := newLab(t)
			if err := m.Foreign(ops...); err != nil {
				t.Fatal(err)
			}
			if ops == nil {
				m.Listen(kernel.Listener{Protocol: "tcp", Addr: netip.MustParseAddrPort("0.0.0.0:8080"), PID: 7, Command: "nginx"})
			}
			before := m.String()
			p, err := l.run(file)
			overlaps := err != nil && strings.Contains(err.Error(), "overlaps") // found when subnets are allocated
			if conflict := new(planner.ConflictError); !errors.As(err, &conflict) && !overlaps {
				t.Errorf("error %v, want a conflict\n%s", err, text(p))
			}
			l.same("machine after the refusal", m.String(), before)
		})
	}
}
