package spec

import (
	"strconv"
	"strings"
)

// networkModes reads network_mode of all nodes.
func (r *resolver) networkModes() {
	for _, s := range r.order {
		if s.raw.NetworkMode.Set {
			r.networkMode(s, r.node(s))
		}
		s.vague = s.raw.NetworkMode.Bad || s.raw.Bridges.Bad
	}
	for _, s := range r.order {
		if n := r.node(s); n.Network == NetworkNode {
			r.share(s, n)
		}
	}
}

func (r *resolver) networkMode(s *nodeState, n *Node) {
	pos, value := s.raw.NetworkMode.Pos, s.raw.NetworkMode.Value
	mode, name, named := strings.Cut(value, ":")
	switch {
	case value == string(NetworkNone):
		n.Network = NetworkNone
	case value == string(NetworkHost):
		n.Network, n.Netns = NetworkHost, ""
		if !s.raw.Hostname.Set {
			n.Hostname = ""
		}
	case named && mode == string(NetworkNode):
		n.Network, n.Shares = NetworkNode, name
	case named && (mode == "service" || mode == "container"):
		r.add(pos, "network_mode %q; topo says %q", value, "node:"+name)
		s.vague = true
	default:
		words := []string{string(NetworkNone), string(NetworkHost), string(NetworkNode) + ":NAME"}
		r.add(pos, "network_mode can't be %s%s", strconv.Quote(value), suggestOrList(value, words))
		s.vague = true
		return
	}
	r.modeConflicts(s, n)
}

// modeConflicts notes keys that have no meaning without a network of the node's own.
func (r *resolver) modeConflicts(s *nodeState, n *Node) {
	mode, raw := s.raw.NetworkMode.Value, s.raw
	refuse := func(o origin, given bool, key, why string) {
		if given {
			r.add(o.Pos, "%s excludes network_mode %s%s", key, mode, why)
		}
	}
	bridges := len(raw.Bridges.List) > 0 || len(raw.Bridges.Map) > 0
	refuse(raw.Bridges.origin, bridges, "bridges", "")
	raw.Bridges = attachments{}
	if n.Network != NetworkHost && len(raw.Ports) > 0 {
		refuse(raw.Ports[0].origin, true, "ports", ": nothing leads to it")
		raw.Ports = nil
	}
	whose := ": it is the host's own"
	switch n.Network {
	case NetworkNone:
		whose = ": there is only lo"
	case NetworkNode:
		whose = ": say it of " + n.Shares
	}
	if len(raw.Routes) > 0 {
		refuse(raw.Routes[0].origin, true, "routes", whose)
	}
	if len(raw.Rules) > 0 {
		refuse(raw.Rules[0].origin, true, "rules", whose)
	}
	raw.Routes, raw.Rules = nil, nil
	if n.Network == NetworkNone {
		return
	}
	refuse(raw.Sysctls.origin, raw.Sysctls.Set, "sysctls", whose)
	refuse(raw.Forwarding.origin, raw.Forwarding.Set, "forwarding", whose)
	refuse(raw.ExtraHosts.origin, raw.ExtraHosts.Set, "extra_hosts", whose)
	refuse(raw.DNS.origin, raw.DNS.Set, "dns", whose)
	refuse(raw.DNSSearch.origin, raw.DNSSearch.Set, "dns_search", whose)
	if len(raw.Links) > 0 {
		refuse(raw.Links[0].origin, true, "links", whose)
	}
	raw.Forwarding = flag{}
	raw.Sysctls, raw.ExtraHosts, raw.DNS, raw.DNSSearch, raw.Links = pairs{}, hosts{}, texts{}, texts{}, nil
}

// share finds the node whose namespace another one uses.
func (r *resolver) share(s *nodeState, n *Node) {
	pos := s.raw.NetworkMode.Pos
	other := r.findNode(pos, n.Shares)
	if other == nil {
		return
	}
	switch o := r.node(other); {
	case other == s:
		r.add(pos, "network_mode: %s can't share its own namespace", n.Name)
	case o.Network == NetworkNode:
		r.add(pos, "network_mode: %s has no namespace of its own either, it shares that of %s", n.Shares, o.Shares)
	case o.Network == NetworkHost:
		r.add(pos, "network_mode: %s is on the host's network; write host", n.Shares)
	default:
		n.Netns = o.Netns
	}
}
