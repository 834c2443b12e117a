package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// runningNode reads the machine for the node that a command is about.
func runningNode(c *cli.Context, name string) (project string, node nodeView, err error) {
	s, project, err := readRunning(c)
	if err != nil {
		return "", nodeView{}, err
	}
	node, err = oneNode(c, nodesOf(s, project), project, name)
	return project, node, err
}

// oneNode is the node that is named.
func oneNode(c *cli.Context, nodes []nodeView, project, name string) (nodeView, error) {
	chosen, err := chosenNodes(c, nodes, project, []string{name})
	if err != nil {
		return nodeView{}, err
	}
	if len(chosen) > 1 {
		return nodeView{}, fmt.Errorf("%s stands for %d nodes; name one, as %s", name, len(chosen), chosen[0].Node)
	}
	return chosen[0], nil
}

// namesOf are the names of nodes.
func namesOf(nodes []nodeView) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Node
	}
	return names
}

// expand puts NAME-1, NAME-2… in the place of each NAME that is no node, where there are such; each node once.
func expand[V any](names []string, nodes map[string]V) []string {
	var out []string
	for _, name := range names {
		if _, known := nodes[name]; !known {
			before := len(out)
			for node := range nodes {
				if number, ok := strings.CutPrefix(node, name+"-"); ok && strings.Trim(number, "0123456789") == "" && number != "" {
					out = append(out, node)
				}
			}
			if len(out) > before {
				slices.SortFunc(out[before:], func(a, b string) int {
					return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
				})
				continue
			}
		}
		out = append(out, name)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(out, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}

// chosenNodes are those that are named, or all.
func chosenNodes(c *cli.Context, nodes []nodeView, project string, names []string) ([]nodeView, error) {
	if len(names) == 0 {
		return nodes, nil
	}
	known := map[string]nodeView{}
	for _, n := range nodes {
		known[n.Node] = n
	}
	var chosen []nodeView
	for _, name := range expand(names, known) {
		n, ok := known[name]
		if !ok {
			return nil, unknownNode(c, name, project, known)
		}
		chosen = append(chosen, n)
	}
	return chosen, nil
}
