package spec

import (
	"net/netip"
	"slices"
	"time"
)

const (
	// defaultMTU is that of Ethernet, and of a veth and a bridge in Linux.
	defaultMTU = 1500
	// minMTU6 is the least for IPv6 (RFC 8200, section 5); below it the kernel switches IPv6 off.
	minMTU6 = 1280
	// defaultForwardDelay is the kernel's (net/bridge/br_device.c) and IEEE 802.1D's.
	defaultForwardDelay = 15 * time.Second
	// maxPorts: the kernel numbers a bridge's ports in ten bits, from 1 (BR_PORT_BITS).
	maxPorts = 1023
	// implicit is the bridge of containers that join none.
	implicit = "default"
)

func (r *resolver) readBridges() {
	for _, e := range r.file.Bridges {
		r.checkName(e.Pos, "bridge", e.Key)
		r.addBridge(e.Pos, e.Key, e.Value)
	}
	r.checkOverlaps()
}

func (r *resolver) addBridge(pos Pos, name string, raw bridge) {
	s := &bridgeState{index: len(r.topo.Bridges), taken: map[netip.Addr]claim{}, macs: map[string]claim{}, fdb: map[FDBEntry]claim{}}
	b := Bridge{
		Pos: pos, Name: name,
		External:     raw.External.Value,
		Internal:     raw.Internal.Value,
		ICC:          raw.ICC.or(true),
		Names:        raw.Names.or(true),
		MTU:          raw.MTU.or(vxlanMTU(raw.VXLAN)),
		MAC:          r.mac(raw.MAC),
		STP:          raw.STP.Value,
		ForwardDelay: defaultForwardDelay,

		VLANFiltering: raw.VLANFiltering.Value,
	}
	b.Node = raw.Node.Value // see placeBridges
	b.VLANs = r.portVLANs(raw.VLAN, &b)
	b.Priority, b.McastSnooping = raw.Priority.or(defaultBridgePriority), raw.McastSnooping.stated()
	r.bridgeTimes(&b, raw)
	if raw.ForwardDelay.Set {
		b.ForwardDelay = r.forwardDelay(raw)
	}
	if b.MAC != "" {
		r.claimMAC(s, raw.MAC.Pos, b.MAC, "the bridge")
	}
	r.bridgeName(&b, raw)
	r.readUplinks(s, &b, raw)
	r.readSubnets(s, &b, raw)
	r.readGateways(s, &b, raw)
	r.bridgeConflicts(&b, raw)
	b.Masquerade = raw.Masquerade.or(b.gateway() && !b.Internal && !b.External && !raw.Node.Set)
	r.topo.Bridges = append(r.topo.Bridges, b)
	r.bridges[name] = s
	r.vxlan(&b, s, raw)
}

// forwardDelay checks the bounds of IEEE 802.1D that the kernel keeps while the spanning tree runs
// (BR_MIN_FORWARD_DELAY, BR_MAX_FORWARD_DELAY). Its unit is a hundredth of a second.
func (r *resolver) forwardDelay(raw bridge) time.Duration {
	d, pos := raw.ForwardDelay.Value, raw.ForwardDelay.Pos
	switch {
	case d > 30*time.Second:
		r.add(pos, "forward_delay must be at most 30s")
	case raw.STP.Value && d < 2*time.Second:
		r.add(pos, "forward_delay must be at least 2s with stp")
	case d%(10*time.Millisecond) != 0:
		r.add(pos, "forward_delay must be whole hundredths of a second")
	}
	return d
}

func (r *resolver) bridgeName(b *Bridge, raw bridge) {
	switch {
	case raw.Node.Set:
		if b.Interface = raw.Name.Value; !raw.Name.Set {
			b.Interface = r.nodeBridgeInterface(b.Name)
		}
		return
	case raw.Name.Set:
		b.Interface = raw.Name.Value
		if !r.checkInterface(raw.Name.Pos, b.Interface) {
			return
		}
		r.claimHost(raw.Name.Pos, b.Interface, "bridge "+b.Name)
		return
	case b.External:
		b.Interface = b.Name
		if !r.checkInterface(b.Pos, b.Interface) {
			return
		}
	default:
		b.Interface = r.bridgeInterface(b.Name)
		if !objectName.MatchString(b.Name) || !r.checkInterface(b.Pos, b.Interface) {
			return
		}
	}
	r.claimHost(b.Pos, b.Interface, "bridge "+b.Name)
}

// gateway reports whether the bridge has an address of its own.
func (b *Bridge) gateway() bool {
	return slices.ContainsFunc(b.Subnets, func(s Subnet) bool { return !s.NoGateway })
}

// bridgeConflicts notes keys that say the opposite of each other.
func (r *resolver) bridgeConflicts(b *Bridge, raw bridge) {
	if m := raw.Masquerade; m.Value {
		switch {
		case b.Internal:
			r.add(m.Pos, "masquerade is for what leaves the bridge, and nothing leaves an internal one")
		case b.External:
			r.add(m.Pos, "masquerade can't be set on an external bridge: topo adds ports to it and nothing else")
		case b.Plain:
			r.add(m.Pos, "masquerade needs a subnet")
		case !b.gateway():
			r.add(m.Pos, "masquerade needs a gateway")
		}
	}
	if raw.Node.Set {
		r.nodeBridgeConflicts(raw)
	}
	if b.External {
		for _, k := range []struct {
			origin
			key string
		}{
			{raw.MAC.origin, "mac"},
			{raw.STP.origin, "stp"},
			{raw.ForwardDelay.origin, "forward_delay"},
			{raw.Internal.origin, "internal"},
			{raw.VLANFiltering.origin, "vlan_filtering"},
			{ownVLAN(raw), "vlan"},
			{raw.Priority.origin, "priority"},
			{raw.HelloTime.origin, "hello_time"},
			{raw.MaxAge.origin, "max_age"},
			{raw.AgeingTime.origin, "ageing_time"},
			{raw.McastSnooping.origin, "mcast_snooping"},
		} {
			if k.Set {
				r.add(k.Pos, "%s can't be set on an external bridge: topo adds ports to it and nothing else", k.key)
			}
		}
	}
	if raw.MTU.Set && b.MTU < minMTU6 && b.has6() {
		r.add(raw.MTU.Pos, "mtu must be at least %d for IPv6", minMTU6)
	}
}

// joinDefault gives containers that name no network the implicit bridge.
func (r *resolver) joinDefault() {
	for _, s := range r.order {
		n := r.node(s)
		raw := s.raw
		if s.container == nil || s.linked || n.Network != NetworkOwn || raw.NetworkMode.Bad ||
			raw.Bridges.Bad || len(raw.Bridges.List) > 0 || len(raw.Bridges.Map) > 0 {
			continue
		}
		if r.bridges[implicit] == nil {
			r.addBridge(n.Pos, implicit, bridge{})
		}
		raw.Bridges.Map = dict[attachment]{{Pos: n.Pos, Key: implicit}}
	}
}

// checkPortCounts counts what is plugged into each bridge.
func (r *resolver) checkPortCounts() {
	for _, name := range r.bridgeNames() {
		if s := r.bridges[name]; s.ports > maxPorts {
			r.add(r.bridge(s).Pos, "bridge %s has %d ports, and Linux numbers a bridge's ports in ten bits: it takes %d", name, s.ports, maxPorts)
		}
	}
}

// subnetOf is the stated subnet that an address lies in.
func (b *Bridge) subnetOf(a netip.Addr) (Subnet, bool) {
	for _, s := range b.Subnets {
		if s.Prefix.IsValid() && s.Prefix.Contains(a) {
			return s, true
		}
	}
	return Subnet{}, false
}

// allocated reports whether a subnet of the bridge is left to allocation.
func (b *Bridge) allocated() bool {
	return slices.ContainsFunc(b.Subnets, func(s Subnet) bool { return !s.Prefix.IsValid() })
}
