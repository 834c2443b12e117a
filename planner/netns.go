package planner

import (
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// netns is a node's network namespace, with lo up.
type netns struct {
	project    string
	node       string
	name       string // in /run/netns
	mark       string
	group      uint32
	loUp       bool
	unfinished bool
}

var netnsKind = Kind{Name: "netns", Desire: desireNetns, Observe: observeNetns}

func desireNetns(w *Want) []Resource {
	var out []Resource
	for _, n := range w.Topology.Nodes {
		if n.Network != spec.NetworkOwn && n.Network != spec.NetworkNone {
			continue
		}
		out = append(out, netns{
			project: w.Project, node: n.Name, name: n.Netns,
			mark: mark(w.Project, ID{"netns", n.Name}), group: kernel.Group(w.Project), loUp: true,
		})
	}
	return out
}

func observeNetns(h *Have) []Resource {
	var out []Resource
	for _, n := range h.Snapshot.Netns {
		switch {
		case n.Mark.Project == h.Project:
			r := netns{project: h.Project, node: nodeOf(n.Mark), name: n.Name, mark: n.Mark.String(), group: n.Group}
			for _, l := range n.Links {
				if l.Name == "lo" {
					r.loUp = l.Up
				}
			}
			out = append(out, r)
		case n.Unfinished && strings.HasPrefix(n.Name, h.Project+"-") && h.want[ID{"netns", n.Name}] == nil:
			node := strings.TrimPrefix(n.Name, h.Project+"-")
			if h.want[ID{"netns", node}] == nil {
				out = append(out, netns{project: h.Project, node: node, name: n.Name, unfinished: true})
			}
		}
	}
	return out
}

func (r netns) ID() ID      { return ID{"netns", r.node} }
func (r netns) Needs() []ID { return nil }

func (r netns) Attrs() []Attr {
	return []Attr{
		{"name", r.name},
		{"mark", r.mark},
		{"group", number(r.group)},
		{"lo", upDown(r.loUp)},
	}
}

func (r netns) Detail() string {
	if r.name == r.node {
		return ""
	}
	return r.name
}

func (r netns) Claims() []string { return []string{"netns " + r.name} }

func (r netns) Create() []kernel.Op {
	return []kernel.Op{kernel.NetnsAdd{Name: r.name, Alias: r.mark, Group: r.group}}
}

func (r netns) Delete() []kernel.Op { return []kernel.Op{kernel.NetnsDelete{Name: r.name}} }

func (r netns) Update(have Resource) ([]kernel.Op, bool) {
	h := have.(netns)
	if h.name != r.name || h.unfinished {
		return nil, false
	}
	set := kernel.LinkSet{Netns: r.name, Name: "lo"}
	if h.loUp != r.loUp {
		set.Up = &r.loUp
	}
	if h.group != r.group {
		set.Group = &r.group
	}
	if h.mark != r.mark {
		set.Alias = &r.mark
	}
	return []kernel.Op{set}, true
}
