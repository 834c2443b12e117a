package planner

import (
	"slices"

	"topo/internal/kernel"
)

// engineConflicts looks for containers that the engine has under the names that topo's are to have, and that are not the
// project's.
func engineConflicts(w *Want, changes map[ID]*Change) Conflicts {
	var out Conflicts
	for _, c := range changes {
		r, ok := c.Want.(process)
		if !ok || r.p.Runtime != kernel.RuntimeDocker {
			continue
		}
		for _, name := range []string{kernel.EngineName(r.p.Project, r.p.Node), kernel.EngineSandboxName(r.p.Project, r.p.Node)} {
			i := slices.IndexFunc(w.Host.Containers, func(e kernel.EngineContainer) bool { return e.Name == name })
			if i < 0 || w.Host.Containers[i].Mark.Project == w.Project {
				continue
			}
			out = append(out, &ConflictError{
				Object: "container " + name + " for " + c.ID.String(), Holder: heldBy(w.Host.Containers[i].Mark, "the engine has one that is not topo's"),
				Ways: []string{"remove it: docker rm " + name, "choose another project name: -p", "rename the node " + r.p.Node},
			})
		}
	}
	return out
}
