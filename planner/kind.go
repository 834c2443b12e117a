package planner

import (
	"topo/internal/kernel"
	"topo/spec"
)

// Kind is one sort of resource. A new one is a file of its own and a line in [kinds].
type Kind struct {
	Name string
	// Desire lists what the topology wants of this kind.
	Desire func(*Want) []Resource
	// Observe lists what the host has of this kind that is the project's.
	Observe func(*Have) []Resource
}

// kinds is in the order in which the plan breaks ties: what others stand on comes first.
var kinds = []Kind{
	imageKind,
	netnsKind,
	sysctlKind,
	fileKind,
	firewallKind,
	chainKind,
	isolationKind,
	guardKind,
	forwardingKind,
	bridgeKind,
	linkKind,
	portKind,
	memberKind,
	remoteKind,
	impairKind,
	addressKind,
	routeKind,
	upKind,
	masqueradeKind,
	hairpinKind,
	publishKind,
	strayKind,
	volumeKind,
	supervisorKind,
	processKind,
}

// Want is what the desired state is derived from. The topology is allocated; nil on the way down.
type Want struct {
	Topology *spec.Topology
	Project  string
	Host     kernel.Snapshot
}

// Have is what the observed state is derived from.
type Have struct {
	Project  string
	Snapshot kernel.Snapshot
	Others   Others

	host     map[string]kernel.Link // links of the host's namespace by name
	nodes    map[string]string      // netns name → node, of the project's own namespaces
	names    map[string]ID          // wanted interface in the host's namespace → its resource
	links    map[string]bool        // wanted "node:interface"
	sysctls  map[kernel.SysctlKey]ID
	wanted   map[ID]bool
	volumes  map[string]ID // name on the machine → resource, of the project's own
	unwanted bool          // volumes that are not wanted are removed
}

// Others is what other projects have on the host, as far as it matters to this one: the tables that hold
// chains of theirs. By these one project knows whether what all share is still needed.
type Others map[table]bool

type table struct {
	family kernel.Family
	name   string
}

func othersOf(s kernel.Snapshot, project string) Others {
	o := Others{}
	for _, c := range s.Chains {
		if owner, ok := chainOwner(c.Name); ok && owner != chainHash(project) {
			o[table{c.Family, c.Table}] = true
		}
	}
	return o
}

// forward reports whether another project may need the host to forward packets of a family: what has a
// bridge with a gateway has rules that isolate it.
func (o Others) forward(f kernel.Family) bool { return o[table{f, "filter"}] }

func newHave(s kernel.Snapshot, project string, want []Resource) *Have {
	h := &Have{
		Project: project, Snapshot: s, Others: othersOf(s, project),
		host: map[string]kernel.Link{}, nodes: map[string]string{}, names: map[string]ID{},
		links: map[string]bool{}, sysctls: map[kernel.SysctlKey]ID{}, wanted: map[ID]bool{},
		volumes: volumeIDs(s, project, want),
	}
	for _, l := range s.Host.Links {
		h.host[l.Name] = l
	}
	for _, n := range s.Netns {
		if n.Mark.Project == project {
			h.nodes[n.Name] = nodeOf(n.Mark)
		}
	}
	for _, r := range want {
		h.wanted[r.ID()] = true
		switch r := r.(type) {
		case bridge:
			h.names[r.spec.Name] = r.ID()
		case veth:
			if r.own.Netns == "" {
				h.names[r.own.Name] = r.ID()
			} else {
				h.links[r.id.Name] = true
			}
		case device:
			if r.own.Netns == "" {
				h.names[r.own.Name] = r.ID()
			} else {
				h.links[r.id.Name] = true
			}
		case sysctl:
			h.sysctls[r.key] = r.ID()
		}
	}
	return h
}

// own reports whether a link of the host's namespace is the project's: by its mark; or, for what a
// crash left between creation and marking, by the project's group and a name that topo gives.
func (h *Have) own(l kernel.Link) bool {
	if m, ok := kernel.ParseMark(l.Alias); ok {
		return m.Project == h.Project
	}
	if l.Group != kernel.Group(h.Project) {
		return false
	}
	if _, wanted := h.names[l.Name]; wanted {
		return true
	}
	if l.Alias != "" {
		return false
	}
	_, inNode := h.nodes[l.Peer.Netns]
	return inNode || givenName(h.Project, l.Name) || l.MAC == deriveMAC(h.Snapshot.HostID, h.Project, "link/"+spec.Host+":"+l.Name)
}

// linkID is the resource that a link of the host's namespace belongs to.
func (h *Have) linkID(l kernel.Link) ID {
	if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == h.Project {
		return parseID(m.ID)
	}
	if id, ok := h.names[l.Name]; ok {
		return id
	}
	if l.Kind == "bridge" {
		return ID{"bridge", l.Name}
	}
	if l.Kind != "veth" {
		return ID{"link", "host:" + l.Name}
	}
	return ID{"port", "host:" + l.Name}
}
