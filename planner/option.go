package planner

import (
	"fmt"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// needs are the options of the kernel's build, without CONFIG_, that have what a file asks for, each with the place that does.
func needs(t *spec.Topology, host kernel.Snapshot, need func(pos spec.Pos, what, option string)) {
	impairNeeds(t, need)
	bridgeNeeds(t, need)
	deviceNeeds(t, need)
	routeNeeds(t, need)
	policyNeeds(t, need)
	uplinkNeeds(t, host, need)
}

// optionsOf are the options that a file needs.
func optionsOf(t *spec.Topology) []string {
	var options []string
	needs(t, kernel.Snapshot{}, func(_ spec.Pos, _, option string) {
		if !slices.Contains(options, option) {
			options = append(options, option)
		}
	})
	return options
}

// lacking reports what a file needs and the running kernel was built without. Nothing of it is skipped in silence.
func lacking(o Options) error {
	if o.Topology == nil {
		return nil
	}
	var errs spec.Errors
	needs(o.Topology, o.Snapshot, func(pos spec.Pos, what, option string) {
		e := spec.Error{Pos: pos, Msg: fmt.Sprintf("this kernel can't do %s: it was built without CONFIG_%s", what, option)}
		if slices.Contains(o.Snapshot.Lacking, option) && !slices.ContainsFunc(errs, func(x *spec.Error) bool { return *x == e }) {
			errs = append(errs, &e)
		}
	})
	if len(errs) > 0 {
		return errs
	}
	return nil
}
