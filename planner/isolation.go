package planner

import (
	"topo/internal/kernel"
	"topo/spec"
)

// ruleKinds are the kinds that are rulesets: a table is needed where one of them has rules in it.
var ruleKinds = []Kind{isolationKind, guardKind, fenceKind, masqueradeKind, hairpinKind, publishKind}

// isolation: what may be forwarded into a bridge and out of it. Into it comes what its nodes asked for,
// and what was published; an internal bridge has no traffic with anything but the host.
var isolationKind = Kind{Name: "isolation", Desire: desireIsolation, Observe: observeRules("isolation")}

func desireIsolation(w *Want) []Resource {
	var out []Resource
	drop, accept := chainName("I", w.Project), chainName("A", w.Project)
	const unasked = " -m conntrack ! --ctstate ESTABLISHED,RELATED,DNAT -j DROP"
	for _, f := range families {
		routed := gatewayBridges(w.Topology, f)
		for _, b := range w.Topology.Bridges {
			if b.External || b.Node != "" {
				continue
			}
			br := b.Interface
			within := " -i " + br + " -o " + br
			var rules []string
			switch {
			case routed[b.Name] && b.Internal:
				rules = append(rules, drop+" ! -i "+br+" -o "+br+" -j DROP", drop+" -i "+br+" ! -o "+br+" -j DROP", accept+within+" -j ACCEPT")
			case routed[b.Name]:
				rules = append(rules, drop+" ! -i "+br+" -o "+br+unasked, accept+" -i "+br+" -j ACCEPT", accept+" -o "+br+" -j ACCEPT")
			case callsIptables(w.Host, f):
				// Bridged packets go through FORWARD here (br_netfilter), whose policy may be DROP.
				rules = append(rules, accept+within+" -j ACCEPT")
			default:
				continue
			}
			if !b.ICC {
				rules = append(rules, drop+within+unasked)
			}
			about := "nothing comes in unasked"
			if b.Internal {
				about = "nothing in or out"
			}
			out = append(out, newRuleset(w.Project, ruleID("isolation", b.Name, f), table{f, "filter"}, about, nil, rules...))
		}
	}
	return out
}

// bridgeCalls are the parameters of br_netfilter that send bridged packets through iptables.
var bridgeCalls = map[kernel.Family]kernel.SysctlKey{
	kernel.IPv4: {Key: "net.bridge.bridge-nf-call-iptables"},
	kernel.IPv6: {Key: "net.bridge.bridge-nf-call-ip6tables"},
}

func callsIptables(s kernel.Snapshot, f kernel.Family) bool { return s.Sysctls[bridgeCalls[f]] == "1" }

// gatewayBridges are those with an address of the host's on them, in a family.
func gatewayBridges(t *spec.Topology, f kernel.Family) map[string]bool {
	m := map[string]bool{}
	for _, b := range t.Bridges {
		for _, s := range b.Subnets {
			if !b.External && b.Node == "" && s.Gateway.IsValid() && kernel.FamilyOf(s.Gateway) == f {
				m[b.Name] = true
			}
		}
	}
	return m
}

// routedBridges are those of them that are not internal: the host forwards for them.
func routedBridges(t *spec.Topology, f kernel.Family) map[string]bool {
	m := gatewayBridges(t, f)
	for _, b := range t.Bridges {
		if b.Internal {
			delete(m, b.Name)
		}
	}
	return m
}
