package spec

import (
	"net/netip"
	"slices"
	"strconv"
)

// attach joins the nodes to their bridges, without names for the interfaces yet.
func (r *resolver) attach() {
	for _, s := range r.order {
		n := r.node(s)
		seen := map[string]bool{}
		for _, t := range s.raw.Bridges.List {
			if t.Set {
				r.attachTo(s, n, seen, t.Pos, t.Value, attachment{})
			}
			s.vague = s.vague || t.Bad
		}
		for _, e := range s.raw.Bridges.Map {
			r.attachTo(s, n, seen, e.Pos, e.Key, e.Value)
		}
	}
}

func (r *resolver) attachTo(s *nodeState, n *Node, seen map[string]bool, pos Pos, name string, raw attachment) {
	bs := r.findBridge(pos, name)
	if bs == nil {
		s.vague = true
		return
	}
	if seen[name] {
		r.add(pos, "bridge %q is there twice", name)
		return
	}
	seen[name] = true
	bs.ports++
	b := r.bridge(bs)
	if b.Node == n.Name {
		r.add(pos, "bridge %s is in %s: there is nothing to plug in", name, n.Name)
		return
	}
	a := Attachment{
		Pos: pos, Bridge: name,
		Interface:     raw.Interface.Value,
		HostInterface: raw.HostInterface.Value,
		MAC:           r.mac(raw.MAC),
		MTU:           raw.MTU.or(b.MTU),
		DefaultRoute:  raw.DefaultRoute.Value,
		Impair:        r.impairment(raw.Impair),
		VLANs:         r.portVLANs(raw.VLAN, b),
		AcceptRA:      raw.AcceptRA.Value,
	}
	a.Port = r.bridgePort(raw.Port, b, a.VLANs)
	r.checkAcceptRA(raw.AcceptRA, a.MTU)
	for _, t := range raw.Address.all() {
		r.attachmentAddress(n, bs, b, &a, t)
	}
	for _, t := range set(raw.Aliases) {
		if r.checkHostName(t.Pos, "alias", t.Value) {
			a.Aliases = append(a.Aliases, t.Value)
		}
	}
	if s.of != "" && !slices.Contains(a.Aliases, s.of) {
		a.Aliases = append(a.Aliases, s.of) // it resolves to all of them
	}
	if raw.Interface.Set && r.checkInterface(raw.Interface.Pos, a.Interface) {
		r.claimInterface(s, n, raw.Interface.Pos, a.Interface)
	}
	if raw.HostInterface.Set && r.checkInterface(raw.HostInterface.Pos, a.HostInterface) {
		r.claimPort(b, raw.HostInterface.Pos, a.HostInterface, "node "+n.Name)
	}
	if raw.Interface.Bad {
		s.vague = true
	}
	if a.MAC != "" {
		r.claimMAC(bs, raw.MAC.Pos, a.MAC, n.Name)
	}
	if b.MTU != a.MTU && a.MTU < minMTU6 && b.has6() {
		r.add(raw.MTU.Pos, "mtu must be at least %d for IPv6", minMTU6)
	}
	if d := raw.DefaultRoute; d.Value {
		switch {
		case b.Internal:
			r.add(d.Pos, "default_route: bridge %s is internal", name)
		case !b.gateway() && !bs.vague:
			r.add(d.Pos, "default_route: bridge %s has no gateway", name)
		}
	}
	n.Attachments = append(n.Attachments, a)
}

// has4 and has6 report whether the bridge has a subnet of the family. What is allocated is IPv4.
func (b *Bridge) has4() bool {
	return slices.ContainsFunc(b.Subnets, func(s Subnet) bool { return !s.Prefix.IsValid() || s.Prefix.Addr().Is4() })
}

func (b *Bridge) has6() bool {
	return slices.ContainsFunc(b.Subnets, func(s Subnet) bool { return s.Prefix.IsValid() && s.Prefix.Addr().Is6() })
}

// attachmentAddress reads a stated address, fills in its length and takes it.
func (r *resolver) attachmentAddress(n *Node, bs *bridgeState, b *Bridge, a *Attachment, t text) {
	addr, bits, ok := r.ifaceAddr(t)
	if !ok || bs.vague {
		return
	}
	sub, inside := b.subnetOf(addr)
	switch {
	case b.Plain && bits < 0:
		r.add(t.Pos, "address %s needs a length, as in %s: bridge %s has no subnet", addr, exampleLength(addr), b.Name)
		return
	case b.Plain:
		sub.Prefix = netip.PrefixFrom(addr, bits).Masked()
	case b.allocated():
		r.add(t.Pos, "address %s can't be stated: the subnet of bridge %s is allocated; write its subnet", addr, b.Name)
		return
	case !inside:
		r.add(t.Pos, "address %s is outside %s of bridge %s", addr, subnetList(b), b.Name)
		return
	case bits < 0:
		bits = sub.Prefix.Bits()
	}
	if word := reserved(sub.Prefix, addr); word != "" {
		r.add(t.Pos, "address %s is %s of %s", addr, word, sub.Prefix)
		return
	}
	if c, taken := bs.taken[addr]; taken {
		r.add(t.Pos, "address %s is already that of %s", addr, c)
		return
	}
	bs.taken[addr] = claim{t.Pos, n.Name}
	a.Addresses = append(a.Addresses, netip.PrefixFrom(addr, bits))
}

// claimMAC takes a MAC address on a bridge: of two interfaces with the same, neither is reached reliably.
func (r *resolver) claimMAC(bs *bridgeState, pos Pos, mac, who string) {
	if c, taken := bs.macs[mac]; taken {
		r.add(pos, "mac %s is already that of %s", mac, c)
		return
	}
	bs.macs[mac] = claim{pos, who}
}

func exampleLength(a netip.Addr) string {
	if a.Is4() {
		return a.String() + "/24"
	}
	return a.String() + "/64"
}

// claimInterface takes an interface name in a node.
func (r *resolver) claimInterface(s *nodeState, n *Node, pos Pos, name string) {
	if c, taken := s.names[name]; taken {
		r.add(pos, "interface %s:%s is there twice, also in %s", n.Name, name, line(c.pos))
		return
	}
	s.names[name] = claim{pos, n.Name}
}

// nameInterfaces gives names to interfaces that the file leaves without: stated ones are taken by now.
func (r *resolver) nameInterfaces() {
	for _, s := range r.order {
		n := r.node(s)
		for i := range n.Attachments {
			a := &n.Attachments[i]
			if a.Interface == "" {
				a.Interface = r.nextInterface(s, n, a.Pos)
			}
			if a.HostInterface == "" {
				a.HostInterface = r.hostEnd(n.Name, a.Interface)
				// Taken by this node: the interface is there twice, and that is noted.
				if who := "node " + n.Name; r.hostNames[a.HostInterface].who != who {
					r.claimPort(r.bridge(r.bridges[a.Bridge]), a.Pos, a.HostInterface, who)
				}
			}
		}
	}
	for i := range r.topo.Links {
		l := &r.topo.Links[i]
		for j := range l.Ends {
			e := &l.Ends[j]
			if s := r.nodes[e.Node]; e.Interface == "" && s != nil && !e.Bridge {
				e.Interface = r.nextInterface(s, r.node(s), e.Pos)
			}
		}
		for j := range l.Ends {
			e, other := &l.Ends[j], l.Ends[1-j]
			if e.Interface == "" && other.Interface != "" {
				e.Interface = r.hostEnd(other.Node, other.Interface)
				if b := r.bridges[e.Node]; b != nil && e.Bridge {
					r.claimPort(r.bridge(b), e.Pos, e.Interface, "a link of "+other.Node)
				} else {
					r.claimHost(e.Pos, e.Interface, "a link of "+other.Node)
				}
			}
			if s := r.nodes[e.Node]; s != nil && !e.Bridge {
				s.ends = append(s.ends, *e)
			}
		}
	}
	for i := range r.own {
		if o := &r.own[i]; o.name == "" {
			o.name = r.nextInterface(o.s, r.node(o.s), o.pos)
		}
	}
}

// nextInterface takes the lowest free eth0, eth1….
func (r *resolver) nextInterface(s *nodeState, n *Node, pos Pos) string {
	for i := s.next; ; i++ {
		name := "eth" + strconv.Itoa(i)
		if _, taken := s.names[name]; !taken {
			s.next = i
			r.claimInterface(s, n, pos, name)
			return name
		}
	}
}

// defaultRoutes chooses the attachments that get the default route.
func (r *resolver) defaultRoutes() {
	for _, s := range r.order {
		n := r.node(s)
		var chosen []int
		for i, a := range n.Attachments {
			if a.DefaultRoute {
				chosen = append(chosen, i)
			}
		}
		if len(chosen) > 1 {
			r.add(n.Attachments[chosen[1]].Pos, "%s has two default routes, by %s and %s",
				n.Name, n.Attachments[chosen[0]].Bridge, n.Attachments[chosen[1]].Bridge)
		}
		if len(chosen) > 0 {
			continue
		}
		for i := range n.Attachments {
			a := &n.Attachments[i]
			if b := r.bridge(r.bridges[a.Bridge]); b.Internal || !b.gateway() || r.declines(s, a.Bridge) {
				continue
			}
			a.DefaultRoute = true
			break
		}
	}
}

// declines reports whether an attachment says default_route: false.
func (r *resolver) declines(s *nodeState, bridge string) bool {
	for _, e := range s.raw.Bridges.Map {
		if e.Key == bridge {
			return e.Value.DefaultRoute.Set && !e.Value.DefaultRoute.Value
		}
	}
	return false
}
