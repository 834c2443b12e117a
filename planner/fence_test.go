package planner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

// fencedYAML has two subnets that are published into and masqueraded, one that is masqueraded, and one of which nothing is translated.
const fencedYAML = `name: p
bridges:
  app: {subnet: [10.1.0.0/24, "fd01::/64"]}
  out: {subnet: 10.2.0.0/24}
  plain: {subnet: 10.3.0.0/24, masquerade: false}
namespaces:
  web: {bridges: {app: {address: [10.1.0.2, "fd01::2"]}}, ports: ["9000:9000/udp", "9001:9001/udp", "8080:80"]}
  db: {bridges: [out, plain]}
`

// ops are a plan's, each after those that it comes after in any case, whatever is done at the same time.
type ops struct {
	ops   []kernel.Op
	after []map[int]bool
}

func orderOf(p *planner.Plan) ops {
	var o ops
	last := make([]int, len(p.Steps)) // the index behind each step's ops
	for i, s := range p.Steps {
		before := map[int]bool{}
		inherit := func(step int) {
			for j := range last[step] {
				if j == last[step]-1 || o.after[last[step]-1][j] {
					before[j] = true
				}
			}
		}
		// What any step of a unit waits for, all of it does.
		for j := i; j < len(p.Steps) && (j == i || s.Unit != "" && p.Steps[j].Unit == s.Unit); j++ {
			for _, a := range p.Steps[j].After {
				if a < i && last[a] > 0 {
					inherit(a)
				}
			}
		}
		if i > 0 && s.Unit != "" && p.Steps[i-1].Unit == s.Unit && last[i-1] > 0 {
			inherit(i - 1)
		}
		for _, op := range s.Ops {
			o.ops = append(o.ops, op)
			o.after = append(o.after, before)
			next := map[int]bool{len(o.ops) - 1: true}
			for j := range before {
				next[j] = true
			}
			before = next
		}
		last[i] = len(o.ops)
		if len(s.Ops) == 0 && i > 0 {
			last[i] = last[i-1] // a removal that another one does along
		}
	}
	return o
}

// find lists the ops whose lines have all the words.
func (o ops) find(words string) []int {
	var out []int
	for i, op := range o.ops {
		if !slices.ContainsFunc(strings.Fields(words), func(w string) bool { return !strings.Contains(op.String(), w) }) {
			out = append(out, i)
		}
	}
	return out
}

// come checks that all ops with the first words come before all with the second, of which there are some.
func (o ops) come(t *testing.T, first, second string) {
	t.Helper()
	a, b := o.find(first), o.find(second)
	if len(a) == 0 || len(b) == 0 {
		t.Fatalf("%d ops are %q, %d are %q, in:\n%s", len(a), first, len(b), second, o)
	}
	for _, i := range a {
		for _, j := range b {
			if !o.after[j][i] {
				t.Errorf("%q may come before %q", o.ops[j], o.ops[i])
			}
		}
	}
}

func (o ops) String() string {
	var b strings.Builder
	for _, op := range o.ops {
		fmt.Fprintln(&b, op)
	}
	return b.String()
}

// lines are those of the ops with the words.
func (o ops) lines(words string) []string {
	var out []string
	for _, i := range o.find(words) {
		out = append(out, o.ops[i].String())
	}
	return out
}

func TestAFenceStandsBeforeWhatItHolds(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(fencedYAML)
	o := orderOf(l.plan())
	for _, program := range []string{"iptables", "ip6tables"} {
		o.come(t, program+" mangle -A fence/app", program+" nat -A publish/")
		o.come(t, program+" mangle -A fence/app", program+" nat -A masquerade/app")
	}
	o.come(t, "mangle -A fence/out", "nat -A masquerade/out")
	o.come(t, "nat -A publish/ 10.1.0.2", "# forget flows of UDP 10.1.0.2")
	o.come(t, "nat -A publish/ fd01::2", "# forget flows of UDP fd01::2")
	if fences := o.lines("mangle -A fence/"); len(fences) != 3 {
		t.Errorf("fences are %q", fences)
	}
	forget := []string{
		"# forget flows of UDP to 9000 but to 10.1.0.2:9000, 9001 but to 10.1.0.2:9001",
		"# forget flows of UDP to 9000 but to [fd01::2]:9000, 9001 but to [fd01::2]:9001",
	}
	if got := o.lines("forget"); !slices.Equal(got, forget) {
		t.Errorf("once they are published: %q", got)
	}
	l.up()
	if o := orderOf(l.plan()); len(o.ops) > 0 {
		t.Errorf("then there is to do:\n%s", o)
	}
}

// While any of them is left, packets can be translated to a subnet: links that send, rules, flows. The fence goes after all.
func TestAFenceGoesLast(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(fencedYAML)
	l.up()
	p, err := l.downPlan(false)
	if err != nil {
		t.Fatal(err)
	}
	o := orderOf(p)
	o.come(t, "ip link delete", "nat -D masquerade/") // a node that still sends is masqueraded
	o.come(t, "ip link delete", "# forget")
	for _, program := range []string{"iptables", "ip6tables"} {
		o.come(t, program+" nat -D publish/", program+" mangle -D fence/")
		o.come(t, program+" nat -D masquerade/", program+" mangle -D fence/")
	}
	o.come(t, "# forget fd01::/64", "ip6tables mangle -D fence/")
	o.come(t, "iptables nat -D publish/ 10.1", "# forget 10.1.0.0/24")
	o.come(t, "# forget 10.1.0.0/24 10.2.0.0/24", "iptables mangle -D fence/ 10.") // one op of all
	if len(o.find("forget")) != 2 {
		t.Errorf("%d ops forget, not one of each family:\n%s", len(o.find("forget")), o)
	}
}

// A down was killed when all but the fence was gone: flows may still be tracked.
func TestAFenceThatIsLeftAlone(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(fencedYAML)
	l.up()
	p, err := l.downPlan(false)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.Steps {
		if strings.HasSuffix(s.Unit, "mangle") {
			p.Steps = p.Steps[:i]
			break
		}
	}
	l.run(p)
	if p, err = l.downPlan(false); err != nil {
		t.Fatal(err)
	}
	o := orderOf(p)
	o.come(t, "# forget 10.1.0.0/24 10.2.0.0/24", "iptables mangle -D fence/ 10.")
	if len(o.find("ip link")) > 0 {
		t.Fatalf("more than the fences is left:\n%s", o)
	}
}

// A bridge has another subnet: what led to the old one is led elsewhere, and its addresses are gone, before its fence goes.
func TestAFenceOfAnotherSubnet(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(fencedYAML)
	l.up()
	l.load(strings.NewReplacer("10.1.0.", "10.9.0.").Replace(fencedYAML))
	o := orderOf(l.plan())
	o.come(t, "mangle -A fence/app/10.9.0.0/24", "nat -A publish/ 10.9.0.2")
	o.come(t, "nat -D publish/ 10.1.0.2", "# forget translated 10.1.0.0/24")
	o.come(t, "nat -D masquerade/app 10.1.0.0/24", "# forget translated 10.1.0.0/24")
	o.come(t, "address delete 10.1.0.1/24", "mangle -D fence/app/10.1.0.0/24")
	if lines := o.lines("fence/"); len(lines) != 2 {
		t.Errorf("other fences change: %q", lines)
	}
	l.up()
}

// A port of UDP leads to another node: who sends to it all the time must get there.
func TestAMovedPortTakesItsFlowsAlong(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(fencedYAML)
	l.up()
	l.load(strings.Replace(fencedYAML, `"9000:9000/udp"`, `"127.0.0.1:9000:7/udp"`, 1))
	o := orderOf(l.plan())
	o.come(t, "nat -A publish/ 10.1.0.2:7", "# forget flows of UDP")
	if got, want := o.lines("forget"), []string{"# forget flows of UDP to 127.0.0.1:9000 but to 10.1.0.2:7"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
