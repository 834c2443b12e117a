package planner

import (
	"slices"

	"topo/internal/kernel"
)

// stray is a rule in one of the project's chains that is not topo's: it bears no mark of the
// project. Those chains are topo's whole; the user's rules belong into TOPO-USER.
type stray struct{ rule kernel.Rule }

var strayKind = Kind{
	Name:   "rule",
	Desire: func(*Want) []Resource { return nil },
	Observe: func(h *Have) []Resource {
		var out []Resource
		for _, rule := range h.Snapshot.Rules {
			owner, ok := chainOwner(rule.Chain)
			m := rule.Mark()
			known := slices.ContainsFunc(ruleKinds, func(k Kind) bool { return k.Name == parseID(m.ID).Kind })
			if ok && owner == chainHash(h.Project) && (m.Project != h.Project || !known) {
				out = append(out, stray{rule})
			}
		}
		return out
	},
}

func (r stray) ID() ID {
	return ID{"rule", string(r.rule.Family) + "/" + r.rule.Table + "/" + r.rule.Chain + " " + r.rule.Spec}
}
func (r stray) Needs() []ID         { return []ID{chainsID(table{r.rule.Family, r.rule.Table})} }
func (r stray) Attrs() []Attr       { return []Attr{{"rule", r.rule.Spec}} }
func (r stray) Create() []kernel.Op { return ruleOps("-A", []kernel.Rule{r.rule}) }
func (r stray) Delete() []kernel.Op { return ruleOps("-D", []kernel.Rule{r.rule}) }

func (r stray) Update(Resource) ([]kernel.Op, bool) { return nil, false }
