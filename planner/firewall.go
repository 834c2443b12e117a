package planner

import (
	"fmt"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// firewall is the part of an iptables table that all projects share: topo's chains and one jump to each,
// first in the built-in chains. Policies are left alone.
//
// The drops of all projects come before the accepts of any (TOPO-ISOLATE, TOPO-ACCEPT), or one
// project would let through what another keeps out.
type firewall struct {
	table  table
	chains []string // that exist
	jumps  []kernel.Rule
	// first: no rule of somebody else stands before the jumps.
	first bool
	// strays are rules in topo's chains that nobody marked. They do no harm to others; a chain that has rules can't be removed.
	strays []kernel.Rule
	// kept: the user's own rules in TOPO-USER; the chain and its jump outlive the last project.
	kept bool
}

// userChain is for the user's own rules about forwarded packets: topo makes it, calls it first, never edits it.
const userChain = "TOPO-USER"

type hook struct{ builtin, match, chain string }

var hooks = map[string][]hook{
	"filter": {{"FORWARD", "", userChain}, {"FORWARD", "", "TOPO-ISOLATE"}, {"FORWARD", "", "TOPO-ACCEPT"}},
	"nat": {
		{"PREROUTING", "-m addrtype --dst-type LOCAL ", "TOPO-DNAT"},
		{"OUTPUT", "-m addrtype --dst-type LOCAL ", "TOPO-DNAT"},
		{"POSTROUTING", "", "TOPO-SNAT"},
	},
	"raw":    {{"PREROUTING", "", "TOPO-RAW"}},
	"mangle": {{"POSTROUTING", "", "TOPO-FENCE"}},
}

var tableNames = []string{"filter", "nat", "raw", "mangle"}

var firewallKind = Kind{Name: "firewall", Desire: desireFirewall, Observe: observeFirewall}

func firewallID(t table) ID { return ID{"firewall", string(t.family) + "/" + t.name} }

func (h hook) rule(t table) kernel.Rule {
	comment := kernel.Mark{Project: kernel.HostProject, ID: firewallID(t).String()}
	return kernel.Rule{Family: t.family, Table: t.name, Chain: h.builtin, Spec: kernel.Canonical(
		fmt.Sprintf("%s-m comment --comment %q -j %s", h.match, comment, h.chain))}
}

func desireFirewall(w *Want) []Resource {
	var out []Resource
	for _, t := range neededTables(w) {
		out = append(out, wholeFirewall(t))
	}
	return out
}

// wholeFirewall is what topo has in a table that any project needs.
func wholeFirewall(t table) firewall {
	r := firewall{table: t, chains: hookChains(t), first: true}
	for _, h := range hooks[t.name] {
		r.jumps = append(r.jumps, h.rule(t))
	}
	return r
}

func hookChains(t table) []string {
	var out []string
	for _, h := range hooks[t.name] {
		if len(out) == 0 || out[len(out)-1] != h.chain {
			out = append(out, h.chain)
		}
	}
	return out
}

func observeFirewall(h *Have) []Resource {
	var out []Resource
	for _, f := range families {
		for _, name := range tableNames {
			t := table{f, name}
			r, ok := observedFirewall(h.Snapshot, t)
			wanted := h.want[firewallID(t)] != nil
			if !ok || !wanted && (h.Others[t] || r.kept && r.onlyUser()) {
				continue
			}
			out = append(out, r)
		}
	}
	return out
}

func observedFirewall(s kernel.Snapshot, t table) (firewall, bool) {
	r := firewall{table: t, first: true}
	for _, want := range hookChains(t) {
		for _, c := range s.Chains {
			if c.Family == t.family && c.Table == t.name && c.Name == want {
				r.chains = append(r.chains, want)
			}
		}
	}
	foreign := map[string]bool{}
	for _, rule := range s.Rules {
		if rule.Family != t.family || rule.Table != t.name {
			continue
		}
		switch m := rule.Mark(); {
		case rule.Chain == userChain:
			r.kept = true
		case slices.Contains(hookChains(t), rule.Chain) && m.Project == "":
			r.strays = append(r.strays, rule)
		}
		if rule.Mark().Project != kernel.HostProject {
			foreign[rule.Chain] = true
			continue
		}
		if foreign[rule.Chain] {
			r.first = false
		}
		r.jumps = append(r.jumps, rule)
	}
	return r, len(r.chains)+len(r.jumps) > 0
}

// onlyUser: nothing is left but the user's own chain and its jump.
func (r firewall) onlyUser() bool {
	for _, c := range r.chains {
		if c != userChain {
			return false
		}
	}
	for _, j := range r.jumps {
		if !toUser(j) {
			return false
		}
	}
	return true
}

func toUser(r kernel.Rule) bool { return strings.HasSuffix(r.Spec, "-j "+userChain) }

func (r firewall) ID() ID         { return firewallID(r.table) }
func (r firewall) Needs() []ID    { return nil }
func (r firewall) Shared() bool   { return true }
func (r firewall) Detail() string { return "jumps in " + strings.Join(r.builtins(), ", ") }

func (r firewall) Attrs() []Attr {
	attrs := []Attr{{"chains", strings.Join(r.chains, " ")}}
	position := "first"
	if !r.first {
		position = "behind other rules"
	}
	// Jumps are compared a built-in chain at a time: iptables keeps no order between chains.
	for _, b := range r.builtins() {
		var specs []string
		for _, j := range r.jumps {
			if j.Chain == b {
				specs = append(specs, j.Spec)
			}
		}
		attrs = append(attrs, Attr{b, strings.Join(specs, "; ")})
	}
	return append(attrs, Attr{"position", position})
}

func (r firewall) builtins() []string {
	var out []string
	for _, h := range hooks[r.table.name] {
		if len(out) == 0 || out[len(out)-1] != h.builtin {
			out = append(out, h.builtin)
		}
	}
	return out
}

// Differs says what is missing or too many, or that somebody's rules stand before the jumps.
func (r firewall) Differs(have Resource) string {
	h := have.(firewall)
	words := []string{
		countWords(len(r.chains)-len(h.chains), 0, "chain"),
		countWords(len(without(r.jumps, h.jumps)), len(without(h.jumps, r.jumps)), "jump"),
	}
	if !h.first {
		words = append(words, "behind other rules")
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	if len(words) == 0 {
		words = append(words, "jumps out of order")
	}
	return strings.Join(words, ", ")
}

func (r firewall) Create() []kernel.Op {
	ops, _ := r.Update(firewall{table: r.table, first: true})
	return ops
}

// Delete removes rules one by one, without -F: with iptables-nft 1.8.9 a chain that is flushed in the transaction that
// deletes a jump out of it makes the removal of the jump's target fail (EBUSY).
func (r firewall) Delete() []kernel.Op {
	ops := ruleOps("-D", r.strays)
	for _, j := range r.jumps {
		if !r.kept || !toUser(j) {
			ops = append(ops, ruleOps("-D", []kernel.Rule{j})...)
		}
	}
	for _, c := range r.chains {
		if !r.kept || c != userChain {
			ops = append(ops, r.op("-X "+c))
		}
	}
	return ops
}

// Update makes the chains that are missing, and sets the jumps of a built-in chain anew where one is
// missing, doubled, out of order or behind somebody's rule.
func (r firewall) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(firewall)
	var ops []kernel.Op
	exists := map[string]bool{}
	for _, c := range h.chains {
		exists[c] = true
	}
	for _, c := range r.chains {
		if !exists[c] {
			ops = append(ops, r.op("-N "+c))
		}
	}
	haveAttrs := map[string]string{}
	for _, a := range h.Attrs() {
		haveAttrs[a.Name] = a.Value
	}
	for _, a := range r.Attrs()[1:] {
		if a.Name == "position" || haveAttrs[a.Name] == a.Value && h.first {
			continue
		}
		for _, j := range h.jumps {
			if j.Chain == a.Name {
				ops = append(ops, ruleOps("-D", []kernel.Rule{j})...)
			}
		}
		for i := len(r.jumps) - 1; i >= 0; i-- {
			if j := r.jumps[i]; j.Chain == a.Name {
				ops = append(ops, r.op("-I "+j.Chain+" 1 "+j.Spec))
			}
		}
	}
	return ops, true
}

func (r firewall) op(args string) kernel.Op {
	return kernel.Iptables{Family: r.table.family, Table: r.table.name, Args: args}
}
