package spec

import "strings"

// vxlanOverhead is what a VXLAN puts around each packet, over IPv4 and over IPv6, in bytes: IP 20 or 40, UDP 8, VXLAN 8 and the inner
// frame's header 14 (RFC 7348, section 5).
const vxlanOverhead4, vxlanOverhead6 = 50, 70

// vxlan reads the port by which a bridge is one with those of other machines. It is an interface of the host's own.
func (r *resolver) vxlan(b *Bridge, s *bridgeState, raw bridge) {
	v := raw.VXLAN
	if v == nil || !v.Set {
		return
	}
	s.ports++
	keys := kindKeys{
		ID: v.ID, Local: v.Local, Remotes: v.Remotes, Group: v.Group, Parent: v.Dev, FDB: v.FDB, Port: v.Port,
		TTL: v.TTL, Learning: v.Learning,
	}
	o := ownInterface{node: Host, pos: v.Pos, name: "vx" + hash(10, r.topo.Name, b.Name), raw: &iface{origin: v.origin, kindKeys: keys, Type: text{Value: "vxlan", origin: v.origin}}}
	i := Interface{
		Pos: v.Pos, Node: Host, Name: o.name, Kind: "vxlan", Up: true, MTU: b.MTU, Bridge: b.Name, Remotes: r.remotes(&keys),
		Params: r.kindParams(o, kindRules["vxlan"]),
	}
	if v.Dev.Set && r.checkInterface(v.Dev.Pos, v.Dev.Value) {
		i.Parent = &InterfaceName{Pos: v.Dev.Pos, Node: Host, Name: v.Dev.Value}
	}
	r.claimHost(v.Pos, i.Name, "the vxlan of bridge "+b.Name)
	r.topo.Interfaces = append(r.topo.Interfaces, i)
}

// vxlanMTU is how large a packet may be on a bridge that states no MTU and goes over an Ethernet.
func vxlanMTU(v *vxlan) int {
	if v == nil || !v.Set {
		return defaultMTU
	}
	for _, t := range append(v.Remotes.all(), v.Local, v.Group) {
		if strings.Contains(t.Value, ":") {
			return defaultMTU - vxlanOverhead6
		}
	}
	return defaultMTU - vxlanOverhead4
}
