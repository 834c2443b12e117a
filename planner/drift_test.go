package planner_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
)

// notEdited are attributes of which no edit can make a difference, or none of the network's, each with the reason.
var notEdited = map[string]string{
	"address.interface":           "is in the ID: on another interface it is another address",
	"remote.interface":            "is in the ID",
	"peer.interface":              "is in the ID",
	"peer.public_key":             "is in the ID",
	"ruleset.table":               "is in the ID",
	"fdb.mac":                     "is in the ID",
	"fdb.vlan":                    "is in the ID",
	"file.path":                   "is in the ID",
	"netns.name":                  "is in the ID",
	"wireGuard.interface":         "is in the ID",
	"device.netns":                "is in the ID: NODE:INTERFACE, of the host's own too",
	"netns.mark":                  "a namespace that has lost it is somebody else's, and refused: TestForeign",
	"card.card":                   "is the record's, which is topo's own file",
	"card.interface":              "is the record's",
	"card.netns":                  "is the record's",
	"card.is there":               "a card that is gone is nobody's to make",
	"uplink.bridge":               "is the record's",
	"key.key":                     "a key that is broken or lost can't be made as it was",
	"policyRule.other conditions": "no op makes such a rule",
	"image.digest":                "is of topo's own store",
	"stray.rule":                  "has no wanted side",
	"orphan.table":                "has no wanted side",
	"orphan.chain":                "has no wanted side",
	"volume.name":                 "one of another name is another volume",
	"volume.label x":              "is of topo's own file",
	"supervisor.state":            "has one value",
	"veth.interface":              "a link of another name is another one, and a port of another name is carried: its other end is replaced",
	"veth.netns":                  "as its interface",
}

// TestEveryAttributeHasAnEdit: for each attribute that is compared, topogen knows how somebody edits it behind topo's back. A plan
// names that attribute then, and up repairs it. An attribute without an edit is one of which nobody knows that it is repaired.
func TestEveryAttributeHasAnEdit(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	cards(t, l.m)
	l.load(string(topogen.Everything))
	l.up()
	compared := map[string]bool{}
	for name, attrs := range planner.Compared() {
		for a := range attrs {
			compared[name+"."+a] = true
		}
	}
	p, err := planner.Build(planner.Options{Project: "p", Snapshot: empty(t), Topology: l.options().Topology})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Changes { // parameters of links have names of their own
		for _, name := range planner.AttributesOf(c.Want) {
			compared[name] = true
		}
	}
	edited := map[string]bool{}
	edits := topogen.Different(topogen.Edits(l.options().Snapshot, "p"))
	for _, e := range edits {
		differ := l.edit(e)
		if moved := slices.DeleteFunc(slices.Clone(differ), func(name string) bool { return !moves(name) }); len(moved) > 0 {
			differ = moved
		}
		for _, name := range differ {
			edited[name] = true
		}
	}
	for name := range compared {
		switch why := notEdited[name]; {
		case edited[name] && why != "":
			t.Errorf("%s has an edit, and is excused: it %s", name, why)
		case !edited[name] && why == "" && !strings.HasPrefix(name, "process."): // as topo started it; that it ends is TestProcessEnds
			t.Errorf("%s has no edit in topogen: nobody knows whether it is repaired", name)
		}
	}
	for name := range notEdited {
		if !compared[name] {
			t.Errorf("%s is excused, and not compared", name)
		}
	}
	t.Logf("figure: edits of attributes: %d attributes, each edited and repaired, by %d edits", len(edited), len(edits))
}

// moves: with such an attribute others are those of another thing, and are no edits of their own.
func moves(name string) bool {
	_, attr, _ := strings.Cut(name, ".")
	return slices.Contains([]string{"interface", "netns", "kind", "bridge", "parent", "qdisc", "port of", "master"}, attr)
}

// edit makes an edit and has it repaired. It gives the attributes in which what the plan names differs.
func (l *lab) edit(e topogen.Edit) (differ []string) {
	l.t.Helper()
	if err := l.m.Do(context.Background(), e.Ops); err != nil {
		l.t.Fatalf("%s: %v", e.Name, err)
	}
	p := l.plan()
	if p.Empty() || e.ID != "" && !slices.ContainsFunc(p.Changes, func(c planner.Change) bool { return c.ID.String() == e.ID }) || e.Exact && len(p.Changes) != 1 {
		l.t.Errorf("%s: the plan should name %s (nothing else: %t):\n%s", e.Name, e.ID, e.Exact, strings.Join(lines(p), "\n"))
	}
	for _, c := range p.Changes {
		if c.Have != nil && c.Want != nil {
			differ = append(differ, planner.Differing(c)...)
		}
	}
	if err := executor.Run(context.Background(), p, l.m, executor.Options{}).Err(); err != nil {
		l.t.Fatalf("%s: %v", e.Name, err)
	}
	if err := l.m.Do(context.Background(), e.Undo); err != nil {
		l.t.Fatal(err)
	}
	if rest := lines(l.plan()); len(rest) > 0 {
		l.t.Fatalf("%s: up leaves %q", e.Name, rest)
	}
	return differ
}

// empty is a machine with nothing of topo's.
func empty(t *testing.T) kernel.Snapshot {
	t.Helper()
	m := fake.New()
	cards(t, m)
	s, err := m.Snapshot(context.Background(), kernel.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cards are the host's em1 and em2, with what is at the other ends of their wires.
func cards(t *testing.T, m *fake.Machine) {
	t.Helper()
	ops := []kernel.Op{
		kernel.VethAdd{A: kernel.VethEnd{Name: "em1", Up: true}, B: kernel.VethEnd{Name: "wire-em1", Up: true}},
		kernel.VethAdd{A: kernel.VethEnd{Name: "em2", Up: true}, B: kernel.VethEnd{Name: "wire-em2", Up: true}},
		kernel.AddrAdd{Link: "em1", Prefix: netip.MustParsePrefix("192.0.2.1/24")},
	}
	if err := m.Do(context.Background(), ops); err != nil {
		t.Fatal(err)
	}
}
