package planner

import (
	"fmt"
	"net/netip"

	"topo/internal/kernel"
	"topo/spec"
)

// publish: a port of the host leads to a node's.
var publishKind = Kind{Name: "publish", Desire: desirePublish, Observe: observeRules("publish")}

// publication is a published port in one family, with where it leads.
type publication struct {
	node   string
	port   spec.Port
	family kernel.Family
	bridge spec.Bridge
	addr   netip.Prefix // of the node
	iface  string
}

// publications lists them: a port without a host address in each family in which the node can be reached.
func publications(t *spec.Topology) []publication {
	var out []publication
	bridges := bridgesByName(t)
	for _, n := range t.Nodes {
		if n.Network != spec.NetworkOwn {
			continue
		}
		for _, p := range n.Ports {
			for _, f := range families {
				if p.HostIP.IsValid() && kernel.FamilyOf(p.HostIP) != f {
					continue
				}
				if a, addr, ok := reachedBy(n, bridges, f); ok {
					out = append(out, publication{n.Name, p, f, bridges[a.Bridge], addr, a.Interface})
				}
			}
		}
	}
	return out
}

// reachedBy is the attachment by which the host reaches a node: the one with the default route, else the first
// on a bridge that has a gateway.
func reachedBy(n spec.Node, bridges map[string]spec.Bridge, f kernel.Family) (spec.Attachment, netip.Prefix, bool) {
	var best spec.Attachment
	var addr netip.Prefix
	for _, a := range n.Attachments {
		if bridges[a.Bridge].Node != "" {
			continue
		}
		for _, s := range subnetsOf(bridges[a.Bridge], f) {
			if !s.Gateway.IsValid() || addr.IsValid() && (best.DefaultRoute || !a.DefaultRoute) {
				continue
			}
			for _, p := range a.Addresses {
				if s.Prefix.Contains(p.Addr()) {
					best, addr = a, p
					break
				}
			}
		}
	}
	return best, addr, addr.IsValid()
}

func subnetsOf(b spec.Bridge, f kernel.Family) []spec.Subnet {
	var out []spec.Subnet
	for _, s := range b.Subnets {
		if s.Prefix.IsValid() && kernel.FamilyOf(s.Prefix.Addr()) == f {
			out = append(out, s)
		}
	}
	return out
}

// publishedBridges are those by which published ports of a family are reached.
func publishedBridges(t *spec.Topology, f kernel.Family) map[string]bool {
	m := map[string]bool{}
	for _, p := range publications(t) {
		if p.family == f && !p.bridge.External {
			m[p.bridge.Name] = true
		}
	}
	return m
}

// id is "publish/web:5000/tcp", with the host's address before the port where one is stated.
func (p publication) id() ID {
	name := p.node + ":"
	switch {
	case p.port.HostIP.IsValid() && !p.port.HostIP.IsUnspecified():
		name += netip.AddrPortFrom(p.port.HostIP, p.port.HostPort).String()
	case p.family == kernel.IPv6:
		name += fmt.Sprintf("[::]:%d", p.port.HostPort)
	default:
		name += fmt.Sprint(p.port.HostPort)
	}
	return ID{"publish", name + "/" + p.port.Protocol}
}

func desirePublish(w *Want) []Resource {
	var out []Resource
	chain := chainName("D", w.Project)
	for _, p := range publications(w.Topology) {
		dst := ""
		switch {
		case p.port.HostIP.IsValid() && !p.port.HostIP.IsUnspecified():
			dst = " -d " + p.port.HostIP.String()
		case p.family == kernel.IPv6:
			// What is answered to ::1 is dropped: let it be refused at once, so that a client tries 127.0.0.1.
			dst = " ! -d ::1"
		}
		to := netip.AddrPortFrom(p.addr.Addr(), p.port.NodePort)
		needs := append([]ID{addressID(p.node, p.iface, p.addr)}, fencesAround(w, p.bridge, p.family)...)
		r := newRuleset(w.Project, p.id(), table{p.family, "nat"}, "to "+to.String(), needs,
			fmt.Sprintf("%s%s -p %s --dport %d -j DNAT --to-destination %s", chain, dst, p.port.Protocol, p.port.HostPort, to))
		if p.port.Protocol == "udp" {
			r.port = kernel.PublishedPort{Port: p.port.HostPort, To: to}
			if p.port.HostIP.IsValid() && !p.port.HostIP.IsUnspecified() {
				r.port.Addr = p.port.HostIP
			}
		}
		out = append(out, r)
	}
	return out
}

// gatewayOf is the host's address as a node sees it: the gateway of its first bridge that has one.
func gatewayOf(t *spec.Topology, n spec.Node) netip.Addr {
	bridges := bridgesByName(t)
	for _, f := range families {
		if a, _, ok := reachedBy(n, bridges, f); ok {
			return subnetsOf(bridges[a.Bridge], f)[0].Gateway
		}
	}
	return netip.Addr{}
}
