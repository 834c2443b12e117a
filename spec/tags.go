package spec

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// structure is what a struct type says in its tags.
type structure struct {
	fields []field
	byKey  map[string]*field
	// required is how many of the fields must be there.
	required int
	// scalar, list and dict are the fields of those forms, nil for a form that the type does not take.
	scalar, list, dict *field
	scalarKind         string // "text", "a whole number"…
	later              []string
	elsewhere          map[string]string
	instead            map[string]string
}

type field struct {
	key      string
	index    []int
	required bool
	replaced bool // by a later file, not merged
	rule     rule
}

// rule is what a field's tags demand of a scalar, or of a list.
type rule struct {
	words    []string
	min, max *int
	least    int // items
}

// forms says in words what a type takes.
func (s *structure) forms() string {
	var forms []string
	if s.scalar != nil {
		forms = append(forms, s.scalarKind)
	}
	if s.list != nil {
		forms = append(forms, "a list")
	}
	if s.dict != nil || len(s.fields) > 0 {
		forms = append(forms, "a map")
	}
	return strings.Join(forms, " or ")
}

// structureOf reads the tags of a struct type, once.
func (d *decoder) structureOf(t reflect.Type) *structure {
	if s, ok := d.types[t]; ok {
		return s
	}
	s := &structure{byKey: map[string]*field{}, elsewhere: map[string]string{}, instead: map[string]string{}}
	s.read(t, nil)
	for i := range s.fields {
		f := &s.fields[i]
		s.byKey[f.key] = f
		if f.required {
			s.required++
		}
	}
	d.types[t] = s
	return s
}

func (s *structure) read(t reflect.Type, index []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		f := field{index: append(slices.Clone(index), i)}
		key, tagged := sf.Tag.Lookup("yaml")
		switch {
		case sf.Name == "_":
			s.readNotes(sf.Tag)
		case sf.Anonymous:
			s.read(sf.Type, f.index)
		case key == "-":
		case tagged:
			f.key = key
			f.readRule(sf.Tag.Get("jsonschema"))
			f.replaced = sf.Tag.Get("merge") == "replace"
			s.fields = append(s.fields, f)
		case sf.Name == "Scalar":
			s.scalar = &f
			s.scalarKind = "text"
			if v, ok := reflect.New(sf.Type).Interface().(leaf); ok {
				s.scalarKind = kindOf(v)
			}
		case sf.Name == "List":
			s.list = &f
		case sf.Name == "Map":
			s.dict = &f
		}
	}
}

func (s *structure) readNotes(tag reflect.StructTag) {
	s.later = append(s.later, strings.Fields(tag.Get("later"))...)
	if keys, reason, ok := strings.Cut(tag.Get("elsewhere"), "="); ok {
		for _, k := range strings.Fields(keys) {
			s.elsewhere[k] = reason
		}
	}
	for _, pair := range strings.Fields(tag.Get("instead")) {
		theirs, ours, _ := strings.Cut(pair, "=")
		s.instead[theirs] = ours
	}
}

func (f *field) readRule(tag string) {
	for _, w := range strings.Split(tag, ",") {
		name, value, _ := strings.Cut(w, "=")
		number, _ := strconv.Atoi(value)
		switch name {
		case "required":
			f.required = true
		case "enum":
			f.rule.words = append(f.rule.words, value)
		case "minimum":
			f.rule.min = &number
		case "maximum":
			f.rule.max = &number
		case "minItems":
			f.rule.least = number
		}
	}
}
