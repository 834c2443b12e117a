package planner

import (
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// Options is all that a plan depends on.
type Options struct {
	// Topology is what is wanted, allocated ([Allocate]); nil to remove the project.
	Topology *spec.Topology
	Project  string
	Snapshot kernel.Snapshot // as asked for by [Query]
	// Applied is what was wanted at the last successful up; it only gives reasons their words.
	Applied Applied
	// Nodes limits the plan to these nodes and entries with a scale, what they depend on and what all share; empty: all.
	Nodes []string
	// KeepOrphans leaves nodes and bridges alone that are no longer in the file.
	KeepOrphans bool
	// Volumes has the project's volumes removed that the topology has not; with no topology, all of them.
	Volumes bool
	// KeepShared leaves alone what all projects share, as if others needed it.
	KeepShared bool
	// Known and Gone are for the plan of [kernel.HostProject], of what all share and none needs: the projects that are on the
	// machine, and those that are not any more when the plan is carried out.
	Known, Gone []string
}

// Applied is what was wanted at the last successful up: a fingerprint of the attributes of each resource.
type Applied map[string]string

// Remember is what to keep as [Applied] after a successful up.
func (p *Plan) Remember() Applied {
	m := Applied{}
	for _, r := range p.wanted {
		m[r.ID().String()] = fingerprint(r)
	}
	return m
}

func wantOf(o Options) *Want {
	return &Want{Topology: o.Topology, Project: o.Project, Host: o.Snapshot}
}

// all lists what is wanted of every kind.
func (w *Want) all() []Resource {
	if w.Topology == nil {
		return nil
	}
	lists := make([][]Resource, len(kinds))
	for i, k := range kinds {
		lists[i] = w.of(k)
	}
	return slices.Concat(lists...)
}

// Build plans. Errors: [Conflicts] where something foreign stands in the way, a [*CycleError],
// [spec.Errors] for limits of the machine, a [*ShortError] for what the machine lacks.
func Build(o Options) (*Plan, error) {
	if err := limits(o); err != nil {
		return nil, err
	}
	if err := roots(o); err != nil {
		return nil, err
	}
	if err := unconfinable(o); err != nil {
		return nil, err
	}
	if err := lacking(o); err != nil {
		return nil, err
	}
	if err := keyless(o); err != nil {
		return nil, err
	}
	w := wantOf(o)
	want := w.all()
	h, have := observe(o, want)
	changes := diff(want, h.want, have, o.Applied)
	if len(o.Nodes) > 0 {
		narrow(changes, o)
	}
	if o.KeepOrphans {
		keepOrphans(changes, o.Topology)
	}
	if len(o.Nodes) > 0 || o.KeepOrphans {
		keepBelow(changes, have)
	}
	nameInactive(changes, o.Topology)
	if c := conflicts(w, h, changes); len(c) > 0 {
		return nil, c
	}
	if err := missing(o, changes); err != nil {
		return nil, err
	}
	p, err := order(o.Project, changes, o.Snapshot)
	if err != nil {
		return nil, err
	}
	p.wanted = want
	p.Warnings = warnings(o)
	p.Moves = moves(p, o.Snapshot)
	p.First = !slices.ContainsFunc(have, func(r Resource) bool {
		k := r.ID().Kind
		return k != firewallKind.Name && k != forwardingKind.Name && k != imageKind.Name
	})
	return p, nil
}

// observe lists what the host has of the project.
func observe(o Options, want []Resource) (h *Have, have []Resource) {
	h = newHave(o, want)
	for _, k := range kinds {
		have = append(have, k.Observe(h)...)
	}
	return h, have
}
