package spec

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// none is the word for no subnet and no gateway.
const none = "none"

func (r *resolver) readSubnets(s *bridgeState, b *Bridge, raw bridge) {
	stated := raw.Subnet.all()
	s.vague = raw.Subnet.Bad || raw.Subnet.Scalar.Bad || len(raw.Subnet.List) != len(set(raw.Subnet.List))
	switch {
	case len(stated) == 1 && stated[0].Value == none:
		b.Plain = true
		return
	case !raw.Subnet.Set && (b.External || raw.Node.Set || len(b.Uplinks) > 0):
		b.Plain = true
		return
	case len(stated) == 0 && raw.Subnet.Set && !s.vague:
		r.add(raw.Subnet.Pos, "subnet is an empty list; leave it out, or write none")
		s.vague = true
		return
	case len(stated) == 0:
		b.Subnets = []Subnet{{Pos: b.Pos}}
		return
	}
	for _, t := range stated {
		if p, ok := r.subnet(t); ok {
			b.Subnets = append(b.Subnets, Subnet{Pos: t.Pos, Prefix: p})
		} else {
			s.vague = true
		}
	}
}

// subnet reads a CIDR that can be the range of a bridge.
func (r *resolver) subnet(t text) (netip.Prefix, bool) {
	p, ok := r.cidr(t, "subnet")
	if !ok {
		return p, false
	}
	switch a := p.Addr(); {
	case p.Bits() == a.BitLen():
		r.add(t.Pos, "subnet %s has room for one address", p)
	case p.Bits() == 0:
		r.add(t.Pos, "subnet %s is everything", p)
	case a.IsMulticast() || a.IsLoopback() || a.IsUnspecified():
		r.add(t.Pos, "subnet %s is not one for nodes (multicast, loopback or unspecified)", p)
	default:
		return p, true
	}
	return p, false
}

// cidr reads a prefix without host bits.
func (r *resolver) cidr(t text, what string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(t.Value)
	switch {
	case err != nil && isAddr(t.Value):
		r.add(t.Pos, "%s %q has no length, as in %s", what, t.Value, t.Value+"/24")
	case err != nil:
		r.add(t.Pos, "%s %q is not a CIDR like 10.0.0.0/24", what, t.Value)
	case p.Addr().Is4In6():
		r.add(t.Pos, "%s %q is IPv4 written as IPv6; write the IPv4 one", what, t.Value)
	case p != p.Masked():
		r.add(t.Pos, "%s %s has bits set after its length; did you mean %s?", what, p, p.Masked())
	default:
		return p, true
	}
	return p, false
}

func isAddr(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// readGateways gives each subnet its gateway.
func (r *resolver) readGateways(s *bridgeState, b *Bridge, raw bridge) {
	stated := raw.Gateway.all()
	if len(stated) == 1 && stated[0].Value == none {
		for i := range b.Subnets {
			b.Subnets[i].NoGateway = true
		}
		return
	}
	for _, t := range stated {
		a, ok := r.addr(t.Pos, t.Value, "gateway")
		if !ok || s.vague {
			continue
		}
		r.setGateway(b, t.Pos, a)
	}
	for i := range b.Subnets {
		sub := &b.Subnets[i]
		if len(b.Uplinks) > 0 && !sub.Gateway.IsValid() {
			sub.NoGateway = true // the first address may be the LAN's router's
			continue
		}
		if sub.Prefix.IsValid() && !sub.Gateway.IsValid() {
			sub.Gateway = firstHost(sub.Prefix)
		}
		if sub.Gateway.IsValid() {
			s.taken[sub.Gateway] = claim{sub.Pos, "the gateway"}
		}
	}
}

func (r *resolver) setGateway(b *Bridge, pos Pos, a netip.Addr) {
	switch {
	case b.Plain:
		r.add(pos, "gateway needs a subnet")
		return
	case b.allocated():
		r.add(pos, "gateway needs a stated subnet")
		return
	}
	for i := range b.Subnets {
		sub := &b.Subnets[i]
		if !sub.Prefix.Contains(a) {
			continue
		}
		switch word := reserved(sub.Prefix, a); {
		case word != "":
			r.add(pos, "gateway %s is %s of %s", a, word, sub.Prefix)
		case sub.Gateway.IsValid():
			r.add(pos, "subnet %s has two gateways, %s and %s", sub.Prefix, sub.Gateway, a)
		}
		sub.Gateway = a
		return
	}
	r.add(pos, "gateway %s is outside %s", a, subnetList(b))
}

// firstHost is the first address of a subnet that an interface can have. Of two addresses (/31, /127)
// both can be had (RFC 3021, RFC 6164).
func firstHost(p netip.Prefix) netip.Addr {
	if p.Bits() >= p.Addr().BitLen()-1 {
		return p.Addr()
	}
	return p.Addr().Next()
}

// reserved says what an address of a subnet is when no interface can have it. The first of an IPv6 subnet is its
// routers' anycast address (RFC 4291, section 2.6.1).
func reserved(p netip.Prefix, a netip.Addr) string {
	switch {
	case p.Bits() >= a.BitLen()-1:
		return ""
	case a == p.Masked().Addr() && a.Is4():
		return "the network address"
	case a == p.Masked().Addr():
		return "the routers' anycast address"
	case a.Is4() && a == lastAddr(p):
		return "the broadcast address"
	}
	return ""
}

// lastAddr is the last address of an IPv4 prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// addr reads an address that an interface or a host can have.
func (r *resolver) addr(pos Pos, s, what string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	switch {
	case err != nil && strings.Contains(s, "/"):
		r.add(pos, "%s %q must be an address without a length", what, s)
	case err != nil:
		r.add(pos, "%s %q is not an IP address", what, s)
	case a.Is4In6():
		r.add(pos, "%s %q is IPv4 written as IPv6; write %s", what, s, a.Unmap())
	case a.Zone() != "":
		r.add(pos, "%s %q must be without %%%s", what, s, a.Zone())
	case a.IsUnspecified() || a.IsMulticast():
		r.add(pos, "%s %s is not the address of one machine", what, a)
	default:
		return a, true
	}
	return a, false
}

// ifaceAddr reads an address with or without its length (bits -1) for an interface.
func (r *resolver) ifaceAddr(t text) (a netip.Addr, bits int, ok bool) {
	if p, err := netip.ParsePrefix(t.Value); err == nil {
		a, ok = r.addr(t.Pos, p.Addr().String(), "address")
		return a, p.Bits(), ok && r.notLoopback(t.Pos, a)
	}
	if before, _, slash := strings.Cut(t.Value, "/"); slash {
		if _, err := netip.ParseAddr(before); err == nil {
			r.add(t.Pos, "address %q has a bad length", t.Value)
			return a, 0, false
		}
		r.add(t.Pos, "address %q is not an IP address", t.Value)
		return a, 0, false
	}
	a, ok = r.addr(t.Pos, t.Value, "address")
	return a, -1, ok && r.notLoopback(t.Pos, a)
}

// addressWithLength reads an address of an interface that is in no subnet which would have its length.
func (r *resolver) addressWithLength(t text) (netip.Prefix, bool) {
	a, bits, ok := r.ifaceAddr(t)
	if !ok {
		return netip.Prefix{}, false
	}
	if bits < 0 {
		r.add(t.Pos, "address %s needs a length, as in %s", a, exampleLength(a))
		return netip.Prefix{}, false
	}
	p := netip.PrefixFrom(a, bits)
	if word := reserved(p.Masked(), a); word != "" {
		r.add(t.Pos, "address %s is %s of %s", a, word, p.Masked())
		return netip.Prefix{}, false
	}
	return p, true
}

func (r *resolver) notLoopback(pos Pos, a netip.Addr) bool {
	if a.IsLoopback() {
		r.add(pos, "address %s is a loopback address; lo has it", a)
		return false
	}
	return true
}

// mac reads a MAC address of an interface and writes it as the kernel does.
func (r *resolver) mac(t text) string {
	if !t.Set {
		return ""
	}
	m, err := net.ParseMAC(t.Value)
	switch {
	case err != nil || len(m) != 6:
		r.add(t.Pos, "mac %q is not a MAC address like 02:42:ac:11:00:02", t.Value)
	case m[0]&1 != 0:
		r.add(t.Pos, "mac %q is a multicast address: the first byte must be even", t.Value)
	case slices.Max(m) == 0:
		r.add(t.Pos, "mac %q is nobody's address", t.Value)
	default:
		return m.String()
	}
	return ""
}

// checkOverlaps compares all stated subnets: prefixes either nest or lie apart, so that, sorted, one that
// overlaps any overlaps the last that did not.
func (r *resolver) checkOverlaps() {
	type stated struct {
		Subnet
		bridge string
		order  int
	}
	var all []stated
	for _, b := range r.topo.Bridges {
		for _, s := range b.Subnets {
			if s.Prefix.IsValid() {
				all = append(all, stated{s, b.Name, len(all)})
			}
		}
	}
	slices.SortFunc(all, func(a, b stated) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), cmp.Compare(a.order, b.order))
	})
	for i, last := 1, 0; i < len(all); i++ {
		if !all[last].Prefix.Overlaps(all[i].Prefix) {
			last = i
			continue
		}
		first, second := all[last], all[i]
		if first.order > second.order {
			first, second = second, first
		}
		if first.bridge == second.bridge {
			r.add(second.Pos, "subnet %s overlaps %s (line %d)", second.Prefix, first.Prefix, first.Pos.Line)
		} else {
			r.add(second.Pos, "subnet %s overlaps %s of bridge %s (line %d)", second.Prefix, first.Prefix, first.bridge, first.Pos.Line)
		}
	}
}

func subnetList(b *Bridge) string {
	words := make([]string, len(b.Subnets))
	for i, s := range b.Subnets {
		words[i] = s.Prefix.String()
	}
	return strings.Join(words, " and ")
}
