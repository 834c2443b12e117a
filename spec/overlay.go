package spec

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// overlay lays what a later file says over what the files before it say, by the rules of compose-spec, "Merge and
// override", which are driven by the types of file*.go:
//
//   - a scalar, and what is tagged merge:"replace" (command, entrypoint, a health check's test…), is replaced;
//   - maps are merged, key by key;
//   - lists are put one behind the other, but what has an identity (a port, a mount by its target, a name) is there
//     once, as the later file says it;
//   - what may be a list or a map (environment, labels, depends_on, bridges…) is merged by key, whichever form each
//     file has;
//   - !reset takes a key out, !override has the later value stand alone.
type overlay struct {
	marks map[string]string // of the later file, tag by path
	types decoder           // for what it knows of types
}

const resetTag, overrideTag = "!reset", "!override"

// takeMarks takes the tags !reset and !override out of a tree, with what is reset. Those in what an alias or a merge key (<<)
// brings in hold where it is brought.
func (d *decoder) takeMarks(root *yaml.Node, data []byte) map[string]string {
	if !bytes.Contains(data, []byte(resetTag)) && !bytes.Contains(data, []byte(overrideTag)) {
		return nil
	}
	m := marker{marks: map[string]string{}, visited: map[*yaml.Node]bool{}}
	m.mark("", root, nil)
	for n := range m.visited {
		m.strip(n)
	}
	return m.marks
}

// marker notes the tags of a tree.
type marker struct {
	marks   map[string]string
	visited map[*yaml.Node]bool // maps that were seen, from which tags are taken only once all are noted: they may be seen by several ways
}

// mark notes those of a map at a path, but for keys that a map into which it is merged has itself.
func (m *marker) mark(path string, n *yaml.Node, above map[string]bool) {
	n = target(n)
	if n.Kind != yaml.MappingNode {
		return
	}
	m.visited[n] = true
	said := maps.Clone(above)
	if said == nil {
		said = map[string]bool{}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := target(n.Content[i]), target(n.Content[i+1])
		if key.Tag == mergeTag || said[key.Value] {
			continue
		}
		said[key.Value] = true
		at := below(path, key.Value)
		if value.Tag == resetTag || value.Tag == overrideTag {
			m.marks[at] = value.Tag
		}
		if value.Tag != resetTag {
			m.mark(at, value, nil)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if target(n.Content[i]).Tag != mergeTag {
			continue
		}
		merged := []*yaml.Node{n.Content[i+1]}
		if list := target(n.Content[i+1]); list.Kind == yaml.SequenceNode {
			merged = list.Content
		}
		for _, source := range merged {
			m.mark(path, source, said)
		}
	}
}

// strip takes the tags out of a map, and the keys that are reset.
func (m *marker) strip(n *yaml.Node) {
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := target(n.Content[i+1])
		if value.Tag == resetTag {
			continue
		}
		kept = append(kept, n.Content[i], n.Content[i+1])
		if value.Tag == overrideTag {
			value.Tag = ""
			value.Tag = value.ShortTag()
		}
	}
	n.Content = kept
}

func below(path, key string) string { return path + "\x00" + key }

// merge lays later over earlier, both of one type; f is the field that they are in.
func (o *overlay) merge(path string, earlier, later reflect.Value, f field) {
	if earlier.Kind() == reflect.Pointer {
		switch {
		case later.IsNil():
		case earlier.IsNil():
			earlier.Set(later)
		default:
			o.merge(path, earlier.Elem(), later.Elem(), f)
		}
		return
	}
	p := earlier.Addr().Interface()
	switch e := p.(type) {
	case leaf:
		if isSet(later) {
			earlier.Set(later)
		}
		return
	case layered:
		if isSet(later) && f.replaced {
			earlier.Set(later)
		} else if isSet(later) {
			e.layer(o, path, later.Addr().Interface())
			setOrigin(earlier, later)
		}
		return
	}
	switch {
	case isOrdered(p):
		o.dict(path, earlier, later)
	case earlier.Kind() == reflect.Slice:
		earlier.Set(joined(earlier, later))
	default:
		o.structure(path, earlier, later, f)
	}
}

// structure merges what has known keys, or is a list or a map: lists stand one behind the other, maps are merged.
func (o *overlay) structure(path string, earlier, later reflect.Value, f field) {
	if o.types.types == nil {
		o.types.types = map[reflect.Type]*structure{}
	}
	s := o.types.structureOf(earlier.Type())
	otherForm := s.scalar != nil && (isSet(earlier.FieldByIndex(s.scalar.index)) || isSet(later.FieldByIndex(s.scalar.index)))
	if isSet(later) && (f.replaced || otherForm) {
		earlier.Set(later)
		return
	}
	for _, f := range s.fields {
		at := below(path, f.key)
		switch field := earlier.FieldByIndex(f.index); o.marks[at] {
		case resetTag:
			field.SetZero()
		case overrideTag:
			field.Set(later.FieldByIndex(f.index))
		default:
			o.merge(at, field, later.FieldByIndex(f.index), f)
		}
	}
	for _, form := range []*field{s.list, s.dict} {
		if form != nil {
			o.merge(path, earlier.FieldByIndex(form.index), later.FieldByIndex(form.index), *form)
		}
	}
	setOrigin(earlier, later)
}

// dict merges maps whose keys the file chooses. What is new stands behind.
func (o *overlay) dict(path string, earlier, later reflect.Value) {
	for i := range later.Len() {
		entry := later.Index(i)
		name := entry.FieldByName("Key").String()
		at := below(path, name)
		j := indexOf(earlier, func(e reflect.Value) bool { return e.FieldByName("Key").String() == name })
		switch {
		case j < 0:
			earlier.Set(reflect.Append(earlier, entry))
		case o.marks[at] == overrideTag:
			earlier.Index(j).Set(entry)
		default:
			o.merge(at, earlier.Index(j).FieldByName("Value"), entry.FieldByName("Value"), field{})
		}
	}
	for i := earlier.Len() - 1; i >= 0; i-- {
		if o.marks[below(path, earlier.Index(i).FieldByName("Key").String())] == resetTag {
			earlier.Set(reflect.AppendSlice(earlier.Slice(0, i), earlier.Slice(i+1, earlier.Len())))
		}
	}
}

// identified is an item of a list of which there is one of each identity; "" is none.
type identified interface{ identity() string }

// joined is two lists, one behind the other; the later one's items take the places of those that they are.
func joined(earlier, later reflect.Value) reflect.Value {
	all := reflect.AppendSlice(reflect.MakeSlice(earlier.Type(), 0, earlier.Len()+later.Len()), earlier)
	for i := range later.Len() {
		item := later.Index(i)
		at := -1
		if v, ok := item.Interface().(identified); ok && v.identity() != "" {
			at = indexOf(all, func(e reflect.Value) bool { return e.Interface().(identified).identity() == v.identity() })
		}
		if at < 0 {
			all = reflect.Append(all, item)
		} else {
			all.Index(at).Set(item)
		}
	}
	return all
}

func indexOf(list reflect.Value, is func(reflect.Value) bool) int {
	for i := range list.Len() {
		if is(list.Index(i)) {
			return i
		}
	}
	return -1
}

// isSet reports whether a value is in its file, well-formed or not.
func isSet(v reflect.Value) bool {
	return v.FieldByName("Set").Bool() || v.FieldByName("Bad").Bool()
}

// setOrigin has a value stand where the later file has it, if no earlier one does.
func setOrigin(earlier, later reflect.Value) {
	if isSet(later) && !isSet(earlier) {
		earlier.FieldByName("Pos").Set(later.FieldByName("Pos"))
	}
	for _, name := range []string{"Set", "Bad"} {
		earlier.FieldByName(name).SetBool(earlier.FieldByName(name).Bool() || later.FieldByName(name).Bool())
	}
}

func (t text) identity() string { return t.Value }

// identity of a port: what is published, where, and what for.
func (p port) identity() string {
	short := p.Scalar.Value
	if !p.Scalar.Set {
		short = p.short()
	}
	return strings.TrimSuffix(short, "/tcp")
}

// identity of a mount is its target.
func (v volume) identity() string {
	if !v.Scalar.Set {
		return v.Target.Value
	}
	words := strings.Split(v.Scalar.Value, ":")
	return words[min(1, len(words)-1)]
}

// identity of a route is what makes it another one for the kernel, too.
func (r route) identity() string {
	return fmt.Sprintf("%s metric %d table %d", r.To.Value, r.Metric.Value, r.Table.Value)
}

// layered is what may be written in several forms, and has rules of its own.
type layered interface {
	layer(o *overlay, path string, later any)
}

func (t *texts) layer(_ *overlay, _ string, later any) {
	list := joined(reflect.ValueOf(t.all()), reflect.ValueOf(later.(*texts).all()))
	*t = texts{origin: t.origin, List: list.Interface().([]text)}
}

func (e *envFiles) layer(_ *overlay, _ string, later any) {
	*e = envFiles{origin: e.origin, List: append(slices.Clone(e.all()), later.(*envFiles).all()...)}
}

func (w *words) layer(_ *overlay, _ string, later any) { *w = *later.(*words) }

func (h *healthTest) layer(_ *overlay, _ string, later any) { *h = *later.(*healthTest) }

func (p *pairs) layer(o *overlay, path string, later any) {
	l := later.(*pairs)
	said := map[string]bool{}
	for _, kv := range l.read() {
		said[kv.key] = true
	}
	gone := func(key string) bool { return said[key] || o.marks[below(path, key)] == resetTag }
	p.List = append(slices.DeleteFunc(slices.Clone(p.List), func(w word) bool {
		key, _, _ := strings.Cut(w.Value, "=")
		return gone(key)
	}), l.List...)
	p.Map = append(slices.DeleteFunc(slices.Clone(p.Map), func(e entry[maybe]) bool { return gone(e.Key) }), l.Map...)
}

func (a *attachments) layer(o *overlay, path string, later any) {
	l := later.(*attachments)
	a.List, a.Map = layerNamed(o, path, a.List, a.Map, l.List, l.Map)
}

func (u *uplinks) layer(o *overlay, path string, later any) {
	l := later.(*uplinks)
	u.List, u.Map = layerNamed(o, path, u.List, u.Map, l.List, l.Map)
}

func (d *dependencies) layer(o *overlay, path string, later any) {
	l := later.(*dependencies)
	if len(d.Map) > 0 {
		// What a list says of a node goes over what a map said.
		for _, t := range set(l.List) {
			l.Map = append(l.Map, entry[dependency]{Pos: t.Pos, Key: t.Value, Value: dependency{
				origin:    t.origin,
				Condition: text{t.origin, string(Started)},
				Required:  flag{t.origin, true},
			}})
		}
		l.List = nil
	}
	d.List, d.Map = layerNamed(o, path, d.List, d.Map, l.List, l.Map)
}

// layerNamed merges two lists of names, or maps from these. Two lists stay one.
func layerNamed[T any](o *overlay, path string, list []text, named dict[T], laterList []text, laterNamed dict[T]) ([]text, dict[T]) {
	if len(named) == 0 && len(laterNamed) == 0 {
		return joined(reflect.ValueOf(list), reflect.ValueOf(laterList)).Interface().([]text), nil
	}
	mapped := func(list []text, named dict[T]) *dict[T] {
		m := slices.Clone(named)
		for _, t := range set(list) {
			m = append(m, entry[T]{Pos: t.Pos, Key: t.Value})
		}
		return &m
	}
	m := mapped(list, named)
	o.dict(path, reflect.ValueOf(m).Elem(), reflect.ValueOf(mapped(laterList, laterNamed)).Elem())
	return nil, *m
}
