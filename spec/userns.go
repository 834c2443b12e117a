package spec

import "slices"

// Userns is in which user namespace a container is.
type Userns struct {
	Pos     Pos
	Private bool // one of its own; otherwise topo's own
}

// usernsPrivate is the one word of userns_mode that makes a difference; "host" is as without the key.
const usernsPrivate = "private"

// outsideOnly are capabilities that the kernel asks for in the user namespace of the thing itself, which is the host's: in a namespace
// of the container's own they are worth nothing (user_namespaces(7), "Effect of capabilities within a user namespace").
var outsideOnly = map[string]string{
	"CAP_NET_ADMIN": "the node's network belongs to the host", "CAP_NET_RAW": "the node's network belongs to the host",
	"CAP_NET_BROADCAST": "the node's network belongs to the host",
	"CAP_SYS_MODULE":    "the kernel is the host's", "CAP_SYS_RAWIO": "the devices are the host's", "CAP_SYS_TIME": "the clock is the host's",
	"CAP_SYSLOG": "the kernel's log is the host's", "CAP_MKNOD": "devices can't be made in a user namespace",
	"CAP_SYS_RESOURCE": "limits are the host's to raise",
}

// userns reads userns_mode, and notes what it makes impossible.
func (r *resolver) userns(c *container, p *Process) Userns {
	if c.UsernsMode.Value != usernsPrivate {
		return Userns{}
	}
	const with = "with userns_mode private"
	if p.Privileged {
		r.add(c.Privileged.Pos, "privileged makes no sense %s: it would be so in its own user namespace only", with)
	}
	for _, a := range p.CapAdd {
		if why, ok := outsideOnly[a.Name]; ok {
			r.add(a.Pos, "cap_add %s has no effect %s: %s", a.Name, with, why)
		}
	}
	return Userns{Pos: c.UsernsMode.Pos, Private: true}
}

// usernsMounts notes what containers with a user namespace of their own can't have mounted, once all mounts are known.
func (r *resolver) usernsMounts() {
	for _, n := range r.topo.Nodes {
		if n.Process == nil || !n.Process.Userns.Private {
			continue
		}
		for _, m := range n.Process.Mounts {
			if m.Propagation == "shared" || m.Propagation == "rshared" {
				r.add(m.Pos, "propagation %s of %s is impossible with userns_mode private: nothing mounted in there gets out; rslave lets the host's mounts in", m.Propagation, m.Target)
			}
		}
	}
}

// usernsSysctls are what a node's network needs for a container whose root has no rights in it: any port can be listened on, and ping
// works. Docker sets both in all containers.
var usernsSysctls = []Sysctl{
	{Key: "net.ipv4.ip_unprivileged_port_start", Value: "0"},
	{Key: "net.ipv4.ping_group_range", Value: "0 2147483647"},
}

// addUsernsSysctls adds those that the file doesn't state to a network of the node's own.
func (r *resolver) addUsernsSysctls(s *nodeState, n *Node) {
	if s.container == nil || s.container.UsernsMode.Value != usernsPrivate || n.Network != NetworkOwn && n.Network != NetworkNone {
		return
	}
	for _, add := range usernsSysctls {
		if !slices.ContainsFunc(n.Sysctls, func(have Sysctl) bool { return canonicalSysctl(have.Key) == add.Key }) {
			add.Pos = s.container.UsernsMode.Pos
			n.Sysctls = append(n.Sysctls, add)
		}
	}
	sortSysctls(n.Sysctls)
}
