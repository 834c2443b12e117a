package spec

import (
	"net/netip"
	"strings"

	"github.com/docker/go-connections/nat"
)

// maxPublished bounds what ranges may come to in one file: a rule is made of each.
const maxPublished = 1 << 16

// readPorts reads the published ports of a node.
func (r *resolver) readPorts(s *nodeState, n *Node) {
	if len(s.raw.Ports) > 0 && n.Network == NetworkOwn && !s.vague && !r.translates(n) {
		r.add(s.raw.Ports[0].Pos, "ports of %s need a bridge with a subnet: there is nothing to translate to", n.Name)
		return
	}
	for _, raw := range s.raw.Ports {
		for _, m := range r.portMappings(raw) {
			r.addPort(s, n, raw.Pos, m)
		}
	}
}

// translates reports whether the node has an address that the host can translate a port to.
func (r *resolver) translates(n *Node) bool {
	for _, a := range n.Attachments {
		b := r.bridges[a.Bridge]
		if b.vague || !r.bridge(b).Plain && r.bridge(b).Node == "" {
			return true
		}
	}
	return false
}

// hasFamily reports whether the node has, or is to get, an address of the family of a. What is allocated is IPv4.
func (r *resolver) hasFamily(s *nodeState, n *Node, a netip.Addr) bool {
	for _, at := range n.Attachments {
		state := r.bridges[at.Bridge]
		b := r.bridge(state)
		if b.Node != "" {
			continue
		}
		if state.vague || a.Is6() && b.has6() || a.Is4() && b.has4() {
			return true
		}
	}
	return s.vague
}

// portMappings reads either form by the grammar of Docker's port library.
func (r *resolver) portMappings(raw port) []nat.PortMapping {
	if !raw.Set || r.published.count > maxPublished {
		return nil
	}
	short := raw.Scalar.Value
	switch {
	case raw.Scalar.Bad || raw.Target.Bad || raw.Published.Bad || raw.HostIP.Bad || raw.Protocol.Bad:
		return nil
	case !raw.Scalar.Set && !raw.Target.Set:
		return nil
	case !raw.Scalar.Set:
		short = raw.short()
	}
	list, err := nat.ParsePortSpec(short)
	if err != nil {
		r.add(raw.Pos, "port %q: %s", short, err)
		return nil
	}
	return list
}

// short writes the long form as the short one.
func (p port) short() string {
	s := p.Target.Value
	ip := p.HostIP.Value
	if p.Published.Value != "" || ip != "" {
		s = p.Published.Value + ":" + s
	}
	if strings.Contains(ip, ":") {
		ip = "[" + strings.Trim(ip, "[]") + "]"
	}
	if ip != "" {
		s = ip + ":" + s
	}
	if p.Protocol.Set {
		s += "/" + p.Protocol.Value
	}
	return s
}

func (r *resolver) addPort(s *nodeState, n *Node, pos Pos, m nat.PortMapping) {
	r.published.count++
	if r.published.count > maxPublished {
		if r.published.count == maxPublished+1 {
			r.add(pos, "more than %d published ports in a file", maxPublished)
		}
		return
	}
	p := Port{Pos: pos, NodePort: uint16(m.Port.Int()), Protocol: m.Port.Proto()}
	if ip := m.Binding.HostIP; ip != "" {
		a, err := netip.ParseAddr(ip)
		if err != nil || a.Zone() != "" || a.IsMulticast() {
			r.add(pos, "host address %q is not the IP address of one machine", ip)
			return
		}
		p.HostIP = a.Unmap()
		if n.Network == NetworkOwn && p.HostIP == netip.IPv6Loopback() {
			// No route_localnet for IPv6: the answer has ::1 for its destination once it is translated back, and came by a bridge.
			r.add(pos, "host address ::1 can't be published: Linux drops a node's answers to it; publish on 127.0.0.1 or an address of the host")
			return
		}
		if n.Network == NetworkOwn && !r.hasFamily(s, n, p.HostIP) {
			r.add(pos, "host address %s can't be translated: %s has no address of its family", p.HostIP, n.Name)
			return
		}
	}
	first, last, err := nat.ParsePortRangeToInt(m.Binding.HostPort)
	switch {
	case err != nil:
		r.add(pos, "port %q: %s", m.Binding.HostPort, err)
		return
	case p.NodePort == 0 || first == 0 && last != 0:
		r.add(pos, "0 is not a port")
		return
	case n.Network == NetworkHost && first != 0 && (first != last || first != int(p.NodePort)):
		r.add(pos, "with network_mode host nothing is translated: the port on the host can't be %s, and %d in the node",
			m.Binding.HostPort, p.NodePort)
		return
	case n.Network == NetworkHost:
		p.HostPort = p.NodePort
	case first == last && first != 0:
		p.HostPort = uint16(first)
	default:
		r.published.open = append(r.published.open, openPort{s.index, len(n.Ports), first, last})
	}
	n.Ports = append(n.Ports, p)
}
