package spec

import (
	"slices"
	"strings"
)

// dependencies reads depends_on of all nodes, and looks for cycles.
func (r *resolver) dependencies() {
	for _, s := range r.order {
		n := r.node(s)
		for _, t := range set(s.raw.DependsOn.List) {
			r.dependsOn(n, t.Pos, t.Value, dependency{})
		}
		for _, e := range s.raw.DependsOn.Map {
			r.dependsOn(n, e.Pos, e.Key, e.Value)
		}
	}
	r.cycles()
}

func (r *resolver) dependsOn(n *Node, pos Pos, name string, raw dependency) {
	d := Dependency{
		Pos: pos, Node: name,
		Condition: Started,
		Required:  raw.Required.or(true),
		Restart:   raw.Restart.Value,
	}
	if raw.Condition.Set {
		d.Condition, pos = Condition(raw.Condition.Value), raw.Condition.Pos
	}
	if r.nodes[name] == nil && r.groups[name] == nil && !d.Required {
		return
	}
	others, _ := r.findNodes(d.Pos, name)
	for _, other := range others {
		d.Node = r.node(other).Name
		r.dependOn(n, other, d, pos, raw)
	}
}

// dependOn adds a dependency on one node; pos is where its condition stands.
func (r *resolver) dependOn(n *Node, other *nodeState, d Dependency, pos Pos, raw dependency) {
	o := r.node(other)
	name := o.Name
	if slices.ContainsFunc(n.DependsOn, func(o Dependency) bool { return o.Node == name }) {
		r.add(d.Pos, "depends_on: %q is there twice", name)
		return
	}
	switch c := other.raw; {
	case raw.Condition.Bad:
	case d.Condition == IsHealthy && (o.Process == nil || o.Process.Health == nil && !o.Process.ImageHealth) && !c.broken():
		r.add(pos, "depends_on: %s has no healthcheck, so it never gets healthy", name)
	case d.Condition == Completed && !c.runs() && (o.Process == nil || o.Process.Image == "") && !c.broken():
		r.add(pos, "depends_on: %s has no command that could complete", name)
	}
	n.DependsOn = append(n.DependsOn, d)
}

// runs reports whether a node has a program of its own.
func (n *node) runs() bool { return n.Command.Set || n.Entrypoint.Set }

// broken reports whether what runs in a node is not well-formed.
func (n *node) broken() bool {
	return n.Command.Bad || n.Entrypoint.Bad || n.Healthcheck != nil && (n.Healthcheck.Bad || n.Healthcheck.Test.Bad || n.Healthcheck.Test.Scalar.Bad)
}

// cycles notes each cycle of depends_on once, with its path, at the edge that closes it. The walk keeps its own stack:
// a chain may be as long as the file.
func (r *resolver) cycles() {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(r.topo.Nodes))
	type frame struct{ node, next int }
	for start := range r.topo.Nodes {
		if state[start] != unseen {
			continue
		}
		state[start] = open
		stack := []frame{{node: start}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			n := &r.topo.Nodes[top.node]
			if top.next == len(n.DependsOn) {
				state[top.node] = done
				stack = stack[:len(stack)-1]
				continue
			}
			d := n.DependsOn[top.next]
			top.next++
			to := r.nodes[d.Node].index
			switch state[to] {
			case unseen:
				state[to] = open
				stack = append(stack, frame{node: to})
			case open:
				from := slices.IndexFunc(stack, func(f frame) bool { return f.node == to })
				path := make([]string, 0, len(stack)-from+1)
				for _, f := range stack[from:] {
					path = append(path, r.topo.Nodes[f.node].Name)
				}
				r.add(d.Pos, "depends_on is a cycle: %s", strings.Join(append(path, d.Node), " → "))
			}
		}
	}
}
