package spec

import (
	"gopkg.in/yaml.v3"
)

// The short tags of YAML's core schema, as yaml.v3 writes them.
const (
	nullTag  = "!!null"
	boolTag  = "!!bool"
	strTag   = "!!str"
	intTag   = "!!int"
	floatTag = "!!float"
	timeTag  = "!!timestamp"
	seqTag   = "!!seq"
	mapTag   = "!!map"
	mergeTag = "!!merge"
)

// pair is a key of a map with its value.
type pair struct{ key, value *yaml.Node }

// target follows an alias.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// inPlace follows an alias and keeps its place: what is wrong with the value is wrong where it is used.
func inPlace(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.AliasNode {
		return n
	}
	value := *target(n)
	value.Line, value.Column = n.Line, n.Column
	return &value
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == nullTag }

// describe names the kind of a value as a message does.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	}
	switch n.Tag {
	case nullTag:
		return "nothing"
	case boolTag:
		return "true or false"
	case intTag, floatTag:
		return "a number"
	case timeTag:
		return "a date"
	}
	return "text"
}

func (d *decoder) checkTag(n *yaml.Node, want string) {
	if n.Tag != want {
		d.add(d.at(n), "tag %s is not supported", n.Tag)
	}
}

// entries lists the keys of a map, the merged ones (<<) last. A map's own key wins over a merged one, and
// an earlier merged one over a later (https://yaml.org/type/merge.html). Keys that are not text, or there twice, are noted.
func (d *decoder) entries(n *yaml.Node) []pair {
	list := make([]pair, 0, len(n.Content)/2)
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	d.checkTag(n, mapTag)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := target(n.Content[i]), n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.add(d.at(n.Content[i]), "a key must be text, not %s", describe(k))
		case k.Tag == mergeTag:
			merges = append(merges, v)
		case k.Tag != strTag:
			d.add(d.at(n.Content[i]), "key %s must be text, not %s; quote it", k.Value, describe(k))
		case seen[k.Value] != nil:
			d.add(d.at(n.Content[i]), "key %q is there twice, first in line %d", k.Value, seen[k.Value].Line)
		default:
			seen[k.Value] = k
			list = append(list, pair{k, v})
		}
	}
	for _, m := range merges {
		for _, e := range d.merged(m) {
			if seen[e.key.Value] == nil {
				seen[e.key.Value] = e.key
				list = append(list, e)
			}
		}
	}
	return list
}

// merged lists the keys that << brings in: of a map, or of several.
func (d *decoder) merged(n *yaml.Node) []pair {
	source := target(n)
	switch source.Kind {
	case yaml.MappingNode:
		return d.entries(source)
	case yaml.SequenceNode:
		var list []pair
		for _, c := range source.Content {
			if m := target(c); m.Kind == yaml.MappingNode {
				list = append(list, d.entries(m)...)
			} else {
				d.add(d.at(c), "<< takes maps, not %s", describe(m))
			}
		}
		return list
	}
	d.add(d.at(n), "<< takes a map or a list of maps, not %s", describe(source))
	return nil
}
