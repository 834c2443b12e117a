package planner

import (
	"strconv"

	"topo/internal/kernel"
	"topo/spec"
)

// policyRule is a rule of a node's routing policy: its place in the order is its name.
type policyRule struct {
	node  string
	netns string
	rule  kernel.PolicyRule
	// copies counts those before it with the same place, which a person made in topo's name, or a crash between two edits left.
	copies int
}

var policyRuleKind = Kind{Name: "rule", Desire: desirePolicyRules, Observe: observePolicyRules}

func desirePolicyRules(w *Want) []Resource {
	var out []Resource
	for _, n := range w.Topology.Nodes {
		if n.Network != spec.NetworkOwn {
			continue
		}
		for _, r := range n.Rules {
			rule := kernel.PolicyRule{
				Family: kernel.IPv4, Priority: r.Priority, From: r.From, To: r.To, In: r.In, Out: r.Out, Mark: r.Mark, Mask: r.Mask, Table: r.Table, Type: r.Type,
			}
			if r.IPv6 {
				rule.Family = kernel.IPv6
			}
			out = append(out, policyRule{node: n.Name, netns: n.Netns, rule: rule})
		}
	}
	return out
}

// observePolicyRules lists the rules that carry topo's protocol: other people's are theirs.
func observePolicyRules(h *Have) []Resource {
	type place struct {
		family   kernel.Family
		priority int
	}
	var out []Resource
	for _, n := range h.Snapshot.Netns {
		node, ok := h.nodes[n.Name]
		if !ok {
			continue
		}
		copies := map[place]int{}
		for _, r := range n.PolicyRules {
			at := place{r.Family, r.Priority}
			out = append(out, policyRule{node: node, netns: n.Name, rule: r, copies: copies[at]})
			copies[at]++
		}
	}
	return out
}

func (r policyRule) ID() ID {
	name := r.node + ":" + strconv.Itoa(r.rule.Priority)
	if r.rule.Family == kernel.IPv6 {
		name += " ipv6"
	}
	if r.copies > 0 {
		name += " copy " + strconv.Itoa(r.copies)
	}
	return ID{"rule", name}
}

func (r policyRule) In() []ID    { return []ID{{"netns", r.node}} }
func (r policyRule) Needs() []ID { return r.In() }

func (r policyRule) Attrs() []Attr {
	more := "none"
	if r.rule.More {
		more = "more"
	}
	return []Attr{{"packets", r.rule.Selector()}, {"does", r.does()}, {"other conditions", more}}
}

func (r policyRule) does() string {
	if r.rule.Type != "" {
		return r.rule.Type
	}
	return "table " + strconv.Itoa(r.rule.Table)
}

func (r policyRule) Detail() string { return r.rule.Selector() + ": " + r.does() }

// Claims makes copies go before what they are copies of is made: the kernel refuses a rule that is there.
func (r policyRule) Claims() []string {
	return []string{"rule " + r.netns + " " + string(r.rule.Family) + " " + strconv.Itoa(r.rule.Priority)}
}

func (r policyRule) Create() []kernel.Op {
	return []kernel.Op{kernel.PolicyRuleAdd{Netns: r.netns, PolicyRule: r.rule}}
}

func (r policyRule) Delete() []kernel.Op {
	return []kernel.Op{kernel.PolicyRuleDelete{Netns: r.netns, PolicyRule: r.rule}}
}

// Update adds the new rule behind the old one, and then removes that: at no moment is there none.
func (r policyRule) Update(have Resource) ([]kernel.Op, bool) {
	if have.(policyRule).rule.More {
		return nil, false // with the other conditions left out it may be the same, and would be removed in its place
	}
	return append(r.Create(), have.Delete()...), true
}

// policyNeeds are the options of the kernel's build that rules need.
func policyNeeds(t *spec.Topology, need func(pos spec.Pos, what, option string)) {
	for _, n := range t.Nodes {
		for _, r := range n.Rules {
			option := "IP_MULTIPLE_TABLES"
			if r.IPv6 {
				option = "IPV6_MULTIPLE_TABLES"
			}
			need(r.Pos, "routing policy", option)
		}
	}
}
