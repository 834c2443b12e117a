package main

import (
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// yamlMap is a map whose keys keep their order. Empty values are left out: what
// is nothing in a topology is not stated in its file.
type yamlMap struct{ node yaml.Node }

func newMap() *yamlMap { return &yamlMap{yaml.Node{Kind: yaml.MappingNode}} }

func (m *yamlMap) set(key string, value *yaml.Node) {
	if value == nil || value.Kind != yaml.ScalarNode && len(value.Content) == 0 {
		return
	}
	m.put(key, value)
}

// put sets a key to what may be an empty map.
func (m *yamlMap) put(key string, value *yaml.Node) {
	k := new(yaml.Node)
	k.SetString(key)
	m.node.Content = append(m.node.Content, k, value)
}

func (m *yamlMap) text(key, value string) {
	if value != "" {
		m.put(key, scalarText(value))
	}
}

func (m *yamlMap) flag(key string, value bool) {
	m.put(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(value)})
}

func (m *yamlMap) number(key string, value int) {
	m.put(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(value)})
}

func (m *yamlMap) texts(key string, values []string) { m.set(key, listOf(values)) }

// flow writes a map on one line.
func (m *yamlMap) flow() *yaml.Node {
	m.node.Style = yaml.FlowStyle
	return &m.node
}

// scalarText is text that reads as itself: a dollar would begin a variable.
func scalarText(s string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(strings.ReplaceAll(s, "$", "$$"))
	return n
}

// listOf is a list on one line.
func listOf(values []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, v := range values {
		n.Content = append(n.Content, scalarText(v))
	}
	return n
}

// pairsOf is a map of KEY=VALUE words.
func pairsOf(words []string) *yaml.Node {
	m := newMap()
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		m.put(key, scalarText(value))
	}
	return &m.node
}

// sortedPairs makes KEY=VALUE words of a map.
func sortedPairs(values map[string]string) []string {
	words := make([]string, 0, len(values))
	for k, v := range values {
		words = append(words, k+"="+v)
	}
	slices.Sort(words)
	return words
}
