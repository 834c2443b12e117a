package planner

import (
	"slices"
	"strings"

	"topo/internal/kernel"
)

// orphan is a chain of a project's that nothing on the machine names any more: no rule in it, none that calls it, and nothing
// else bears the project's mark. What is called so makes every other project believe that a neighbour needs what all
// share. Only the plan of [kernel.HostProject] has it.
type orphan struct {
	table table
	name  string
}

var orphanKind = Kind{
	Name:    "orphan",
	Desire:  func(*Want) []Resource { return nil },
	Observe: observeOrphans,
}

func observeOrphans(h *Have) []Resource {
	var out []Resource
	for _, c := range h.Snapshot.Chains {
		if h.orphaned(c) {
			out = append(out, orphan{table{c.Family, c.Table}, c.Name})
		}
	}
	return out
}

// orphaned reports whether a chain is of a project that is not among those that are known, and is empty and never called.
func (h *Have) orphaned(c kernel.Chain) bool {
	owner, ok := chainOwner(c.Name)
	if !ok || h.Project != kernel.HostProject || owns(owner, h.known) {
		return false
	}
	return !slices.ContainsFunc(h.Snapshot.Rules, func(r kernel.Rule) bool {
		words := strings.Fields(r.Spec)
		return r.Family == c.Family && r.Table == c.Table && (r.Chain == c.Name || slices.Contains(words, c.Name))
	})
}

func (r orphan) ID() ID {
	return ID{"orphan", string(r.table.family) + "/" + r.table.name + "/" + r.name}
}
func (r orphan) Needs() []ID { return nil }
func (r orphan) Attrs() []Attr {
	return []Attr{{"table", string(r.table.family) + " " + r.table.name}, {"chain", r.name}}
}

func (r orphan) Create() []kernel.Op { return []kernel.Op{r.op("-N ")} }
func (r orphan) Delete() []kernel.Op { return []kernel.Op{r.op("-X ")} }

func (r orphan) Update(Resource) ([]kernel.Op, bool) { return nil, false }

// Shared: by its chains other projects know whether what all share is still needed.
func (r orphan) Shared() bool { return true }

func (r orphan) op(verb string) kernel.Op {
	return kernel.Iptables{Family: r.table.family, Table: r.table.name, Args: verb + r.name}
}

// owns reports whether a hash in a chain's name stands for one of the projects.
func owns(hash string, projects []string) bool {
	return slices.ContainsFunc(projects, func(p string) bool { return chainHash(p) == hash })
}
