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
	add := func(p *spec.Process, format string, args ...any) {
		errs = append(errs, &spec.Error{Pos: p.RootPos, Msg: fmt.Sprintf(format, args...)})
	}
	for _, n := range o.Topology.Nodes {
		p := n.Process
		if p == nil {
			continue
		}
		i := imageIn(o.Snapshot, imageReference(p), p.Platform)
		switch {
		case p.Rootfs != "" && slices.Contains(o.Snapshot.MissingFolders, p.Rootfs):
			add(p, "rootfs %s of %s is not a folder of this machine", p.Rootfs, n.Name)
		case p.Image == "" || len(o.Snapshot.Images) == 0:
		case i.Unfit != "":
			errs = append(errs, &spec.Error{Pos: p.PlatformPos, Msg: fmt.Sprintf("platform %s of %s: %s", p.Platform, n.Name, i.Unfit)})
		case i.Digest == "" && p.PullPolicy == spec.PullNever:
			add(p, "image %s of %s is not in the store, and pull_policy is never", p.Image, n.Name)
		case i.Error != "" && (i.Digest == "" || p.PullPolicy == spec.PullAlways):
			add(p, "image %s of %s: %s", p.Image, n.Name, i.Error)
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
