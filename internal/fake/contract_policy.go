package fake

import (
	"slices"
	"syscall"

	"topo/internal/kernel"
)

func contractPolicyRules(h *host) {
	h.wire()
	equal(h, "rules of a new namespace", h.netns("a").PolicyRules, nil)
	rules := []kernel.PolicyRule{
		{Family: kernel.IPv4, Priority: 100, From: prefix("10.0.0.0/24"), Table: 100},
		{Family: kernel.IPv4, Priority: 101, To: prefix("10.9.0.1/32"), In: "eth0", Table: 1000},
		{Family: kernel.IPv4, Priority: 102, Mark: 7, Mask: ^uint32(0), Out: "later", Table: 254},
		{Family: kernel.IPv4, Priority: 103, Mark: 0x10, Mask: 0xf0, In: "lo", Type: "blackhole"},
		{Family: kernel.IPv4, Priority: 104, Type: "unreachable"},
		{Family: kernel.IPv4, Priority: 4294967295, Type: "prohibit"},
		{Family: kernel.IPv6, Priority: 100, From: prefix("fd00::/64"), To: prefix("fd09::/16"), Table: 100},
		{Family: kernel.IPv6, Priority: 101, Mark: 0, Mask: 1, Type: "prohibit"},
	}
	for _, r := range slices.Backward(rules) {
		h.do(kernel.PolicyRuleAdd{Netns: "a", PolicyRule: r})
		h.refuse(syscall.EEXIST, kernel.PolicyRuleAdd{Netns: "a", PolicyRule: r})
	}
	equal(h, "rules", h.netns("a").PolicyRules, rules)
	equal(h, "rules of another namespace", h.netns("b").PolicyRules, nil)
	// Another one with the same priority stands behind it; either can be removed.
	second := rules[0]
	second.From, second.To = second.To, second.From
	h.do(kernel.PolicyRuleAdd{Netns: "a", PolicyRule: second})
	equal(h, "rules with the same priority", h.netns("a").PolicyRules[:2], []kernel.PolicyRule{rules[0], second})
	h.do(kernel.PolicyRuleDelete{Netns: "a", PolicyRule: rules[0]})
	equal(h, "the rule that is left", h.netns("a").PolicyRules[0], second)
	h.do(kernel.PolicyRuleDelete{Netns: "a", PolicyRule: second})
	all := kernel.PolicyRule{Family: kernel.IPv4, Priority: 100, Table: 100}
	h.do(kernel.PolicyRuleAdd{Netns: "a", PolicyRule: rules[0]}, kernel.PolicyRuleAdd{Netns: "a", PolicyRule: all}, kernel.PolicyRuleDelete{Netns: "a", PolicyRule: all})
	equal(h, "the rule that is left, of one for fewer packets and one for all", h.netns("a").PolicyRules[0], all)
	h.do(kernel.PolicyRuleDelete{Netns: "a", PolicyRule: all})
	for _, r := range rules[1:] {
		h.do(kernel.PolicyRuleDelete{Netns: "a", PolicyRule: r})
	}
	equal(h, "rules, all removed", h.netns("a").PolicyRules, nil)
	h.do(kernel.PolicyRuleDelete{Netns: "a", PolicyRule: rules[0]}, kernel.PolicyRuleDelete{Netns: "gone", PolicyRule: rules[0]})
	h.refuse(syscall.ENOENT, kernel.PolicyRuleAdd{Netns: "gone", PolicyRule: rules[0]})
}
