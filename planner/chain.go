package planner

import (
	"fmt"
	"slices"
	"strings"

	"topo/internal/kernel"
)

// chains is the project's own chains in an iptables table, with the jumps to them from topo's shared ones.
type chains struct {
	project string
	table   table
	chains  []string
	jumps   []kernel.Rule
}

// chainLetters are the project's chains in each table: the letter of the name, the shared chain that calls it.
var chainLetters = map[string][][2]string{
	"filter": {{"I", "TOPO-ISOLATE"}, {"A", "TOPO-ACCEPT"}},
	"nat":    {{"D", "TOPO-DNAT"}, {"S", "TOPO-SNAT"}},
	"raw":    {{"R", "TOPO-RAW"}},
	"mangle": {{"F", "TOPO-FENCE"}},
}

var chainKind = Kind{Name: "chain", Desire: desireChains, Observe: observeChains}

func chainsID(t table) ID { return ID{"chain", string(t.family) + "/" + t.name} }

// chainName is the project's chain: TOPO-ISOLATE has TOPO-I-<hash>, and so on.
func chainName(letter, project string) string { return "TOPO-" + letter + "-" + chainHash(project) }

func desireChains(w *Want) []Resource {
	var out []Resource
	for _, t := range neededTables(w) {
		out = append(out, wholeChains(w.Project, t))
	}
	return out
}

// wholeChains is what a project has in a table that it needs.
func wholeChains(project string, t table) chains {
	r := chains{project: project, table: t}
	comment := mark(project, chainsID(t))
	for _, c := range chainLetters[t.name] {
		name := chainName(c[0], project)
		r.chains = append(r.chains, name)
		r.jumps = append(r.jumps, kernel.Rule{Family: t.family, Table: t.name, Chain: c[1], Spec: kernel.Canonical(
			fmt.Sprintf("-m comment --comment %q -j %s", comment, name))})
	}
	sortRules(r.jumps)
	return r
}

func observeChains(h *Have) []Resource {
	found := map[table]*chains{}
	at := func(t table) *chains {
		if found[t] == nil {
			found[t] = &chains{project: h.Project, table: t}
		}
		return found[t]
	}
	for _, c := range h.Snapshot.Chains {
		if owner, ok := chainOwner(c.Name); ok && owner == chainHash(h.Project) {
			r := at(table{c.Family, c.Table})
			r.chains = append(r.chains, c.Name)
		}
	}
	for _, rule := range h.Snapshot.Rules {
		m := rule.Mark()
		t := table{rule.Family, rule.Table}
		if m.Project == h.Project && m.ID == chainsID(t).String() {
			r := at(t)
			r.jumps = append(r.jumps, rule)
		}
	}
	var out []Resource
	for _, f := range families {
		for _, name := range tableNames {
			r := found[table{f, name}]
			if r == nil {
				continue
			}
			// In the order in which they are wanted, so that equal ones compare equal.
			var sorted []string
			for _, c := range chainLetters[name] {
				if n := chainName(c[0], h.Project); slices.Contains(r.chains, n) {
					sorted = append(sorted, n)
				}
			}
			r.chains = sorted
			sortRules(r.jumps)
			out = append(out, *r)
		}
	}
	return out
}

func (r chains) ID() ID      { return chainsID(r.table) }
func (r chains) Needs() []ID { return []ID{firewallID(r.table)} }

// Shared: by its chains other projects know whether what all share is still needed.
func (r chains) Shared() bool { return true }

func (r chains) Detail() string { return strings.Join(r.chains, ", ") }

func (r chains) Attrs() []Attr {
	attrs := []Attr{{"chains", strings.Join(r.chains, " ")}}
	for _, j := range r.jumps {
		attrs = append(attrs, Attr{"jump", j.Chain + " " + j.Spec})
	}
	return attrs
}

// Differs says what is missing or too many.
func (r chains) Differs(have Resource) string {
	h := have.(chains)
	words := []string{
		countWords(len(r.chains)-len(h.chains), 0, "chain"),
		countWords(len(without(r.jumps, h.jumps)), len(without(h.jumps, r.jumps)), "jump"),
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), ", ")
}

func (r chains) Create() []kernel.Op {
	ops, _ := r.Update(chains{table: r.table})
	return ops
}

// Delete: the rules in the chains are resources of their own, and go before.
func (r chains) Delete() []kernel.Op {
	ops := ruleOps("-D", r.jumps)
	for _, c := range r.chains {
		ops = append(ops, r.op("-X "+c))
	}
	return ops
}

func (r chains) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(chains)
	var ops []kernel.Op
	for _, c := range r.chains {
		if !slices.Contains(h.chains, c) {
			ops = append(ops, r.op("-N "+c))
		}
	}
	ops = append(ops, ruleOps("-D", without(h.jumps, r.jumps))...)
	return append(ops, ruleOps("-A", without(r.jumps, h.jumps))...), true
}

func (r chains) op(args string) kernel.Op {
	return kernel.Iptables{Family: r.table.family, Table: r.table.name, Args: args}
}

// neededTables lists the tables in which the topology needs rules.
func neededTables(w *Want) []table {
	need := map[table]bool{}
	for _, kind := range ruleKinds {
		for _, r := range w.of(kind) {
			need[r.(ruleset).table] = true
		}
	}
	var out []table
	for _, f := range families {
		for _, name := range tableNames {
			if t := (table{f, name}); need[t] {
				out = append(out, t)
			}
		}
	}
	return out
}
