package spec

import (
	"path"
	"slices"
	"strings"
)

// volumesFrom gives containers the volumes and bind mounts of those that they name, which are started
// before them. A container's own mount goes before one of another's at the same place, and a later
// container's before an earlier one's, as in Docker.
func (r *resolver) volumesFrom() {
	w := &volumeWalk{resolver: r, state: map[*nodeState]walked{}}
	for _, s := range r.order {
		w.inherit(s)
	}
}

type walked int

const (
	walking walked = iota + 1
	walkedThrough
)

// volumeWalk goes from container to container, so that what one has from another is there to be handed on.
type volumeWalk struct {
	*resolver
	state map[*nodeState]walked
	path  []string
}

// inherit completes the mounts of one container.
func (w *volumeWalk) inherit(s *nodeState) {
	if s.container == nil || w.state[s] == walkedThrough {
		return
	}
	n := w.node(s)
	w.state[s], w.path = walking, append(w.path, n.Name)
	defer func() { w.state[s], w.path = walkedThrough, w.path[:len(w.path)-1] }()
	var inherited []Mount
	for _, t := range set(s.container.VolumesFrom) {
		from, readOnly, ok := w.source(s, t)
		if !ok {
			continue
		}
		if w.state[from] == walking {
			name := w.node(from).Name
			cycle := append(slices.Clone(w.path[slices.Index(w.path, name):]), name)
			w.add(t.Pos, "volumes_from is a cycle: %s", strings.Join(cycle, " → "))
			continue
		}
		w.inherit(from)
		inherited = replaceMounts(inherited, w.mountsFrom(from, t.Pos, readOnly))
		n.Process.VolumesFrom = append(n.Process.VolumesFrom, strings.TrimSuffix(t.Value, ":rw"))
		w.startAfter(n, w.node(from).Name, t.Pos)
	}
	inherited = slices.DeleteFunc(inherited, func(m Mount) bool {
		return slices.ContainsFunc(n.Process.Tmpfs, func(t Tmpfs) bool { return path.Clean(t.Target) == path.Clean(m.Target) })
	})
	n.Process.Mounts = replaceMounts(inherited, n.Process.Mounts)
}

// source reads NODE[:ro|rw].
func (w *volumeWalk) source(s *nodeState, t text) (from *nodeState, readOnly, ok bool) {
	name, mode, given := strings.Cut(t.Value, ":")
	switch {
	case name == "container":
		w.add(t.Pos, "volumes_from %q: only containers of this file have volumes to give; name a node", t.Value)
		return nil, false, false
	case given && mode != "ro" && mode != "rw":
		w.add(t.Pos, "volumes_from %q is not NODE, NODE:ro or NODE:rw", t.Value)
		return nil, false, false
	}
	from = w.findNode(t.Pos, name)
	switch {
	case from == nil:
		return nil, false, false
	case from == s:
		w.add(t.Pos, "volumes_from: %s has its own volumes", name)
		return nil, false, false
	case from.container == nil:
		w.add(t.Pos, "volumes_from: %s is a namespace, and has no volumes", name)
		return nil, false, false
	}
	return from, mode == "ro", true
}

// mountsFrom are the mounts that a container hands on. Not its tmpfs: memory is nobody else's. What an empty
// volume is filled with is its own matter, too.
func (w *volumeWalk) mountsFrom(from *nodeState, pos Pos, readOnly bool) []Mount {
	var mounts []Mount
	for _, m := range w.node(from).Process.Mounts {
		if m.Kind == TmpfsMount {
			continue
		}
		m.Pos, m.From, m.ReadOnly = pos, w.node(from).Name, m.ReadOnly || readOnly
		m.NoCopy = m.Kind == VolumeMount
		mounts = append(mounts, m)
	}
	return mounts
}

// startAfter has n started after another node, unless the file says more about the two.
func (w *volumeWalk) startAfter(n *Node, other string, pos Pos) {
	s := w.nodes[n.Name]
	means := func(name string) bool { return name == other || name == w.nodes[other].of && name != "" }
	stated := slices.ContainsFunc(s.raw.DependsOn.List, func(t text) bool { return means(t.Value) }) ||
		slices.ContainsFunc(s.raw.DependsOn.Map, func(e entry[dependency]) bool { return means(e.Key) })
	known := slices.ContainsFunc(n.DependsOn, func(d Dependency) bool { return d.Node == other })
	if !stated && !known {
		n.DependsOn = append(n.DependsOn, Dependency{Pos: pos, Node: other, Condition: Started, Required: true})
	}
}

// replaceMounts puts mounts over others: of two at the same target the latter stays.
func replaceMounts(below, above []Mount) []Mount {
	kept := slices.DeleteFunc(slices.Clone(below), func(m Mount) bool {
		return slices.ContainsFunc(above, func(o Mount) bool { return o.Target == m.Target })
	})
	return append(kept, above...)
}
