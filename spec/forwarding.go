package spec

import "slices"

// forwardingSysctls are what makes a node a router, IPv4's and IPv6's.
var forwardingSysctls = []forwardingSysctl{
	{"net.ipv4.ip_forward", []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"}},
	{"net.ipv6.conf.all.forwarding", []string{"net.ipv6.conf.all.forwarding"}},
}

type forwardingSysctl struct {
	key  string
	same []string // names of the same parameter, the key among them
}

// addForwarding adds what forwarding stands for to a node's sysctls, and notes those of the file that say the contrary.
func (r *resolver) addForwarding(s *nodeState, n *Node) {
	f := s.raw.Forwarding
	if !f.Set {
		return
	}
	value := "0"
	if f.Value {
		value = "1"
	}
	for _, add := range forwardingSysctls {
		stated := false
		for _, have := range n.Sysctls {
			if !slices.Contains(add.same, canonicalSysctl(have.Key)) {
				continue
			}
			stated = true
			if (have.Value != "0") != f.Value {
				r.add(have.Pos, "sysctl %s: %s contradicts forwarding: %t in %s", have.Key, have.Value, f.Value, line(f.Pos))
			}
		}
		if !stated {
			n.Sysctls = append(n.Sysctls, Sysctl{Pos: f.Pos, Key: add.key, Value: value})
		}
	}
	sortSysctls(n.Sysctls)
}

// checkAcceptRA notes that there is no IPv6 to be configured below its least MTU.
func (r *resolver) checkAcceptRA(accept flag, mtu int) {
	if accept.Value && mtu < minMTU6 {
		r.add(accept.Pos, "accept_ra needs an mtu of at least %d, IPv6's", minMTU6)
	}
}

// Forwards6 reports whether the file makes the node an IPv6 router.
func (n Node) Forwards6() bool {
	return slices.ContainsFunc(n.Sysctls, func(s Sysctl) bool {
		return canonicalSysctl(s.Key) == "net.ipv6.conf.all.forwarding" && s.Value != "0"
	})
}
