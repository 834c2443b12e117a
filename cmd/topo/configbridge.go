package main

import (
	"gopkg.in/yaml.v3"

	"topo/spec"
)

// vlansNode writes the VLANs of a port; nothing where the file says nothing.
func vlansNode(v *spec.VLANs) *yaml.Node {
	switch {
	case v == nil:
		return nil
	case v.PVID == 0 && len(v.Untagged) == 0 && len(v.Tagged) == 0:
		return scalarText("none")
	}
	m := newMap()
	if v.PVID != 0 {
		m.number("pvid", v.PVID)
	}
	m.texts("untagged", words(v.Untagged))
	m.texts("tagged", words(v.Tagged))
	return m.flow()
}

// bridgePortNode writes how a bridge treats a port; nothing where the file says nothing.
func bridgePortNode(p *spec.BridgePort) *yaml.Node {
	if p == nil {
		return nil
	}
	m := newMap()
	for _, f := range []struct {
		key string
		v   *bool
	}{{"isolated", p.Isolated}, {"hairpin", p.Hairpin}} {
		if f.v != nil {
			m.flag(f.key, *f.v)
		}
	}
	m.flag("learning", p.Learning)
	m.flag("flood", p.Flood)
	m.flag("mcast_flood", p.McastFlood)
	m.flag("bcast_flood", p.BcastFlood)
	m.number("cost", p.Cost)
	m.number("priority", p.Priority)
	entries := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, e := range p.FDB {
		entry := newMap()
		entry.text("mac", e.MAC)
		if e.VLAN != 0 {
			entry.number("vlan", e.VLAN)
		}
		entries.Content = append(entries.Content, entry.flow())
	}
	m.set("fdb", entries)
	return m.flow()
}
