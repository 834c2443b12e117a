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
		for _, b := range bridgesOf(o.Topology, n) {
			if b := bridges[b]; b.Node != "" {
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
	others := func(name string, c *Change) bool {
		if _, ok := known[name]; ok {
			return !keep[name]
		}
		if b, ok := bridges[name]; ok && calledAsBridge(c) {
			return b.Node != "" && !keep[b.Node]
		}
		return c.Want == nil && !beyond(name)
	}
	absent := map[ID]bool{} // what would have been made
	leave := func(c *Change) {
		delete(changes, c.ID)
		if c.Action == Create || c.Action == Replace {
			absent[c.ID] = true
			if v, ok := c.Want.(veth); ok {
				absent[parseID(v.peer)] = true
			}
		}
	}
	for id, c := range changes {
		switch id.Kind {
		case "bridge", "up", "vlan":
			if b := bridges[id.Name]; b.Node != "" && !keep[b.Node] {
				leave(c)
			}
		}
		if i, ok := c.Want.(image); ok && !slices.ContainsFunc(i.nodes, func(n string) bool { return keep[n] }) {
			leave(c)
		}
		if slices.ContainsFunc(nodesOf(c), func(n string) bool { return others(n, c) }) {
			leave(c)
		}
	}
	// Of a cable to a node that is left out there are no addresses either.
	for left := -1; left != len(absent); {
		left = len(absent)
		for _, c := range changes {
			if in(c.Want, func(id ID) bool { return absent[id] }) {
				leave(c)
			}
		}
	}
}

// bridgesOf are the bridges that a node is plugged into, as an attachment or by a cable.
func bridgesOf(t *spec.Topology, n spec.Node) []string {
	var out []string
	for _, a := range n.Attachments {
		out = append(out, a.Bridge)
	}
	for _, l := range t.Links {
		for i, e := range l.Ends {
			if far := l.Ends[1-i]; e.Node == n.Name && !e.Bridge && far.Bridge {
				out = append(out, far.Node)
			}
		}
	}
	return out
}

// calledAsBridge: the port of a cable between two bridges is called as its own bridge, not as a node, and so is what is on it.
func calledAsBridge(c *Change) bool {
	for _, r := range []Resource{c.Have, c.Want} {
		if v, ok := r.(veth); ok && v.id.Kind == "port" && parseID(v.peer).Kind == "port" {
			return true
		}
	}
	return c.ID.Kind == "vlan" || c.ID.Kind == "fdb"
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
			if b.External {
				known["bridge/"+b.Interface] = true // as it is called where the host has it
			}
		}
	}
	for id, c := range changes {
		if c.Want != nil {
			continue
		}
		orphan := false
		for _, n := range nodesOf(c) {
			orphan = orphan || !known[n] && !(calledAsBridge(c) && known["bridge/"+n])
		}
		switch r := c.Have.(type) {
		case uplink:
			if orphan = !known[r.on.String()]; orphan {
				delete(changes, r.link)
			}
		case device:
			orphan = orphan || r.own.Master != "" && !known[r.bridge.String()]
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

// keepBelow takes the removal of what rules that are left out of the plan stand on out of it, too: the fences around what they
// translate to, their chains, and what leads to these.
func keepBelow(changes map[ID]*Change, have []Resource) {
	keep := func(id ID) {
		if c := changes[id]; c != nil && c.Want == nil {
			delete(changes, id)
		}
	}
	staying := func(visit func(ruleset)) {
		for _, r := range have {
			rules, ok := r.(ruleset)
			if c := changes[r.ID()]; ok && (c == nil || c.Want != nil) {
				visit(rules)
			}
		}
	}
	staying(func(r ruleset) {
		for _, f := range have {
			if f, ok := f.(ruleset); ok && r.table.name == "nat" && f.id.Kind == fenceKind.Name && f.table.family == r.table.family {
				keep(f.id)
			}
		}
	})
	staying(func(r ruleset) {
		keep(chainsID(r.table))
		keep(firewallID(r.table))
	})
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

// nodesOf lists the nodes that a change belongs to; a link has two, and of a cable between bridges it is these.
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
			if far := parseID(v.peer); far.Kind == "link" || v.id.Kind == "port" {
				node(far)
			}
		}
	}
	return out
}
