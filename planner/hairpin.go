package planner

import (
	"fmt"

	"topo/internal/kernel"
)

// hairpin: a client that stands where the answer would not come back by the host gets the bridge's
// address: the host on 127.0.0.1, and nodes of the same bridge, which else would be answered directly.
var hairpinKind = Kind{Name: "hairpin", Desire: desireHairpin, Observe: observeRules("hairpin")}

func desireHairpin(w *Want) []Resource {
	var out []Resource
	chain := chainName("S", w.Project)
	for _, f := range families {
		published := publishedBridges(w.Topology, f)
		for _, b := range w.Topology.Bridges {
			if !published[b.Name] {
				continue
			}
			var rules []string
			if f == kernel.IPv4 {
				rules = append(rules, fmt.Sprintf("%s -s 127.0.0.0/8 -o %s -j MASQUERADE", chain, b.Interface))
			}
			for _, s := range subnetsOf(b, f) {
				rules = append(rules, fmt.Sprintf("%s -s %s -o %s -m conntrack --ctstate DNAT -j MASQUERADE", chain, s.Prefix, b.Interface))
			}
			out = append(out, newRuleset(w.Project, ruleID("hairpin", b.Name, f), table{f, "nat"}, "published ports from "+b.Interface+" and 127.0.0.1",
				fencesAround(w, b, f), rules...))
		}
	}
	return out
}
