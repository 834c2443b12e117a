package planner

import (
	"slices"
	"strings"

	"topo/spec"
)

// narrow keeps the changes of some nodes, of the nodes that they depend on, and of what belongs to none.
func narrow(changes map[ID]*Change, o Options) {
	keep := map[string]bool{}
	known := map[string]spec.Node{}
	bridges := map[string]spec.Bridge{}
	if o.Topology != nil {
		bridges = bridgesByName(o.Topology)
		for _, n := range o.Topology.Nodes {
			known[n.Name] = n
		}
	}
	var add func(string)
	add = func(name string) {
		n, ok := known[name]
		if !ok || keep[name] {
			return
		}
		keep[name] = true
		for _, d := range n.DependsOn {
			add(d.Node)
		}
		if n.Shares != "" {
			add(n.Shares)
		}
		for _, a := range n.Attachments {
			if b := bridges[a.Bridge]; b.Node != "" {
				add(b.Node)
			}
		}
	}
	for _, name := range o.Nodes {
		add(name)
	}
	// Of an entry that is named those go, too, that are beyond its scale.
	beyond := func(node string) bool {
		return slices.ContainsFunc(o.Nodes, func(name string) bool {
			_, isNode := known[name]
			return !isNode && spec.IsReplica(node, name)
		})
	}
	for id, c := range changes {
		switch id.Kind {
		case "bridge", "up", "vlan":
			if b := bridges[id.Name]; b.Node != "" && !keep[b.Node] {
				delete(changes, id)
			}
		}
		if i, ok := c.Want.(image); ok && !slices.ContainsFunc(i.nodes, func(n string) bool { return keep[n] }) {
			delete(changes, id)
		}
		nodes := nodesOf(c)
		for _, n := range nodes {
			if _, ok := known[n]; !ok && c.Want == nil && !beyond(n) || ok && !keep[n] {
				delete(changes, id)
			}
		}
	}
}

// keepOrphans takes the removals of nodes and bridges that the file no longer has out of the plan.
func keepOrphans(changes map[ID]*Change, t *spec.Topology) {
	known := map[string]bool{}
	if t != nil {
		for _, n := range t.Nodes {
			known[n.Name] = true
		}
		for _, b := range t.Bridges {
			known["bridge/"+b.Name] = true
		}
	}
	for id, c := range changes {
		if c.Want != nil {
			continue
		}
		orphan := false
		for _, n := range nodesOf(c) {
			orphan = orphan || !known[n]
		}
		switch r := c.Have.(type) {
		case uplink:
			orphan = !known[r.on.String()]
		case bridge, up:
			orphan = !known["bridge/"+id.Name]
		case vlan:
			orphan = orphan || r.self && !known["bridge/"+id.Name]
		case address:
			orphan = orphan || r.link.Kind == "bridge" && !known[r.link.String()]
		case ruleset:
			if name, _, _ := strings.Cut(id.Name, "/"); id.Kind != "publish" && !strings.Contains(name, ":") {
				orphan = !known["bridge/"+name]
			}
		}
		if orphan {
			delete(changes, id)
		}
	}
}

// nameInactive tells what is removed because no profile of its node is active from what the file no longer has.
func nameInactive(changes map[ID]*Change, t *spec.Topology) {
	if t == nil {
		return
	}
	inactive := func(node string) bool {
		return slices.ContainsFunc(t.Inactive, func(i spec.Inactive) bool { return i.Covers(node) })
	}
	for _, c := range changes {
		if c.Reason == NotInFile && slices.ContainsFunc(nodesOf(c), inactive) {
			c.Reason = InactiveProfile
		}
	}
}

// nodesOf lists the nodes that a change belongs to; a link has two.
func nodesOf(c *Change) []string {
	var out []string
	node := func(id ID) {
		name, _, _ := strings.Cut(id.Name, ":")
		if name != "" && name != spec.Host {
			out = append(out, name)
		}
	}
	switch c.ID.Kind {
	case "netns", "hosts", "resolv", "link", "port", "member", "remote", "wireguard", "peer", "fdb", "impair", "accept_ra", "address", "route", "rule", "sysctl", "publish", "process":
		node(c.ID)
	case "key": // peers on other nodes need it to be made
		if c.Want == nil {
			node(c.ID)
		}
	case "guard", "volume", "vlan": // of no node, some of them
		if strings.Contains(c.ID.Name, ":") {
			node(c.ID)
		}
	}
	for _, r := range []Resource{c.Have, c.Want} {
		if v, ok := r.(veth); ok {
			if far := parseID(v.peer); far.Kind == "link" {
				node(far)
			}
		}
	}
	return out
}
