package spec

import (
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// decoder fills the types of file*.go from YAML. It is driven by their tags:
//
//	yaml:"key"                 the key of a field; "-" for none
//	jsonschema:"required"      the key must be there
//	jsonschema:"enum=a,enum=b" the words that a text may be
//	jsonschema:"minimum=1"     bounds of a number, and maximum
//	jsonschema:"minItems=1"    how many a list has at least
//	later:"a b"                on the field _: keys that are known and not supported yet
//	elsewhere:"a b=reason"     on the field _: keys that belong somewhere else
//	merge:"replace"            a later file's value stands alone (see [overlay])
//	instead:"a=b c=d"          on the field _: the words that other tools have for topo's keys
//
// The schema is made of the same tags. A type with a field Scalar, List or Map takes that form of YAML,
// too: see [structure.forms].
type decoder struct {
	problems
	warnings problems
	file     string
	env      map[string]string
	types    map[reflect.Type]*structure
}

// origin is where a value stands in the file.
type origin struct {
	Pos Pos  `yaml:"-"`
	Set bool `yaml:"-"` // it is in the file, and well-formed
	Bad bool `yaml:"-"` // it is in the file, and not well-formed: noted already
}

func (o *origin) place(p Pos) { o.Pos, o.Set = p, true }
func (o *origin) spoil(p Pos) { o.Pos, o.Bad = p, true }

// dict is a map with names that the file chooses, in the file's order.
type dict[T any] []entry[T]

type entry[T any] struct {
	Pos   Pos // of the name
	Key   string
	Value T
}

// add appends an entry and returns its value, to be filled in.
func (m *dict[T]) add(pos Pos, key string) any {
	*m = append(*m, entry[T]{Pos: pos, Key: key})
	return &(*m)[len(*m)-1].Value
}

// JSONSchemaAlias tells the maker of the schema what a dict is in YAML.
func (dict[T]) JSONSchemaAlias() any { return map[string]T{} }

type (
	placed interface {
		place(Pos)
		spoil(Pos)
	}
	ordered interface{ add(pos Pos, key string) any }
)

func (d *decoder) at(n *yaml.Node) Pos { return Pos{d.file, n.Line, n.Column} }

// decode fills v, a pointer to a raw type.
func (d *decoder) decode(n *yaml.Node, v any) {
	d.types = map[reflect.Type]*structure{}
	d.value(n, reflect.ValueOf(v).Elem(), "the file", rule{})
}

// value decodes a node into v; what is how a message calls it.
func (d *decoder) value(n *yaml.Node, v reflect.Value, what string, r rule) {
	n = inPlace(n)
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	p := v.Addr().Interface()
	switch {
	case isLeaf(p):
		d.scalar(n, p.(leaf), what, r)
	case isOrdered(p):
		d.dict(n, p.(ordered), what)
	case v.Kind() == reflect.Slice:
		d.list(n, v, what, r)
	default:
		d.structure(n, v, what, r)
	}
}

func isLeaf(p any) bool    { _, ok := p.(leaf); return ok }
func isOrdered(p any) bool { _, ok := p.(ordered); return ok }

func (d *decoder) list(n *yaml.Node, v reflect.Value, what string, r rule) {
	if isNull(n) && r.least == 0 {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.add(d.at(n), "%s must be a list, not %s", what, describe(n))
		return
	}
	d.checkTag(n, seqTag)
	if len(n.Content) < r.least {
		d.add(d.at(n), "%s must have %d or more", what, r.least)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		item := v.Index(i)
		if isNull(target(c)) {
			d.add(d.at(c), "an item of %s has no value", what)
			item.Addr().Interface().(placed).spoil(d.at(c))
			continue
		}
		d.value(c, item, "an item of "+what, r)
	}
}

func (d *decoder) dict(n *yaml.Node, m ordered, what string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.add(d.at(n), "%s must be a map, not %s", what, describe(n))
		return
	}
	for _, e := range d.entries(n) {
		v := reflect.ValueOf(m.add(d.at(e.key), e.key.Value)).Elem()
		d.value(e.value, v, e.key.Value, rule{})
	}
}

// structure decodes a map with known keys, or one of the other forms of the type.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, what string, r rule) {
	s := d.structureOf(v.Type())
	switch {
	case n.Kind == yaml.ScalarNode && s.scalar != nil && !isNull(n):
		d.value(n, v.FieldByIndex(s.scalar.index), what, r)
	case n.Kind == yaml.SequenceNode && s.list != nil:
		d.value(n, v.FieldByIndex(s.list.index), what, r)
	case n.Kind == yaml.MappingNode && s.dict != nil:
		d.value(n, v.FieldByIndex(s.dict.index), what, r)
	case n.Kind == yaml.MappingNode && len(s.fields) > 0:
		d.keys(n, v, s)
	case isNull(n) && s.scalar == nil:
	case isNull(n):
		d.add(d.at(n), "%s has no value", what)
		v.Addr().Interface().(placed).spoil(d.at(n))
		return
	default:
		d.add(d.at(n), "%s must be %s, not %s", what, s.forms(), describe(n))
		v.Addr().Interface().(placed).spoil(d.at(n))
		return
	}
	if !isNull(n) {
		v.Addr().Interface().(placed).place(d.at(n))
	}
}

func (d *decoder) keys(n *yaml.Node, v reflect.Value, s *structure) {
	found := 0
	list := d.entries(n)
	for _, e := range list {
		key := e.key.Value
		f, ok := s.byKey[key]
		if !ok {
			d.unknownKey(e.key, s)
			continue
		}
		if f.required {
			found++
		}
		d.value(e.value, v.FieldByIndex(f.index), key, f.rule)
	}
	if found == s.required {
		return
	}
	for _, f := range s.fields {
		if f.required && !slices.ContainsFunc(list, func(e pair) bool { return e.key.Value == f.key }) {
			d.add(d.at(n), "%s is missing", f.key)
		}
	}
}

func (d *decoder) unknownKey(k *yaml.Node, s *structure) {
	key := k.Value
	switch {
	case strings.HasPrefix(key, "x-"):
	case slices.Contains(s.later, key):
		d.add(d.at(k), "%s is not supported yet", key)
	case s.elsewhere[key] != "":
		d.add(d.at(k), "%s %s", key, s.elsewhere[key])
	case s.instead[key] != "":
		d.add(d.at(k), "unknown key %q; topo says %q", key, s.instead[key])
	default:
		known := make([]string, len(s.fields))
		for i, f := range s.fields {
			known[i] = f.key
		}
		d.add(d.at(k), "unknown key %q%s", key, suggest(key, known))
	}
}
