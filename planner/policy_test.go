package planner_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const policyYAML = `
name: p
bridges:
  app: {subnet: 10.1.0.0/24}
namespaces:
  r:
    bridges: [app]
    rules:
      - {priority: 100, from: 10.7.0.0/16, table: 7}
      - {priority: 200, fwmark: 0x10/0xf0, type: prohibit}
`

// The plan has every step that an edit of the routing policy, or somebody else's, makes necessary, and no other; up takes them all.
func TestPolicyRulesChange(t *testing.T) {
	rule := func(edit func(*kernel.PolicyRule)) kernel.PolicyRule {
		r := kernel.PolicyRule{Family: kernel.IPv4, Priority: 100, From: netip.MustParsePrefix("10.7.0.0/16"), Table: 7}
		edit(&r)
		return r
	}
	same := rule(func(*kernel.PolicyRule) {})
	for name, c := range map[string]struct {
		replace []string // in the file
		foreign []kernel.Op
		want    []string
		ops     string
	}{
		"another source": {
			replace: []string{"from: 10.7.0.0/16", "from: 10.8.0.0/16"},
			want:    []string{"~ rule/r:100 packets from 10.7.0.0/16 → from 10.8.0.0/16 edited"},
			ops: "ip -n p-r rule add priority 100 from 10.8.0.0/16 lookup 7 proto 116\n" +
				"ip -n p-r rule delete priority 100 from 10.7.0.0/16 lookup 7 proto 116",
		},
		"all sources, and so both families": {
			replace: []string{"from: 10.7.0.0/16, ", ""},
			want: []string{
				"~ rule/r:100 packets from 10.7.0.0/16 → from all edited",
				"+ rule/r:100 ipv6 from all: table 7 missing",
			},
		},
		"another priority": {
			replace: []string{"priority: 200", "priority: 300"},
			want: []string{
				"- rule/r:200 ipv6 not in the file", "- rule/r:200 not in the file",
				"+ rule/r:300 from all fwmark 0x10/0xf0: prohibit missing", "+ rule/r:300 ipv6 from all fwmark 0x10/0xf0: prohibit missing",
			},
		},
		"taken away by hand": {
			foreign: []kernel.Op{kernel.PolicyRuleDelete{Netns: "p-r", PolicyRule: same}},
			want:    []string{"+ rule/r:100 from 10.7.0.0/16: table 7 missing"},
			ops:     "ip -n p-r rule add priority 100 from 10.7.0.0/16 lookup 7 proto 116",
		},
		"another one behind it, as a crash between two edits leaves": {
			foreign: []kernel.Op{kernel.PolicyRuleAdd{Netns: "p-r", PolicyRule: rule(func(r *kernel.PolicyRule) { r.In = "eth0" })}},
			want:    []string{"- rule/r:100 copy 1 not in the file"},
			ops:     "ip -n p-r rule delete priority 100 from 10.7.0.0/16 iif eth0 lookup 7 proto 116",
		},
		"another one before it": {
			foreign: []kernel.Op{
				kernel.PolicyRuleDelete{Netns: "p-r", PolicyRule: same},
				kernel.PolicyRuleAdd{Netns: "p-r", PolicyRule: rule(func(r *kernel.PolicyRule) { r.Table = 8 })},
				kernel.PolicyRuleAdd{Netns: "p-r", PolicyRule: same},
			},
			want: []string{
				"- rule/r:100 copy 1 not in the file",
				"~ rule/r:100 does table 8 → table 7 changed outside topo",
			},
		},
		"other conditions, too": {
			foreign: []kernel.Op{
				kernel.PolicyRuleDelete{Netns: "p-r", PolicyRule: same},
				kernel.PolicyRuleAdd{Netns: "p-r", PolicyRule: rule(func(r *kernel.PolicyRule) { r.More = true })},
			},
			want: []string{"± rule/r:100 other conditions more → none changed outside topo"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(t, policyYAML)
			if err := l.m.Foreign(c.foreign...); err != nil {
				t.Fatal(err)
			}
			if c.replace != nil {
				l.load(strings.Replace(policyYAML, c.replace[0], c.replace[1], 1))
			}
			p := l.plan()
			if diff := cmp.Diff(c.want, lines(p)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			var ops []string
			for _, op := range p.Steps[0].Ops {
				ops = append(ops, op.String())
			}
			if got := strings.Join(ops, "\n"); c.ops != "" && got != c.ops {
				t.Errorf("it does\n%s\nwant\n%s", got, c.ops)
			}
			l.up()
			if again := lines(l.plan()); len(again) > 0 {
				t.Errorf("then there is %q", again)
			}
		})
	}
}

func TestPolicyRulesGoWithTheProject(t *testing.T) {
	l := on(t, policyYAML)
	l.top = nil
	l.up()
	if diff := cmp.Diff(fake.New().String(), l.m.String()); diff != "" {
		t.Error(diff)
	}
}

// One node's rules are none of another's plan.
func TestPolicyRulesOfOneNode(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(policyYAML + "  other: {bridges: [app]}\n")
	o := l.options()
	o.Nodes = []string{"other"}
	p, err := planner.Build(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines(p) {
		if strings.Contains(line, "rule/") {
			t.Errorf("planned: %s", line)
		}
	}
}
