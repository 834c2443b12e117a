package planner

import (
	"cmp"
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// Past widens a query so that what a project has can be made again from the answer: by what it has (s, an answer to q), and by
// what was wanted at the last successful up.
func Past(q kernel.Query, s kernel.Snapshot, applied Applied) kernel.Query {
	q.Secrets, q.VLANs = true, true
	q.Sysctls = slices.Clone(q.Sysctls)
	add := func(k kernel.SysctlKey) {
		if !slices.Contains(q.Sysctls, k) {
			q.Sysctls = append(q.Sysctls, k)
		}
	}
	h := newHave(Options{Snapshot: s, Project: q.Project}, nil)
	for _, l := range h.interfaces() {
		if l.netns == "" && l.id.Kind == "bridge" {
			add(routeLocalnetKey(l.Name))
		}
	}
	// What a node's parameters of its interfaces were set to goes with these, and nothing else tells that anybody set them.
	netns := map[string]string{}
	for name, node := range h.nodes {
		netns[node] = name
	}
	for _, text := range sortedKeys(applied) {
		id := parseID(text)
		node, key, ok := strings.Cut(id.Name, ":")
		if name, there := netns[node]; ok && there && id.Kind == sysctlKind.Name {
			add(kernel.SysctlKey{Netns: name, Key: key})
		}
	}
	return q
}

// interfaceSysctls are the parameters of the project's interfaces in nodes that were read, whoever set them: they go with the interface.
func interfaceSysctls(h *Have) []Resource {
	recorded := map[kernel.SysctlKey]bool{}
	for _, r := range h.Snapshot.Records {
		recorded[r.SysctlKey] = r.Project == h.Project
	}
	var out []Resource
	for key, value := range h.Snapshot.Sysctls {
		node, ok := h.nodes[key.Netns]
		if !ok || recorded[key] {
			continue
		}
		r := sysctl{owner: node, key: key, value: value, project: h.Project}
		for name, l := range h.spaces[key.Netns] {
			if ofInterface(key, name) && h.ownInside(key.Netns, l) {
				r.in = append(r.in, h.insideID(key.Netns, l))
			}
		}
		r.needs = append([]ID{{"netns", node}}, r.in...)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Resource) int { return strings.Compare(a.ID().Name, b.ID().Name) })
	return out
}

// a past is what a project had, by ID.
type past struct {
	h    *Have
	byID map[ID]Resource
	// byNode are the resources of each node that its processes find in place.
	byNode map[string][]ID
	// ports are those of each bridge, with their far ends and their VLANs.
	ports map[place][]ID
}

// whole fills in what a reading gives no resource, and making it again needs: what must stand before it, the other end of a
// pair, keys. What topo would mend in any case, and nobody misses, is taken to have been whole.
func whole(h *Have, rs []Resource) []Resource {
	p := past{h: h, byID: byID(rs), byNode: map[string][]ID{}, ports: map[place][]ID{}}
	found := []string{"link", "impair", "address", "route", "rule", "accept_ra", "sysctl", "hosts", "resolv"}
	for _, r := range rs {
		id := r.ID()
		if node, _, _ := strings.Cut(id.Name, ":"); slices.Contains(found, id.Kind) {
			p.byNode[node] = append(p.byNode[node], id)
		}
		if v, ok := r.(veth); ok && id.Kind == "port" {
			at := place{v.own.Netns, v.own.Master}
			p.ports[at] = append(p.ports[at], id, parseID(v.peer), ID{"vlan", id.Name})
		}
	}
	var out []Resource
	seen := map[ID]bool{}
	for _, r := range rs {
		if r = p.whole(r); r != nil && !seen[r.ID()] {
			seen[r.ID()] = true
			out = append(out, r)
		}
	}
	return inOrder(h, out)
}

// whole is a resource so that it can be made again; nil where it can't be, or is no state to go back to.
func (p past) whole(r Resource) Resource {
	if c, ok := r.(contained); ok && slices.ContainsFunc(c.In(), p.strange) {
		return nil
	}
	switch r := r.(type) {
	case netns:
		if r.unfinished {
			return nil
		}
		return r
	case bridge:
		if p.strange(r.id) {
			return nil
		}
		r.rules = nil // they are needed when it goes
		if l := p.h.link(r.spec.Netns, r.spec.Name); l.Bridge != nil {
			r.attrs = readable(*l.Bridge, bridge{})
		}
		return r
	case firewall:
		// It is all projects': disorder in it is nobody's to go back to.
		return wholeFirewall(r.table)
	case chains:
		return wholeChains(p.h.Project, r.table)
	case ruleset:
		return p.ruleset(r)
	case sysctl:
		node, ok := p.h.nodes[r.key.Netns]
		switch {
		case ok:
			r.in = append(slices.Clone(r.in), ID{"netns", node})
		case r.key.Netns != "":
			return nil // somebody removed the namespace
		}
		return r
	case veth:
		return p.veth(r)
	case card:
		r.there = true
		return r
	case uplink:
		return p.uplink(r)
	case up:
		b := ID{"bridge", r.bridge}
		r.needs = append([]ID{b, {"vlan", r.bridge}}, p.ports[place{r.netns, r.iface}]...)
		for _, f := range families {
			r.needs = append(r.needs, ruleID("isolation", r.bridge, f), ruleID("guard", r.bridge, f))
		}
		return r
	case key:
		r.secret = p.h.Snapshot.Secrets[kernel.SecretOf{Made: r.name}]
		r.whole = true
		return r
	case wireGuard:
		if r.public == noKey {
			return nil
		}
		r.port = p.h.link(r.netns, r.iface).WireGuard.ListenPort
		r.key = p.secret(kernel.SecretOf{Netns: r.netns, Link: r.iface})
		return r
	case peer:
		return p.peer(r)
	case process:
		return p.process(r)
	}
	return r
}

// strange reports whether something of another kind stood in a bridge's place: it is not made again, and neither is what it had.
func (p past) strange(id ID) bool {
	b, ok := p.byID[id].(bridge)
	return ok && b.kind != bridgeKind.Name
}

// secret is a key in the kernel; the zero one where there is none.
func (p past) secret(of kernel.SecretOf) kernel.KeyRef {
	return kernel.KeyRef{Given: p.h.Snapshot.Secrets[of]}
}

func (p past) veth(r veth) Resource {
	far, ok := p.byID[parseID(r.peer)].(veth)
	if !ok || far.peer != r.id.String() {
		return r
	}
	r.other = far.own
	switch near, other := r.id, far.id; {
	case near.Kind != other.Kind && near.Kind == "link", near.Kind == other.Kind && near.Name < other.Name:
		r.carrier = near
	default:
		r.carrier = other
	}
	return r
}

func (p past) uplink(r uplink) Resource {
	r.master, r.up, r.left, r.missing, r.patience = r.bridge, true, "", "", gatewayPatience
	if l := p.h.link("", r.bridge); l.Bridge != nil {
		if l.Bridge.STP {
			r.patience += 2 * l.Bridge.ForwardDelay
		}
		if l.Bridge.VLANFiltering {
			r.vlans = append([]kernel.VLAN{}, p.h.link("", r.card).VLANs...)
		}
	}
	r.about = "port of " + r.bridge
	return r
}

func (p past) peer(r peer) Resource {
	of := kernel.SecretOf{Netns: r.netns, Link: r.iface, Peer: r.public}
	for _, x := range p.h.link(r.netns, r.iface).WireGuard.Peers {
		if x.PublicKey == r.public {
			r.endpoint, r.prefixes = x.Endpoint, x.AllowedIPs
		}
	}
	r.secret = kernel.KeyRef{}
	if r.preshared != "" {
		r.secret = p.secret(of)
	}
	return r
}

// ruleset: DNAT comes after the addresses that it leads to.
func (p past) ruleset(r ruleset) Resource {
	if r.id.Kind != publishKind.Name {
		return r
	}
	node, _, _ := strings.Cut(r.id.Name, ":")
	r.needs = slices.Clone(r.needs)
	for _, id := range p.byNode[node] {
		if a, ok := p.byID[id].(address); ok {
			r.needs = append(r.needs, a.ID())
		}
	}
	return r
}

// process: all that it finds in place comes before it, and those that it depends on, as far as they were what it waits for.
func (p past) process(r process) Resource {
	r.needs = append(slices.Clone(r.needs), ID{"hosts", r.netns.Name}, ID{"resolv", r.netns.Name})
	r.needs = append(r.needs, p.byNode[r.netns.Name]...)
	for _, id := range p.byNode[r.netns.Name] {
		if v, ok := p.byID[id].(veth); ok {
			if port, ok := p.byID[parseID(v.peer)].(veth); ok && port.own.Master != "" {
				if _, bridge, ok := p.h.bridgeAt(port.own.Netns, port.own.Master); ok {
					r.needs = append(r.needs, ID{"up", bridge.Name})
				}
			}
		}
	}
	for _, d := range r.p.DependsOn {
		r.needs = append(r.needs, ID{"process", d.Node})
		i := slices.IndexFunc(p.h.Snapshot.Processes, func(s kernel.ProcessState) bool { return s.Process.Node == d.Node })
		if i < 0 {
			continue
		}
		s := p.h.Snapshot.Processes[i]
		state, done := stateOf(s)
		if state != runs || done || d.Condition == kernel.ServiceHealthy && s.Health != kernel.Healthy {
			continue
		}
		r.waits = append(r.waits, spec.Dependency{Node: d.Node, Condition: spec.Condition(d.Condition), Required: d.Required, Restart: d.Restart})
	}
	return r
}

// inOrder has members join their bonds in the order in which they were made.
func inOrder(h *Have, rs []Resource) []Resource {
	var members []int
	for i, r := range rs {
		if _, ok := r.(member); ok {
			members = append(members, i)
		}
	}
	index := func(m member) int { return h.link(m.netns, m.iface).Index }
	slices.SortFunc(members, func(a, b int) int {
		x, y := rs[a].(member), rs[b].(member)
		return cmp.Or(strings.Compare(x.on.String(), y.on.String()), cmp.Compare(index(x), index(y)))
	})
	for n := 1; n < len(members); n++ {
		before, m := rs[members[n-1]].(member), rs[members[n]].(member)
		if before.on == m.on {
			m.before = before.ID()
			rs[members[n]] = m
		}
	}
	return rs
}
