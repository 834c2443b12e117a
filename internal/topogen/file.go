package topogen

import (
	"maps"
	"slices"
)

// File is a topology file. All numbers in it are small and stand for something: a Subnet of 3
// is 10.20.3.0/24, a Host of 5 the fifth host address there.
type File struct {
	Name    string
	Bridges []Bridge
	Nodes   []Node
	Links   []Link
}

// Bridge is an entry of bridges.
type Bridge struct {
	Name         string
	Subnet       int  // different for every bridge
	V4, V6       bool // neither: subnet: none
	Allocated    bool // no subnet stated
	NoGateway    bool
	Internal     bool
	NoICC        bool
	NoNames      bool
	NoMasquerade bool
	STP          bool
	MTU          int // 0: not stated
	MAC          int // 0: not stated
	Filtering    bool
	VLAN         string // of the bridge itself; "": not stated
	Keys         string // of the spanning tree, and the like
	Node         string // that it is in; "": the host
	Uplink       string
}

// Node is an entry of namespaces or containers.
type Node struct {
	Name      string
	Host      int // different for every node: the host part of its addresses
	Container bool
	Attached  []Attachment
	Ports     []Port
	Routes    []Route
	Sysctls   map[string]string
	Forwards  bool
	Rules     []string // their keys but the priority
	Extra     string   // a name in extra_hosts
	Command   bool
	Env       string // value of GREETING
	Health    bool
	DependsOn []string
	Restart   string // ""; a policy
	// Of containers only.
	Volumes  []Volume
	Memory   int // MiB; 0: no limit
	ReadOnly bool

	Own  []Own
	Turn int // which of them has which number, of what is numbered
}

// Volume is an entry of volumes of a container. Its number, different for every one of a node, gives the target.
type Volume struct {
	Number   int
	Name     string // of the top level; "": the node's own, or, with Tmpfs, in memory
	Tmpfs    bool
	ReadOnly bool
}

// Attachment joins a node to a bridge.
type Attachment struct {
	Bridge    string
	Stated    bool // the address is
	MTU       int  // 0: not stated
	MAC       int  // 0: not stated
	Alias     string
	Interface string
	Impair    string // its keys; "": not stated
	VLAN      string // "": not stated
	Port      string // keys of the bridge's port; "": not stated
	AcceptRA  bool
}

// Port is a published port.
type Port struct {
	Host, Node int
	Protocol   string
	Loopback   bool
}

// Route is an extra route by the gateway of a bridge that the node is on.
type Route struct {
	Net    int // different for every route of a node: 10.99.NET.0/24
	Bridge string
	V6     bool
	Metric int
	Table  int // 0: main
	// Form is what else it is; "": no more than a gateway.
	Form RouteForm
}

// RouteForm is a form of a route.
type RouteForm string

// Routes besides those by one gateway.
const (
	Nowhere  RouteForm = "nowhere"  // type: blackhole
	Refused  RouteForm = "refused"  // type: prohibit
	TwoWays  RouteForm = "two ways" // the gateway, and another
	Weighted RouteForm = "weighted" // three to one
	Narrow   RouteForm = "narrow"   // mtu: 1300
	Sourced  RouteForm = "sourced"  // src: the node's address there, where it is stated
	OnLink   RouteForm = "on link"  // a gateway outside the subnet
)

// Link is a point-to-point link. Its number, different for every link, gives names and addresses.
type Link struct {
	Number int
	Ends   [2]End
	MTU    int
}

// End is one end of a link.
type End struct {
	Node   string // "host", or a node
	Bridge bool   // Node is a bridge
	V4, V6 bool
	Down   bool
	MAC    int // 0: not stated
	Impair string
	VLAN   string // of a port; "": not stated
	Port   string // keys of a bridge's port; "": not stated
}

// Clone copies a file, so that the copy can be changed.
func (f *File) Clone() *File {
	c := *f
	c.Bridges = slices.Clone(f.Bridges)
	c.Links = slices.Clone(f.Links)
	c.Nodes = slices.Clone(f.Nodes)
	for i := range c.Nodes {
		n := &c.Nodes[i]
		n.Attached = slices.Clone(n.Attached)
		n.Ports = slices.Clone(n.Ports)
		n.Routes = slices.Clone(n.Routes)
		n.DependsOn = slices.Clone(n.DependsOn)
		n.Volumes = slices.Clone(n.Volumes)
		n.Rules = slices.Clone(n.Rules)
		n.Own = slices.Clone(n.Own)
		for j := range n.Own {
			n.Own[j].Others = slices.Clone(n.Own[j].Others)
		}
		n.Sysctls = maps.Clone(n.Sysctls)
	}
	return &c
}
