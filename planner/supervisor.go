package planner

import "topo/internal/kernel"

// supervisor is the process that keeps a project's processes: it reads what they print, checks their
// health, sees their end. It runs while the project has processes.
type supervisor struct{ project string }

var supervisorKind = Kind{
	Name: "supervisor",
	Desire: func(w *Want) []Resource {
		for _, n := range w.Topology.Nodes {
			if n.Process != nil {
				return []Resource{supervisor{w.Project}}
			}
		}
		return nil
	},
	Observe: func(h *Have) []Resource {
		if h.Snapshot.Supervisor.PID == 0 {
			return nil
		}
		return []Resource{supervisor{h.Project}}
	},
}

func (r supervisor) ID() ID        { return ID{"supervisor", r.project} }
func (r supervisor) Needs() []ID   { return nil }
func (r supervisor) Attrs() []Attr { return []Attr{{"state", "running"}} }

func (r supervisor) Create() []kernel.Op {
	return []kernel.Op{kernel.SupervisorStart{Project: r.project}}
}

func (r supervisor) Delete() []kernel.Op {
	return []kernel.Op{kernel.SupervisorStop{Project: r.project}}
}

func (r supervisor) Update(Resource) ([]kernel.Op, bool) { return nil, false }
