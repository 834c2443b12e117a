package planner

import (
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// Query is what must be read to plan for a topology; nil on the way down.
func Query(t *spec.Topology, project string) kernel.Query {
	q := kernel.Query{Project: project}
	for _, key := range bridgeCalls {
		q.Sysctls = append(q.Sysctls, key)
	}
	if t == nil {
		q.Lost = true
		return q
	}
	for _, b := range t.Bridges {
		if !b.External && b.Node == "" {
			q.Sysctls = append(q.Sysctls, routeLocalnetKey(b.Interface))
		}
	}
	q.Options = optionsOf(t)
	q.VLANs = slices.ContainsFunc(t.Bridges, func(b spec.Bridge) bool { return b.VLANFiltering }) || statesVLANs(t)
	keyFiles(t, func(_ spec.Pos, _, path string) {
		if !slices.Contains(q.KeyFiles, path) {
			q.KeyFiles = append(q.KeyFiles, path)
		}
	})
	for _, n := range t.Nodes {
		for _, s := range n.Sysctls {
			q.Sysctls = append(q.Sysctls, kernel.SysctlKey{Netns: n.Netns, Key: s.Key})
		}
		q.Listeners = q.Listeners || len(n.Ports) > 0
		if n.Process != nil && n.Process.Rootfs != "" {
			q.Folders = append(q.Folders, n.Process.Rootfs)
		}
		q.Images = addImage(q.Images, n.Process)
		if n.Process != nil {
			q.Mapped = append(q.Mapped, mappedFolders(n.Process)...)
		}
		if ownContainer(n) && !slices.Contains(q.Runtimes, n.Process.Runtime) {
			q.Runtimes = append(q.Runtimes, n.Process.Runtime)
		}
		if n.Process != nil && n.Process.Runtime == kernel.RuntimeDocker {
			q.Containers = append(q.Containers, kernel.EngineName(project, n.Name), kernel.EngineSandboxName(project, n.Name))
		}
	}
	return q
}
