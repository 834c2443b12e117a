package planner

import (
	"fmt"

	"topo/internal/kernel"
)

// guard keeps 127.0.0.1 the host's own where route_localnet is on: nothing for it comes in by the
// bridge, and nothing from outside for a port that is published on it (CVE-2020-8558).
var guardKind = Kind{Name: "guard", Desire: desireGuard, Observe: observeRules("guard")}

func desireGuard(w *Want) []Resource {
	var out []Resource
	chain := chainName("R", w.Project)
	published := publishedBridges(w.Topology, kernel.IPv4)
	t := table{kernel.IPv4, "raw"}
	for _, b := range w.Topology.Bridges {
		if published[b.Name] {
			out = append(out, newRuleset(w.Project, ruleID("guard", b.Name, kernel.IPv4), t, "127.0.0.0/8 stays the host's", nil,
				chain+" -d 127.0.0.0/8 -i "+b.Interface+" -j DROP"))
		}
	}
	for _, p := range publications(w.Topology) {
		if p.port.HostIP.IsValid() && p.port.HostIP.IsLoopback() && p.family == kernel.IPv4 {
			out = append(out, newRuleset(w.Project, ID{"guard", p.id().Name}, t, "from the host only", nil,
				fmt.Sprintf("%s -d %s ! -i lo -p %s --dport %d -j DROP", chain, p.port.HostIP, p.port.Protocol, p.port.HostPort)))
		}
	}
	return out
}
