package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MaxScale is the largest scale of a node.
const MaxScale = 1000

// maxReplicas bounds what scales may come to in one file.
const maxReplicas = 1 << 16

// group is the nodes that an entry with a scale stands for.
type group struct {
	pos   Pos
	nodes []*nodeState
}

// ambiguous says that a name means several nodes where one is needed.
func (g *group) ambiguous(name string) string {
	if len(g.nodes) == 0 {
		return name + " has a scale of 0: there is none"
	}
	return fmt.Sprintf("%s stands for %d nodes; name one, as %s-1", name, len(g.nodes), name)
}

// addNodes makes the nodes that an entry of the file stands for: one, as many as its scale says, or none where
// none of its profiles is active.
func (r *resolver) addNodes(pos Pos, name string, raw *node, c *container) {
	count, scaled := raw.Scale.Value, raw.Scale.Set || raw.Scale.Bad
	if n, given := r.Scale[name]; given {
		count, scaled = n, true
	}
	if !r.active(name, raw) {
		r.inactive[name] = raw
		r.topo.Inactive = append(r.topo.Inactive, Inactive{Name: name, Scaled: scaled})
		return
	}
	if !scaled {
		r.addNode(pos, name, &nodeState{raw: raw, container: c})
		return
	}
	r.checkName(pos, "node", name)
	if first, twice := r.groups[name]; twice {
		r.add(pos, "node %q is there twice, as a namespace in %s", name, line(first.pos))
		return
	}
	if count < 0 || count > MaxScale {
		count = 1 // noted already
	}
	r.replicas += count
	if r.replicas > maxReplicas {
		r.add(pos, "all scales of a file together are over %d", maxReplicas)
		count = 1
	}
	g := &group{pos: pos}
	r.groups[name] = g
	r.topo.Scaled = append(r.topo.Scaled, name)
	if count > 1 {
		r.refuseSingular(name, raw, count)
	}
	for i := range count {
		s := &nodeState{raw: raw, container: c, of: name}
		r.addNode(pos, fmt.Sprintf("%s-%d", name, i+1), s)
		g.nodes = append(g.nodes, s)
	}
}

// refuseSingular notes, and takes out, what only one of several nodes can have.
func (r *resolver) refuseSingular(name string, raw *node, count int) {
	refuse := func(pos Pos, set bool, key, way string) {
		if set {
			r.add(pos, "%s can't be that of all %d of %s; %s", key, count, name, way)
		}
	}
	for i := range raw.Bridges.Map {
		a := &raw.Bridges.Map[i].Value
		if all := a.Address.all(); len(all) > 0 {
			refuse(all[0].Pos, true, "address", "leave it out, and each gets its own")
		}
		refuse(a.MAC.Pos, a.MAC.Set, "mac", "leave it out, and each gets its own")
		refuse(a.HostInterface.Pos, a.HostInterface.Set, "host_interface", "leave it out, and each gets its own")
		a.Address, a.MAC, a.HostInterface = texts{}, text{}, text{}
	}
}

// checkSelection notes what topo was asked for by name and the file has not.
func (r *resolver) checkSelection() {
	for _, name := range slices.Sorted(maps.Keys(r.Scale)) {
		_, inactive := r.inactive[name]
		if _, known := r.groups[name]; !known && !inactive {
			r.add(Pos{}, "--scale: there is no node %q%s", name, r.near(name, r.entryNames))
		}
	}
	known := map[string]bool{}
	for _, raw := range r.entries() {
		for _, p := range raw.Profiles {
			known[p.Value] = true
		}
	}
	for _, p := range r.Profiles {
		if p != allProfiles && !known[p] {
			r.add(Pos{}, "--profile: no node is of profile %q%s", p, r.near(p, func() []string { return slices.Sorted(maps.Keys(known)) }))
		}
	}
}

// allProfiles is the word for every profile.
const allProfiles = "*"

// entries are the nodes of the file by name, scaled or not, active or not.
func (r *resolver) entries() map[string]*node {
	all := map[string]*node{}
	for i := range r.file.Namespaces {
		all[r.file.Namespaces[i].Key] = &r.file.Namespaces[i].Value.node
	}
	for i := range r.file.Containers {
		all[r.file.Containers[i].Key] = &r.file.Containers[i].Value.node
	}
	return all
}

func (r *resolver) entryNames() []string { return slices.Sorted(maps.Keys(r.entries())) }

// active reports whether one of the profiles of a node is active, or it has none.
func (r *resolver) active(name string, raw *node) bool {
	if len(raw.Profiles) == 0 {
		return true
	}
	active := false
	for _, p := range set(raw.Profiles) {
		r.checkName(p.Pos, "profile", p.Value)
		active = active || slices.Contains(r.activeProfiles(), p.Value)
	}
	return active || slices.Contains(r.Profiles, allProfiles) || slices.ContainsFunc(raw.Profiles, func(p text) bool { return p.Bad })
}

// activeProfiles are those that were asked for, and those of nodes that were.
func (r *resolver) activeProfiles() []string {
	if r.profiles != nil {
		return r.profiles
	}
	r.profiles = append([]string{}, r.Profiles...)
	for name, raw := range r.entries() {
		if slices.ContainsFunc(r.Named, func(n string) bool { return n == name || (raw.Scale.Set && IsReplica(n, name)) }) {
			for _, p := range raw.Profiles {
				r.profiles = append(r.profiles, p.Value)
			}
		}
	}
	return r.profiles
}

// IsReplica reports whether a node is called as one of an entry with a scale is: NAME-1.
func IsReplica(node, entry string) bool {
	number, ok := strings.CutPrefix(node, entry+"-")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// Covers reports whether a node of this name is meant.
func (i Inactive) Covers(node string) bool {
	return node == i.Name || i.Scaled && IsReplica(node, i.Name)
}

// whyInactive says what to do about a node that is left out.
func whyInactive(name string, raw *node) string {
	var profiles []string
	for _, p := range raw.Profiles {
		profiles = append(profiles, p.Value)
	}
	return fmt.Sprintf("%s is not active: it is there with --profile %s", name, strings.Join(profiles, " or "))
}
