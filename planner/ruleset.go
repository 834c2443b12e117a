package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// ruleset is the iptables rules of one resource, all in one table: a published port, a bridge's
// masquerading… They are found again by the mark in their comments, never by their text, and
// compared in canonical form. They stand in chains of the project's own, in which order does not matter.
type ruleset struct {
	id    ID
	table table
	rules []kernel.Rule // sorted
	about string        // what it does, for the plan's line
	needs []ID
	// subnet is what a fence stands around; zero: it is no fence.
	subnet netip.Prefix
	// port is one of UDP that is published; zero: it is none.
	port kernel.PublishedPort
}

// newRuleset marks rules, given as "CHAIN rest of the rule".
func newRuleset(project string, id ID, t table, about string, needs []ID, texts ...string) ruleset {
	r := ruleset{id: id, table: t, about: about, needs: append([]ID{chainsID(t)}, needs...)}
	for _, text := range texts {
		chain, spec, _ := strings.Cut(text, " ")
		match, target, _ := strings.Cut(spec, "-j ")
		spec = fmt.Sprintf("%s-m comment --comment %q -j %s", match, mark(project, id), target)
		r.rules = append(r.rules, kernel.Rule{Family: t.family, Table: t.name, Chain: chain, Spec: kernel.Canonical(spec)})
	}
	sortRules(r.rules)
	return r
}

// ruleID names a ruleset of a family; IPv4's is the plain name.
func ruleID(kind, name string, f kernel.Family) ID {
	if f == kernel.IPv6 {
		name += "/ipv6"
	}
	return ID{kind, name}
}

func sortRules(rules []kernel.Rule) {
	slices.SortFunc(rules, func(a, b kernel.Rule) int {
		return strings.Compare(a.Chain+" "+a.Spec, b.Chain+" "+b.Spec)
	})
}

// observeRules lists the rulesets of a kind, by their marks.
func observeRules(kind string) func(*Have) []Resource {
	return func(h *Have) []Resource {
		type place struct {
			id    ID
			table table
		}
		found := map[place]*ruleset{}
		var order []place
		for _, rule := range h.Snapshot.Rules {
			m := rule.Mark()
			id := parseID(m.ID)
			if m.Project != h.Project || id.Kind != kind {
				continue
			}
			p := place{id, table{rule.Family, rule.Table}}
			if found[p] == nil {
				found[p] = &ruleset{id: id, table: p.table, needs: []ID{chainsID(p.table)}}
				if p.table.name == "nat" {
					found[p].needs = append(found[p].needs, h.fencesIn(p.table.family)...)
				}
				order = append(order, p)
			}
			found[p].rules = append(found[p].rules, rule)
		}
		var out []Resource
		for _, p := range order {
			sortRules(found[p].rules)
			out = append(out, *found[p])
		}
		return out
	}
}

func (r ruleset) ID() ID         { return r.id }
func (r ruleset) Needs() []ID    { return r.needs }
func (r ruleset) Detail() string { return r.about }

func (r ruleset) Attrs() []Attr {
	attrs := []Attr{{"table", string(r.table.family) + " " + r.table.name}}
	for _, rule := range r.rules {
		attrs = append(attrs, Attr{"rule", rule.Chain + " " + rule.Spec})
	}
	return attrs
}

// Differs counts rules: their text is long, and is in the commands.
func (r ruleset) Differs(have Resource) string {
	h := have.(ruleset)
	return countWords(len(without(r.rules, h.rules)), len(without(h.rules, r.rules)), "rule")
}

func (r ruleset) Create() []kernel.Op { return r.renewed(ruleOps("-A", r.rules)) }

// renewed: flows of before don't follow the new rules.
func (r ruleset) renewed(ops []kernel.Op) []kernel.Op {
	if r.port.Port != 0 && len(ops) > 0 {
		ops = append(ops, kernel.FlowsRenew{Family: r.table.family, Ports: []kernel.PublishedPort{r.port}})
	}
	return ops
}

func (r ruleset) Delete() []kernel.Op {
	ops := ruleOps("-D", r.rules)
	if r.subnet.IsValid() {
		ops = append([]kernel.Op{kernel.FlowsDelete{Family: r.table.family, Subnets: []netip.Prefix{r.subnet}}}, ops...)
	}
	return ops
}

func (r ruleset) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(ruleset)
	if h.table != r.table {
		return nil, false
	}
	return r.renewed(append(ruleOps("-D", without(h.rules, r.rules)), ruleOps("-A", without(r.rules, h.rules))...)), true
}

// without is a less b, counting: of a rule that stands twice, one is left over.
func without(a, b []kernel.Rule) []kernel.Rule {
	count := map[kernel.Rule]int{}
	for _, r := range b {
		count[r]++
	}
	var out []kernel.Rule
	for _, r := range a {
		if count[r] > 0 {
			count[r]--
			continue
		}
		out = append(out, r)
	}
	return out
}

func ruleOps(verb string, rules []kernel.Rule) []kernel.Op {
	ops := make([]kernel.Op, len(rules))
	for i, r := range rules {
		ops[i] = kernel.Iptables{Family: r.Family, Table: r.Table, Args: verb + " " + r.Chain + " " + r.Spec}
	}
	return ops
}
