package spec

import (
	"reflect"
	"slices"
	"strings"
)

// step is a node that is being put together on what it extends.
type step struct{ file, node string }

// extendAll lays each node of a section over the one that it extends.
func extendAll[T any](a *assembly, p *part, r *reading, section string, nodes func(*file) *dict[T], nodeOf func(*T) *node) {
	var extend func(p *part, e *entry[T], above []step)
	extend = func(p *part, e *entry[T], above []step) {
		x := nodeOf(&e.Value).Extends
		if x == nil || !x.Set {
			return
		}
		nodeOf(&e.Value).Extends = nil
		name := x.Service
		if x.Scalar.Set {
			name = x.Scalar
		}
		if !name.Set {
			return
		}
		above = append(slices.Clone(above), step{p.name, e.Key})
		src := p
		if x.File.Set {
			if src = a.base(p, r, x.File); src == nil {
				return
			}
		}
		if at := slices.Index(above, step{src.name, name.Value}); at >= 0 {
			a.problems.add(name.Pos, "a node can't extend itself: %s", cycle(above[at:]))
			return
		}
		base := find(nodes(src.file), name.Value)
		if base == nil {
			a.problems.add(name.Pos, "extends: %s", src.lacks(name.Value, section, p))
			return
		}
		extend(src, base, above)
		merged := clone(reflect.ValueOf(&base.Value).Elem())
		own := reflect.ValueOf(&e.Value).Elem()
		p.over.merge(below(below("", section), e.Key), merged, own, field{})
		pos := nodeOf(&e.Value).Pos
		own.Set(merged)
		nodeOf(&e.Value).Pos = pos
	}
	for i := range *nodes(p.file) {
		extend(p, &(*nodes(p.file))[i], nil)
	}
}

func cycle(steps []step) string {
	var words []string
	for _, s := range append(slices.Clone(steps), steps[0]) {
		words = append(words, s.node+" in "+s.file)
	}
	return strings.Join(words, " → ")
}

func find[T any](nodes *dict[T], name string) *entry[T] {
	i := slices.IndexFunc(*nodes, func(e entry[T]) bool { return e.Key == name })
	if i < 0 {
		return nil
	}
	return &(*nodes)[i]
}

// base is a file that a node of another one extends a node of. As in Compose, what that file includes is not there.
func (a *assembly) base(p *part, r *reading, name text) *part {
	path := from(p.dir, name.Value)
	key := a.nameOf(path)
	if key == p.name {
		return p
	}
	if b, again := r.bases[key]; again {
		return b
	}
	var b *part
	if s, ok := a.open(name.Pos, "extends", path, ""); ok {
		b = a.part(s, a.folders[s.Name], r.env)
	}
	if r.bases == nil {
		r.bases = map[string]*part{}
	}
	r.bases[key] = b
	return b
}

// lacks says that a section has no node of a name.
func (p *part) lacks(name, section string, seenFrom *part) string {
	where := ""
	if p != seenFrom {
		where = " in " + p.name
	}
	kinds := map[string][]string{}
	for _, e := range p.Namespaces {
		kinds["namespaces"] = append(kinds["namespaces"], e.Key)
	}
	for _, e := range p.Containers {
		kinds["containers"] = append(kinds["containers"], e.Key)
	}
	for kind, names := range kinds {
		if kind != section && slices.Contains(names, name) {
			return name + where + " is one of " + kind + ", and can be extended by those only"
		}
	}
	return "there is no node \"" + name + "\"" + where + suggest(name, kinds[section])
}
