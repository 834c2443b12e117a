package main

import (
	"gopkg.in/yaml.v3"

	"topo/spec"
)

// addRareRouteKeys writes what few routes have.
func addRareRouteKeys(m *yamlMap, r spec.Route) {
	m.text("type", r.Type)
	if r.Src.IsValid() {
		m.text("src", r.Src.String())
	}
	if r.MTU != 0 {
		m.number("mtu", r.MTU)
	}
	if r.OnLink {
		m.flag("onlink", true)
	}
	hops := &yaml.Node{Kind: yaml.SequenceNode}
	for _, h := range r.NextHops {
		hop := newMap()
		if h.Via.IsValid() {
			hop.text("via", h.Via.String())
		}
		hop.text("interface", h.Interface)
		hop.number("weight", h.Weight)
		hops.Content = append(hops.Content, hop.flow())
	}
	m.set("nexthops", hops)
}
