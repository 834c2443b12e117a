package planner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

const impairedYAML = `
name: p
bridges:
  app: {subnet: 10.1.0.0/24}
namespaces:
  a: {bridges: {app: {impair: {rate: 10mbit}}}}
  b:
links:
  - endpoints: [{node: a, interface: x}, {node: b, interface: x}]
    impair: {delay: 20ms, rate: 1gbit}
  - endpoints: [{node: b, interface: y, impair: {loss: 1%}}, {node: app, interface: port}]
    impair: {delay: 5ms}
`

// The plan has every step that an edit of an impairment, or somebody else's, makes necessary, and no other; up takes them all.
func TestImpairmentsChange(t *testing.T) {
	const slow = "limit 21000 delay 20ms"
	drop := func(link string) []kernel.Op { return []kernel.Op{kernel.QdiscDelete{Netns: "p-b", Link: link}} }
	testEdits(t, impairedYAML, func(t *testing.T) *lab { return on(t, impairedYAML) }, map[string]edit{
		"another delay, both ways": {
			replace: []string{"delay: 20ms", "delay: 30ms"},
			want: []string{
				"~ impair/a:x delay 20ms → 30ms, packets 21000 → 31000 edited",
				"~ impair/b:x delay 20ms → 30ms, packets 21000 → 31000 edited",
			},
			ops: []string{"tc -n p-a qdisc replace dev x root handle 7401: netem limit 31000 delay 30ms"},
		},
		"another rate": {
			replace: []string{"rate: 10mbit", "rate: 20mbit"},
			want:    []string{"~ impair/a:eth0 rate 10mbit → 20mbit, burst 6250 bytes → 12500 bytes, queue 125000 bytes → 250000 bytes edited"},
			ops:     []string{"tc -n p-a qdisc replace dev eth0 root handle 7402: tbf rate 2500000bps burst 12500 limit 250000"},
		},
		"no rate any more": {
			replace: []string{"delay: 20ms, rate: 1gbit", "delay: 20ms"},
			want: []string{
				"~ impair/a:x below tbf → none, rate 1gbit → none, burst 625000 bytes → none, queue 12500000 bytes → none edited",
				"~ impair/b:x below tbf → none, rate 1gbit → none, burst 625000 bytes → none, queue 12500000 bytes → none edited",
			},
			ops: []string{"tc -n p-a qdisc delete dev x parent 7401:1"},
		},
		"a rate besides": {
			replace: []string{"loss: 1%", "loss: 1%, rate: 8mbit, burst: 10k, limit: 100"},
			want:    []string{"~ impair/b:y below none → tbf, rate none → 8mbit, burst none → 10240 bytes, queue none → 151800 bytes edited"},
			ops:     []string{"tc -n p-b qdisc replace dev y parent 7401:1 handle 7402: tbf rate 1000000bps burst 10240 limit 151800"},
		},
		"nothing any more": {
			replace: []string{"{app: {impair: {rate: 10mbit}}}", "[app]"},
			want:    []string{"- impair/a:eth0 not in the file"},
			ops:     []string{"tc -n p-a qdisc delete dev eth0 root"},
		},
		"something else at one end": {
			replace: []string{"node: app, interface: port}", "node: app, interface: port, impair: {duplicate: 1% 50%}}"},
			want:    []string{"~ impair/host:port delay 5ms → 0s, duplicate 0% → 1% 50%, packets 6000 → 1000 edited"},
		},
		"a delay in the place of a rate": {
			replace: []string{"{rate: 10mbit}", "{delay: 1ms}"},
			want:    []string{"± impair/a:eth0 …"},
		},
		"taken away by hand": {
			foreign: drop("x"),
			want:    []string{"+ impair/b:x " + slow + " rate 1gbit missing"},
		},
		"changed by hand": {
			foreign: []kernel.Op{kernel.NetemSet{Netns: "p-b", Link: "x", Netem: kernel.Netem{Limit: 21000, Delay: 20_000_000, Loss: kernel.Loss{P: [5]kernel.Chance{kernel.ChanceOf(5)}}}}},
			want:    []string{"~ impair/b:x loss random 5% → none changed outside topo"},
		},
		"somebody else's in its place": {
			qdisc: "netem 8001:",
			want:  []string{"± impair/b:x …"},
		},
		"the link is replaced": {
			foreign: []kernel.Op{kernel.LinkDelete{Netns: "p-b", Name: "x"}},
			want: []string{
				"+ link/a:x veth to link/b:x missing",
				"+ impair/a:x " + slow + " rate 1gbit missing",
				"+ impair/b:x " + slow + " rate 1gbit missing",
			},
		},
	})
}

func TestImpairmentsGoWithTheProject(t *testing.T) {
	before := fake.New().String()
	l := on(t, impairedYAML)
	l.top = nil
	l.up()
	if diff := cmp.Diff(before, l.m.String()); diff != "" {
		t.Error(diff)
	}
}

// What the kernel was built without is a mistake of the plan, with the place in the file.
func TestKernelWithoutNetem(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(impairedYAML)
	o := l.options()
	if want := []string{"NET_SCH_TBF", "NET_SCH_NETEM"}; !slices.Equal(planner.Query(l.top, "p").Options, want) {
		t.Errorf("%q is asked for, want %q", planner.Query(l.top, "p").Options, want)
	}
	o.Snapshot.Lacking = []string{"NET_SCH_NETEM"}
	_, err := planner.Build(o)
	var mistakes spec.Errors
	if !errors.As(err, &mistakes) {
		t.Fatal(err)
	}
	const want = "p.yaml:10:13: this kernel can't do delay, loss and the like: it was built without CONFIG_NET_SCH_NETEM\n" +
		"p.yaml:11:49: this kernel can't do delay, loss and the like: it was built without CONFIG_NET_SCH_NETEM\n" +
		"p.yaml:12:13: this kernel can't do delay, loss and the like: it was built without CONFIG_NET_SCH_NETEM"
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
}

// The impairment of a port goes with its bridge, which is made anew elsewhere; the plan once had it, or not, by the order of a map.
func TestImpairmentOfAPortWhoseBridgeMoves(t *testing.T) {
	const text = `
name: p
bridges:
  sw: {subnet: none}
namespaces:
  a:
  b:
links:
  - endpoints: [{node: a, interface: x}, {node: sw, interface: port, impair: {rate: 10mbit}}]
`
	l := on(t, text)
	l.load(strings.Replace(text, "subnet: none", "subnet: none, node: b", 1))
	for range 20 {
		for _, line := range lines(l.plan()) {
			if strings.HasPrefix(line, "- ") {
				t.Fatalf("what goes by itself is in the plan: %s", line)
			}
		}
	}
	l.up()
	if ops := l.m.Absent(); len(ops) > 0 {
		t.Errorf("deleted what was not there: %v", ops)
	}
}
