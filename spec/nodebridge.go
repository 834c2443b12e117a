package spec

// nodeBridgeInterface is the name in the kernel of a bridge in a node, where the file states none: there nobody else has it.
func (r *resolver) nodeBridgeInterface(name string) string {
	if len(name) <= maxInterface {
		return name
	}
	return "br-" + hash(12, r.topo.Name, name)
}

// nodeBridgeConflicts notes what a bridge in a node can't have: topo's rules, which do these, are the host's.
func (r *resolver) nodeBridgeConflicts(raw bridge) {
	if raw.VXLAN != nil && raw.VXLAN.Set {
		r.add(raw.VXLAN.Pos, "vxlan can't be set on a bridge in a node: it is an interface of the host's")
	}
	for _, k := range []struct {
		flag
		key, why string
		refused  bool // the value that is
	}{
		{raw.External, "external", "all that is in a node is topo's", true},
		{raw.Masquerade, "masquerade", "the host's rules do not see what leaves it", true},
		{raw.Internal, "internal", "nothing leads to it but what the file plugs in", true},
		{raw.ICC, "icc", "port: {isolated: true} keeps ports apart", false},
	} {
		if k.Set && k.Value == k.refused {
			r.add(k.Pos, "%s: %t can't be set on a bridge in a node: %s", k.key, k.Value, k.why)
		}
	}
}

// placeBridges finds the nodes that bridges are in.
func (r *resolver) placeBridges() {
	for _, e := range r.file.Bridges {
		raw := e.Value.Node
		bs := r.bridges[e.Key]
		if !raw.Set || bs == nil {
			continue
		}
		b := r.bridge(bs)
		s := r.findNode(raw.Pos, raw.Value)
		if s == nil {
			continue
		}
		n := r.node(s)
		if n.Network != NetworkOwn {
			r.add(raw.Pos, "a bridge in %s excludes its network_mode %s", n.Name, s.raw.NetworkMode.Value)
			continue
		}
		b.Netns = n.Netns
		s.linked = true
		pos := raw.Pos
		if e.Value.Name.Set {
			pos = e.Value.Name.Pos
		}
		if r.checkInterface(pos, b.Interface) {
			r.claimInterface(s, n, pos, b.Interface)
		}
	}
}

// claimPort takes the name of a bridge's port, in the namespace that the bridge is in.
func (r *resolver) claimPort(b *Bridge, pos Pos, name, who string) {
	if b.Node == "" {
		r.claimHost(pos, name, who)
		return
	}
	if s := r.nodes[b.Node]; s != nil {
		r.claimInterface(s, r.node(s), pos, name)
	}
}

// bridgesOf are the bridges in a node.
func (r *resolver) bridgesOf(n *Node) []Bridge {
	var out []Bridge
	for _, b := range r.topo.Bridges {
		if b.Node == n.Name {
			out = append(out, b)
		}
	}
	return out
}
