package main

import (
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"topo/spec"
)

// interfacesNode writes a node's interfaces of other kinds than veth.
func interfacesNode(t *spec.Topology, node string) *yaml.Node {
	all := newMap()
	for _, i := range t.Interfaces {
		if i.Node == node && !i.OfLink {
			m := newMap()
			m.text("type", interfaceType(i))
			addKindKeys(m, i)
			addPlaceKeys(m, i)
			all.put(i.Name, &m.node)
		}
	}
	return &all.node
}

// kindLinkNode writes an end of a link of another kind as a link of its own: what it has of the link and of the other ends is in it.
func kindLinkNode(i spec.Interface) *yaml.Node {
	end := newMap()
	end.text("node", i.Node)
	end.text("interface", i.Name)
	addPlaceKeys(end, i)
	all := newMap()
	all.text("type", interfaceType(i))
	addKindKeys(all, i)
	all.put("endpoints", &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{end.flow()}})
	return &all.node
}

func interfaceType(i spec.Interface) string {
	if i.Kind == "tun" {
		return i.Params[0].Value // or tap
	}
	return i.Kind
}

// addKindKeys writes what makes an interface one of its type.
func addKindKeys(m *yamlMap, i spec.Interface) {
	params := i.Params
	if i.Kind == "tun" {
		params = params[1:]
	}
	if p := i.Parent; p != nil {
		name := p.Name
		if p.Node != i.Node {
			name = p.Node + ":" + p.Name
		}
		m.text("parent", name)
	}
	addParams(m, params)
	if i.WireGuard != nil {
		addWireGuardKeys(m, i)
	}
	addRemotes(m, i.Remotes)
	var members []string
	for _, x := range i.Members {
		members = append(members, x.Name)
	}
	m.texts("members", members)
}

// addPlaceKeys writes what an interface has whatever its type is.
func addPlaceKeys(m *yamlMap, i spec.Interface) {
	m.texts("address", words(i.Addresses))
	m.text("mac", i.MAC)
	if i.MTU != 0 {
		m.number("mtu", i.MTU)
	}
	m.flag("up", i.Up)
	if i.Impair != nil {
		m.set("impair", impairNode(*i.Impair))
	}
}

// vxlanNode writes a bridge's vxlan.
func vxlanNode(i spec.Interface) *yaml.Node {
	m := newMap()
	addParams(m, i.Params)
	if i.Parent != nil {
		m.text("dev", i.Parent.Name)
	}
	addRemotes(m, i.Remotes)
	return &m.node
}

func addParams(m *yamlMap, params []spec.InterfaceParam) {
	for _, p := range params {
		switch p.Name {
		case "learning":
			m.flag(p.Name, p.Value == "on")
		case "miimon", "updelay", "downdelay":
			m.text(p.Name, p.Value+"ms")
		default:
			if n, err := strconv.Atoi(p.Value); err == nil {
				m.number(p.Name, n)
			} else {
				m.text(p.Name, p.Value)
			}
		}
	}
}

func addRemotes(m *yamlMap, remotes []spec.Remote) {
	var macs []string
	behind := map[string][]string{}
	for _, r := range remotes {
		if !slices.Contains(macs, r.MAC) {
			macs = append(macs, r.MAC)
		}
		behind[r.MAC] = append(behind[r.MAC], r.Addr.String())
	}
	m.texts("remotes", behind[""])
	fdb := newMap()
	for _, mac := range macs {
		if mac != "" {
			fdb.texts(mac, behind[mac])
		}
	}
	m.set("fdb", &fdb.node)
}
