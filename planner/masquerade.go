package planner

import "fmt"

// masquerade: what leaves a bridge's subnet by another interface bears the host's address there. What
// was published to another bridge is spared, so that the client's address is kept.
var masqueradeKind = Kind{Name: "masquerade", Desire: desireMasquerade, Observe: observeRules("masquerade")}

func desireMasquerade(w *Want) []Resource {
	var out []Resource
	chain := chainName("S", w.Project)
	for _, f := range families {
		routed := routedBridges(w.Topology, f)
		for _, b := range w.Topology.Bridges {
			if !b.Masquerade || !routed[b.Name] {
				continue
			}
			var rules []string
			about := ""
			for _, s := range subnetsOf(b, f) {
				rules = append(rules, fmt.Sprintf("%s -s %s ! -o %s -m conntrack ! --ctstate DNAT -j MASQUERADE", chain, s.Prefix, b.Interface))
				about += s.Prefix.String() + " "
			}
			out = append(out, newRuleset(w.Project, ruleID("masquerade", b.Name, f), table{f, "nat"}, about+"leaves as the host",
				fencesAround(w, b, f), rules...))
		}
	}
	return out
}
