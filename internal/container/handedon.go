package container

import (
	"path"
	"slices"

	"topo/internal/kernel"
)

// added are the mounts of a container that its file doesn't state: those that the nodes of VolumesFrom have from their images, or
// from others' images in turn, and its own image's volumes. It notes in the process which images those were.
//
// As in Docker, what the container states goes before what it is handed, a later node's mount before an earlier one's,
// and all of that before its image's.
func (l layout) added(p *kernel.Process, image *kernel.ImageConfig) ([]kernel.Mount, error) {
	var handed []kernel.Mount
	p.VolumesFrom = slices.Clone(p.VolumesFrom)
	for i := range p.VolumesFrom {
		v := &p.VolumesFrom[i]
		from, rec, err := readNode(l, v.Node)
		if err != nil {
			return nil, err
		}
		v.Images = from.ImagesBehind()
		for _, m := range rec.Added {
			if !givesWay(*p, i, m.Target) {
				continue
			}
			// What an empty volume is filled with is its owner's matter.
			m.From, m.NoCopy, m.ReadOnly = v.Node, true, m.ReadOnly || v.ReadOnly
			handed = putOver(handed, m)
		}
	}
	whole := *p
	whole.Mounts = putOver(p.Mounts, handed...)
	return append(handed, image.VolumesOf(whole)...), nil
}

// givesWay reports whether a target is free for what the i-th node of VolumesFrom hands on.
func givesWay(p kernel.Process, i int, target string) bool {
	if slices.ContainsFunc(p.Tmpfs, func(t kernel.Tmpfs) bool { return path.Clean(t.Target) == target }) {
		return false
	}
	return !slices.ContainsFunc(p.Mounts, func(m kernel.Mount) bool {
		return path.Clean(m.Target) == target && (m.From == "" || slices.ContainsFunc(p.VolumesFrom[i:], func(v kernel.VolumesFrom) bool { return v.Node == m.From }))
	})
}

// putOver puts mounts over others: of two at one target the later stays.
func putOver(below []kernel.Mount, above ...kernel.Mount) []kernel.Mount {
	out := slices.Clone(below)
	for _, m := range above {
		out = slices.DeleteFunc(out, func(o kernel.Mount) bool { return path.Clean(o.Target) == path.Clean(m.Target) })
		out = append(out, m)
	}
	return out
}
