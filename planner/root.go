package planner

import (
	"fmt"
	"slices"

	"topo/spec"
)

// roots checks that what containers have as their root is on this machine.
func roots(o Options) error {
	if o.Topology == nil {
		return nil
	}
	var errs spec.Errors
	for _, n := range o.Topology.Nodes {
		if p := n.Process; p != nil && slices.Contains(o.Snapshot.MissingFolders, p.Rootfs) {
			errs = append(errs, &spec.Error{Pos: p.RootPos, Msg: fmt.Sprintf("rootfs %s of %s is not a folder of this machine", p.Rootfs, n.Name)})
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
