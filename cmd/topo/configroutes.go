package main

import (
	"gopkg.in/yaml.v3"

	"topo/internal/kernel"
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

// policyRulesNode writes each rule with its family.
func policyRulesNode(rules []spec.PolicyRule) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range rules {
		m := newMap()
		m.number("priority", r.Priority)
		family := "ipv4"
		if r.IPv6 {
			family = "ipv6"
		}
		m.text("family", family)
		if r.From.IsValid() {
			m.text("from", r.From.String())
		}
		if r.To.IsValid() {
			m.text("to", r.To.String())
		}
		m.text("iif", r.In)
		m.text("oif", r.Out)
		if r.Mask != 0 {
			m.text("fwmark", kernel.PolicyRule{Mark: r.Mark, Mask: r.Mask}.MarkText())
		}
		m.text("type", r.Type)
		if r.Table != 0 {
			m.number("table", r.Table)
		}
		list.Content = append(list.Content, m.flow())
	}
	return list
}
