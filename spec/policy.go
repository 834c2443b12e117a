package spec

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The kernel's own rules of priority, besides 0: main and default (ip-rule(8)).
const priorityMain, priorityDefault = 32766, 32767

// readPolicyRules reads the routing policy of a node.
func (r *resolver) readPolicyRules(s *nodeState, n *Node) {
	type place struct {
		priority int
		ipv6     bool
	}
	seen := map[place]Pos{}
	for _, raw := range s.raw.Rules {
		if !raw.Set || raw.spoilt() {
			continue
		}
		families, rule, ok := r.policyRule(s, n, raw)
		if !ok {
			continue
		}
		for _, rule.IPv6 = range families {
			at := place{rule.Priority, rule.IPv6}
			if first, twice := seen[at]; twice {
				r.add(raw.Priority.Pos, "priority %d is there twice, first in %s; the order of the two would be left open", rule.Priority, line(first))
				break
			}
			seen[at] = raw.Priority.Pos
			n.Rules = append(n.Rules, rule)
		}
	}
	slices.SortStableFunc(n.Rules, func(a, b PolicyRule) int { return cmp.Compare(a.Priority, b.Priority) })
}

// spoilt: what is not well-formed in it is noted, and makes no sense of the rest.
func (v policyRule) spoilt() bool {
	return !v.Priority.Set || slices.ContainsFunc([]origin{
		v.From.origin, v.To.origin, v.Iif.origin, v.Oif.origin, v.Fwmark.origin, v.Table.origin, v.Type.origin, v.Family.origin,
	}, func(o origin) bool { return o.Bad })
}

// policyRule reads a rule, and for which families it is: false for IPv4, true for IPv6.
func (r *resolver) policyRule(s *nodeState, n *Node, raw policyRule) (families []bool, rule PolicyRule, ok bool) {
	rule = PolicyRule{Pos: raw.Pos, Priority: raw.Priority.Value, In: raw.Iif.Value, Out: raw.Oif.Value, Table: raw.Table.Value}
	families = []bool{false, true}
	if raw.Family.Set {
		families = []bool{raw.Family.Value == "ipv6"}
	}
	ok = true
	for _, end := range []struct {
		key string
		at  text
		to  *netip.Prefix
	}{{"from", raw.From, &rule.From}, {"to", raw.To, &rule.To}} {
		if !end.at.Set {
			continue
		}
		p, fine := r.packets(end.at, end.key)
		if !fine {
			return nil, rule, false
		}
		is6 := p.Addr().Is6()
		if !slices.Contains(families, is6) {
			r.add(end.at.Pos, "%s %s is not of the rule's family", end.key, p)
			return nil, rule, false
		}
		if families = []bool{is6}; p.Bits() > 0 {
			*end.to = p
		}
	}
	if raw.Fwmark.Set {
		if rule.Mark, rule.Mask, ok = parseMark(raw.Fwmark.Value); !ok {
			r.add(raw.Fwmark.Pos, "fwmark must be a number like 7 or 0x7, or one with a mask, like 0x10/0xf0, not %q", raw.Fwmark.Value)
		}
	}
	for _, iface := range []struct {
		key string
		at  text
	}{{"iif", raw.Iif}, {"oif", raw.Oif}} {
		if name := iface.at; name.Set && name.Value != "lo" && !s.vague && !hasInterface(s, name.Value) {
			r.add(name.Pos, "%s has no interface %q%s", n.Name, name.Value, s.nearInterface(name.Value))
			ok = false
		}
	}
	refuses := raw.Type.Set && raw.Type.Value != "lookup"
	if refuses {
		rule.Type = raw.Type.Value
	}
	switch {
	case rule.Priority == priorityMain || rule.Priority == priorityDefault:
		r.add(raw.Priority.Pos, "priority %d is that of a rule of the kernel's own", rule.Priority)
		ok = false
	case refuses && raw.Table.Set:
		r.add(raw.Table.Pos, "table has no meaning for a rule of type %s", rule.Type)
		ok = false
	case !refuses && !raw.Table.Set:
		r.add(raw.Pos, "a rule needs a table that is looked in, or a type that refuses: blackhole, unreachable, prohibit")
		ok = false
	}
	return families, rule, ok
}

// packets reads a CIDR or an address.
func (r *resolver) packets(t text, key string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(t.Value); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	if !strings.Contains(t.Value, "/") {
		r.add(t.Pos, "%s %q is not a CIDR like 10.0.0.0/24", key, t.Value)
		return netip.Prefix{}, false
	}
	return r.cidr(t, key)
}

// parseMark reads MARK or MARK/MASK; without a mask all bits count. What a mask leaves out is dropped.
func parseMark(s string) (mark, mask uint32, ok bool) {
	left, right, masked := strings.Cut(s, "/")
	m, err := strconv.ParseUint(left, 0, 32)
	k := uint64(^uint32(0))
	if masked && err == nil {
		k, err = strconv.ParseUint(right, 0, 32)
	}
	return uint32(m & k), uint32(k), err == nil && k != 0
}
