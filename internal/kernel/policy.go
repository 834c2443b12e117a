package kernel

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// PolicyRule is an entry of a namespace's routing policy: which packets look in which table, in the order of their priorities
// (ip-rule(8)). Topo's own carry [Protocol].
type PolicyRule struct {
	Family   Family
	Priority int          // the smallest is asked first; the kernel's own have 0, 32766 and 32767
	From, To netip.Prefix // invalid: any
	In, Out  string       // interfaces: that it came in by, "lo" for the node's own packets; that its sender is bound to
	Mark     uint32       // of the firewall
	Mask     uint32       // bits of Mark that count; 0 where there is no mark
	Table    int          // that is looked in; 0 where Type refuses
	Type     string       // "" = looks in Table; "blackhole", "unreachable", "prohibit"
	// More: it has conditions that are not among these.
	More bool
}

type (
	// PolicyRuleAdd adds a rule, after those with its priority. EEXIST where there is the same.
	PolicyRuleAdd struct {
		Netns string
		PolicyRule
	}
	// PolicyRuleDelete removes the first rule of topo's with that family, priority, type and table that meets the conditions; there
	// may be others in it.
	PolicyRuleDelete struct {
		Netns string
		PolicyRule
	}
)

func (PolicyRuleAdd) op()    {}
func (PolicyRuleDelete) op() {}

func (o PolicyRuleAdd) String() string    { return o.line(o.Netns, "add") }
func (o PolicyRuleDelete) String() string { return o.line(o.Netns, "delete") }

func (r PolicyRule) line(netns, verb string) string {
	b := new(line)
	b.add(ip(netns))
	if r.Family == IPv6 {
		b.add("-6")
	}
	b.add("rule", verb, "priority", strconv.Itoa(r.Priority), r.Selector())
	if r.Type != "" {
		b.add(r.Type)
	} else {
		b.add("lookup", strconv.Itoa(r.Table))
	}
	b.add("proto", strconv.Itoa(Protocol))
	return b.String()
}

// Selector is which packets the rule is for, as ip-rule(8) has it.
func (r PolicyRule) Selector() string {
	b := new(line)
	b.add("from")
	if r.From.IsValid() {
		b.add(r.From.String())
	} else {
		b.add("all")
	}
	if r.To.IsValid() {
		b.add("to", r.To.String())
	}
	if m := r.MarkText(); m != "" {
		b.add("fwmark", m)
	}
	b.opt("iif", r.In)
	b.opt("oif", r.Out)
	return b.String()
}

// MarkText is the mark, with its mask where that leaves bits out; "" for none.
func (r PolicyRule) MarkText() string {
	switch r.Mask {
	case 0:
		return ""
	case ^uint32(0):
		return fmt.Sprintf("0x%x", r.Mark)
	}
	return fmt.Sprintf("0x%x/0x%x", r.Mark, r.Mask)
}

// SortPolicyRules puts rules in the order of readings.
func SortPolicyRules(rules []PolicyRule) {
	slices.SortStableFunc(rules, func(a, b PolicyRule) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Priority, b.Priority))
	})
}
