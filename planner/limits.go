package planner

import (
	"fmt"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// limits checks what the whole machine can hold.
func limits(o Options) error {
	if o.Topology == nil {
		return nil
	}
	var errs spec.Errors
	ports := portsOf(o.Topology, o.Snapshot)
	for _, b := range o.Topology.Bridges {
		if n := ports[b.Name]; b.External && n > maxPorts { // of the others the file says it all
			errs = append(errs, &spec.Error{Pos: b.Pos, Msg: fmt.Sprintf("bridge %s has %d ports, and Linux numbers a bridge's ports in ten bits: it takes %d", b.Name, n, maxPorts)})
		}
	}
	errs = append(errs, vxlansFit(o)...)
	errs = append(errs, vxlansAtHome(o)...)
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// portsOf counts the ports of bridges that are external, by the file and by what others have plugged in.
func portsOf(t *spec.Topology, s kernel.Snapshot) map[string]int {
	ports := map[string]int{}
	own := map[string]bool{} // by interface
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			ports[a.Bridge]++
			own[a.HostInterface] = true
		}
	}
	for _, l := range t.Links {
		for _, e := range l.Ends {
			if e.Bridge {
				ports[e.Node]++
				own[e.Interface] = true
			}
		}
	}
	for _, i := range t.Interfaces {
		if i.Bridge != "" { // its VXLAN
			ports[i.Bridge]++
			own[i.Name] = true
		}
	}
	for _, b := range t.Bridges {
		for _, l := range s.Host.Links {
			if !b.External || l.Master != b.Interface || own[l.Name] {
				continue
			}
			if m, _ := kernel.ParseMark(l.Alias); m.Project != t.Name {
				ports[b.Name]++
			}
		}
	}
	return ports
}

// vxlansFit: a bridge's packets, with what its VXLAN puts around them, fit the interface that it goes by.
func vxlansFit(o Options) (errs spec.Errors) {
	for _, i := range o.Topology.Interfaces {
		if i.Bridge == "" || i.Parent == nil {
			continue
		}
		for _, l := range o.Snapshot.Host.Links {
			if most := l.MTU - overheadOf(i); l.Name == i.Parent.Name && i.MTU > most {
				errs = append(errs, &spec.Error{Pos: i.Parent.Pos, Msg: fmt.Sprintf(
					"bridge %s has mtu %d, and its vxlan by %s (mtu %d) takes no more than %d: write mtu: %d", i.Bridge, i.MTU, l.Name, l.MTU, most, most)})
			}
		}
	}
	return errs
}

// vxlansAtHome: one over IPv6 needs an address to send from, or the kernel takes it for one over IPv4, and its remotes not at all. The file
// may name all machines: then one of them is this one's. A plan without a machine is let pass.
func vxlansAtHome(o Options) (errs spec.Errors) {
	if len(o.Snapshot.Host.Addrs) == 0 {
		return nil
	}
	for _, i := range interfacesHere(&Want{Topology: o.Topology, Host: o.Snapshot}) {
		local := slices.ContainsFunc(i.Params, func(p spec.InterfaceParam) bool { return p.Name == "local" })
		if i.Bridge != "" && !local && len(i.Remotes) > 0 && i.Remotes[0].Addr.Is6() {
			errs = append(errs, &spec.Error{Pos: i.Remotes[0].Pos, Msg: fmt.Sprintf(
				"none of the remotes of bridge %s is an address of this machine, and over IPv6 its vxlan needs one to send from: state it with local:", i.Bridge)})
		}
	}
	return errs
}

// maxPorts is how many ports a bridge takes (BR_PORT_BITS 10; port 0 is none).
const maxPorts = 1023

// warnings says what the machine may not bear.
func warnings(o Options) []string {
	if o.Topology == nil {
		return nil
	}
	return append(uplinkWarnings(o.Topology), neighbourWarnings(o)...)
}

// neighbourWarnings: all namespaces share one neighbour table: a node and its gateway know each
// other, which takes two entries a node and family; beyond its size new neighbours are refused, and packets lost.
func neighbourWarnings(o Options) []string {
	if o.Snapshot.Neighbours == 0 {
		return nil
	}
	entries := 0
	for _, n := range o.Topology.Nodes {
		for _, a := range n.Attachments {
			entries += 2 * len(a.Addresses)
		}
	}
	if entries <= o.Snapshot.Neighbours {
		return nil
	}
	return []string{fmt.Sprintf("the nodes and their gateways take %d entries of the neighbour table, which has %d (net.ipv4.neigh.default.gc_thresh3)",
		entries, o.Snapshot.Neighbours)}
}
