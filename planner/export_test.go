package planner

import (
	"reflect"
	"strings"
)

// Compared lists the attributes that are compared, by the name of the resource's type: those that are there in one, and those that are
// when any field of it is another.
func Compared() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for name, rs := range examples() {
		out[name] = map[string]bool{}
		for _, r := range rs {
			add := func(r Resource) {
				for _, a := range r.Attrs() {
					out[name][a.Name] = true
				}
			}
			add(r)
			for i := range reflect.TypeOf(r).NumField() {
				f := reflect.TypeOf(r).Field(i)
				if _, excused := notCompared[name+"."+f.Name]; excused {
					continue
				}
				eachLeaf(f.Type, []int{i}, "", func(path []int, leaf string) { add(withChanged(r, path)) })
			}
		}
	}
	delete(out["device"], "x") // what a parameter is called here
	return out
}

// AttributesOf are the names of a resource's attributes, as Compared has them.
func AttributesOf(r Resource) []string {
	var names []string
	for _, a := range numbered(r) {
		names = append(names, attributeOf(r, a.Name))
	}
	return names
}

// Differing are those in which the two sides of a change differ.
func Differing(c Change) []string {
	var names []string
	for _, d := range changedAttrs(c.Have, c.Want) {
		names = append(names, attributeOf(c.Want, d.Name))
	}
	return names
}

// attributeOf is TYPE.NAME; of a parameter of a link's kind TYPE KIND.NAME. Rules of a set have one name.
func attributeOf(r Resource, name string) string {
	of := reflect.TypeOf(r).Name()
	if d, ok := r.(device); ok {
		// A link has a group, and a VXLAN another one.
		if own, again := strings.CutSuffix(name, " 2"); again || own != "group" && param(d.own.Params, own) != "" {
			return of + " " + d.own.Kind + "." + own
		}
	}
	for _, many := range []string{"rule", "jump"} {
		if strings.HasPrefix(name, many+" ") {
			name = many
		}
	}
	return of + "." + name
}
