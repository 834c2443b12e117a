package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/container"
	"topo/internal/kernel"
	"topo/spec"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show everything of a node",
		UsageText: "topo inspect [-f FILE | -p PROJECT] [--json] NODE",
		ArgsUsage: "NODE",
		Description: `Shows the node as the kernel has it: its namespace, both ends of each link with their
indices (eth0@if12 inside is 12: veth… on the host), MAC addresses, MTUs, the bridge,
addresses, routes, names, its process and health, published ports; of a container also
its limits, and what it uses of them.

Example:
  topo inspect web
  topo inspect web --json | jq -r '.interfaces[] | "\(.name) \(.peer.name)"'`,
		Flags:        append(targetFlags(false), boolFlag("json", "print one JSON document")),
		Action:       inspect,
		BashComplete: completeNodes,
	}
}

// nodeDocument is everything of a node.
type nodeDocument struct {
	Project string `json:"project"`
	nodeView
	Interfaces []interfaceView `json:"interfaces"`
	Routes     []routeView     `json:"routes"`
	Hosts      []string        `json:"hosts"`  // lines of its hosts file
	Resolv     []string        `json:"resolv"` // lines of its resolv.conf; empty: the host's
	Process    *kernel.Process `json:"process,omitempty"`
	HealthLog  string          `json:"health_log,omitempty"`
	// Image is what the image says that the process was started from; which it is, Process says.
	Image *kernel.ImageConfig `json:"image,omitempty"`
	// Usage is what a container that runs uses now.
	Usage *container.Usage `json:"usage,omitempty"`
	// FirstID is who the root of a container with a user namespace of its own is on the host.
	FirstID uint32 `json:"first_id,omitempty"`
	// Added is mounted besides what Process states.
	Added []kernel.Mount `json:"added,omitempty"`
	// Rules are topo's own of the routing policy.
	Rules []ruleView `json:"rules,omitempty"`
}

// interfaceView is one end of a link.
type interfaceView struct {
	Name      string         `json:"name"`
	Index     int            `json:"index"`
	Kind      string         `json:"kind"`
	MAC       string         `json:"mac"`
	MTU       int            `json:"mtu"`
	Up        bool           `json:"up"`
	State     string         `json:"state"` // operational, RFC 2863
	Addresses []netip.Prefix `json:"addresses"`
	Peer      *peerView      `json:"peer,omitempty"`

	Parent     string            `json:"parent,omitempty"`     // what it stands on: NAMESPACE:INTERFACE, on the host host:INTERFACE
	Master     string            `json:"master,omitempty"`     // the bond, VRF or bridge that it is a member of
	Parameters map[string]string `json:"parameters,omitempty"` // of its kind, as in ip-link(8)
	Port       *portView         `json:"port,omitempty"`       // of a switch's own bridge
	// AcceptRA: router advertisements are heard; what the kernel's parameter is.
	AcceptRA  int            `json:"accept_ra,omitempty"`
	WireGuard *wireGuardView `json:"wireguard,omitempty"`
}

// peerView is the other end of a link.
type peerView struct {
	Namespace       string         `json:"namespace"` // "" is the host's own
	Name            string         `json:"name"`
	Index           int            `json:"index"`
	MAC             string         `json:"mac"`
	MTU             int            `json:"mtu"`
	Up              bool           `json:"up"`
	Bridge          string         `json:"bridge,omitempty"` // that it is a port of
	BridgeIndex     int            `json:"bridge_index,omitempty"`
	BridgeAddresses []netip.Prefix `json:"bridge_addresses,omitempty"`
	PortState       string         `json:"port_state,omitempty"` // "forwarding", …
	Port            *portView      `json:"port,omitempty"`
}

// routeView is an entry of a routing table, without those that the kernel keeps for itself.
type routeView struct {
	To        netip.Prefix `json:"to"`
	Via       string       `json:"via,omitempty"`
	Interface string       `json:"interface,omitempty"`
	Metric    int          `json:"metric,omitempty"`
	Table     int          `json:"table"`
	Protocol  int          `json:"protocol"`
	Type      string       `json:"type,omitempty"` // of one that leads nowhere
	Src       string       `json:"src,omitempty"`
	MTU       int          `json:"mtu,omitempty"`
	NextHops  []hopView    `json:"next_hops,omitempty"` // of one that has several
}

type ruleView struct {
	Family   kernel.Family `json:"family"`
	Priority int           `json:"priority"`
	Packets  string        `json:"packets"` // which, in ip-rule(8)'s words
	Table    int           `json:"table,omitempty"`
	Type     string        `json:"type,omitempty"` // of one that refuses
}

type hopView struct {
	Via       string `json:"via,omitempty"`
	Interface string `json:"interface"`
	Weight    int    `json:"weight"`
}

func inspect(c *cli.Context) error {
	names, err := operands(c, 1, 1)
	if err != nil {
		return err
	}
	s, project, err := readRunning(c)
	if err != nil {
		return err
	}
	node, err := oneNode(c, nodesOf(s, project), project, names[0])
	if err != nil {
		return err
	}
	doc := documentOfNode(s, project, node)
	if doc.Usage, err = newEngine().Usage(c.Context, project, doc.Node); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, doc)
	}
	return writeNode(c.App.Writer, doc)
}

func documentOfNode(s kernel.Snapshot, project string, v nodeView) nodeDocument {
	doc := nodeDocument{
		Project: project, nodeView: v,
		Interfaces: []interfaceView{}, Routes: []routeView{},
		Hosts: fileLines(s, v.Namespace, "hosts"), Resolv: fileLines(s, v.Namespace, "resolv.conf"),
	}
	for _, p := range s.Processes {
		if p.Process.Node == v.Node {
			doc.Process, doc.HealthLog, doc.Image, doc.FirstID, doc.Added = &p.Process, p.HealthLog, p.Image, p.FirstID, p.Added
		}
	}
	ns, ok := findNetns(s, v.Namespace)
	if !ok || v.Namespace == "" { // the host's interfaces are not the node's
		return doc
	}
	for _, l := range ns.Links {
		v := interfaceView{
			Name: l.Name, Index: l.Index, Kind: l.Kind, MAC: l.MAC, MTU: l.MTU, Up: l.Up, State: l.Oper,
			Addresses: addressesOn(ns, l.Name), Peer: peerOf(s, l), Parent: parentOf(l), Master: l.Master,
			Parameters: parametersOf(l), Port: portOf(l), WireGuard: wireGuardOf(l),
		}
		if l.Kind != "loopback" { // which hears nobody, whatever its parameter is
			v.AcceptRA = l.AcceptRA
		}
		doc.Interfaces = append(doc.Interfaces, v)
	}
	slices.SortFunc(doc.Interfaces, func(a, b interfaceView) int { return cmp.Compare(a.Index, b.Index) })
	for _, r := range ns.Routes {
		if r.Type != "unicast" && (!slices.Contains(kernel.RejectTypes, r.Type) || r.Protocol == protocolKernel) || r.Dst.Addr().IsLinkLocalUnicast() || r.Dst.Addr().IsMulticast() {
			continue
		}
		doc.Routes = append(doc.Routes, routeOf(r))
	}
	for _, r := range ns.PolicyRules {
		doc.Rules = append(doc.Rules, ruleView{Family: r.Family, Priority: r.Priority, Packets: r.Selector(), Table: r.Table, Type: r.Type})
	}
	return doc
}

func routeOf(r kernel.Route) routeView {
	v := routeView{To: r.Dst, Interface: r.Link, Metric: r.Metric, Table: r.Table, Protocol: r.Protocol, MTU: r.MTU}
	if r.Via.IsValid() {
		v.Via = r.Via.String()
	}
	if r.Type != "unicast" {
		v.Type = r.Type
	}
	if r.Src.IsValid() && r.Protocol != protocolKernel {
		v.Src = r.Src.String()
	}
	for _, w := range r.Ways {
		hop := hopView{Interface: w.Link, Weight: w.Weight}
		if w.Via.IsValid() {
			hop.Via = w.Via.String()
		}
		v.NextHops = append(v.NextHops, hop)
	}
	return v
}

// protocolKernel is that of routes that the kernel makes by itself (RTPROT_KERNEL).
const protocolKernel = 2

// peerOf is the other end of a veth, with the bridge that it is a port of.
func peerOf(s kernel.Snapshot, l kernel.Link) *peerView {
	if l.Peer == (kernel.End{}) {
		return nil
	}
	v := &peerView{Namespace: l.Peer.Netns, Name: l.Peer.Name}
	ns, ok := findNetns(s, l.Peer.Netns)
	if !ok {
		return v
	}
	peer, ok := findLink(ns, l.Peer.Name)
	if !ok {
		return v
	}
	v.Index, v.MAC, v.MTU, v.Up, v.Bridge = peer.Index, peer.MAC, peer.MTU, peer.Up, peer.Master
	if peer.Port != nil {
		v.PortState = peer.Port.State
	}
	v.Port = portOf(peer)
	if bridge, ok := findLink(ns, peer.Master); ok {
		v.BridgeIndex, v.BridgeAddresses = bridge.Index, addressesOn(ns, bridge.Name)
	}
	return v
}

// parentOf is what a link stands on: of another namespace, with that.
func parentOf(l kernel.Link) string {
	switch {
	case l.Parent.Name == "":
		return ""
	case l.Parent.Netns == "":
		return spec.Host + ":" + l.Parent.Name
	}
	return l.Parent.Netns + ":" + l.Parent.Name
}

func parametersOf(l kernel.Link) map[string]string {
	m := map[string]string{}
	for _, p := range l.Params {
		m[p.Name] = p.Value
	}
	return m
}

func findLink(ns kernel.Netns, name string) (kernel.Link, bool) {
	i := slices.IndexFunc(ns.Links, func(l kernel.Link) bool { return l.Name == name })
	if i < 0 {
		return kernel.Link{}, false
	}
	return ns.Links[i], true
}

func addressesOn(ns kernel.Netns, link string) []netip.Prefix {
	list := []netip.Prefix{}
	for _, a := range ns.Addrs {
		if a.Link == link {
			list = append(list, a.Prefix)
		}
	}
	return list
}

// fileLines are the lines of a file that topo keeps for a namespace, without the mark and blank ones.
func fileLines(s kernel.Snapshot, netns, name string) []string {
	lines := []string{}
	for _, f := range s.Files {
		if netns == "" || !strings.HasSuffix(f.Path, "/"+netns+"/"+name) {
			continue
		}
		for line := range strings.Lines(f.Content.String()) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
