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
	keyKind,
	netnsKind,
	sysctlKind,
	fileKind,
	firewallKind,
	chainKind,
	isolationKind,
	guardKind,
	fenceKind,
	forwardingKind,
	bridgeKind,
	linkKind,
	portKind,
	vlanKind,
	fdbKind,
	memberKind,
	remoteKind,
	wireGuardKind,
	impairKind,
	advertisementKind,
	addressKind,
	routeKind,
	policyRuleKind,
	peerKind, // behind routes: what it sends at once finds a way, then
	upKind,
	uplinkKind,
	masqueradeKind,
	hairpinKind,
	publishKind,
	strayKind,
	orphanKind,
	volumeKind,
	supervisorKind,
	processKind,
}

// Want is what the desired state is derived from. The topology is allocated; nil on the way down.
type Want struct {
	Topology *spec.Topology
	Project  string
	Host     kernel.Snapshot

	desired map[string][]Resource // by kind
	links   []Resource
	byNode  map[string]*inside
}

// of lists what is wanted of a kind. Kinds that are derived from others share what these made.
func (w *Want) of(k Kind) []Resource {
	if w.desired == nil {
		w.desired = map[string][]Resource{}
	}
	rs, made := w.desired[k.Name]
	if !made {
		rs = k.Desire(w)
		w.desired[k.Name] = rs
	}
	return rs
}

// linksOf lists the links that are wanted of a kind of resource, "link" or "port".
func (w *Want) linksOf(kind string) []Resource {
	if w.links == nil {
		w.links = desireLinks(w)
	}
	var out []Resource
	for _, r := range w.links {
		if r.ID().Kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// Have is what the observed state is derived from.
type Have struct {
	Project  string
	Snapshot kernel.Snapshot
	Others   Others

	host     map[string]*kernel.Link            // links of the host's namespace by name
	nodes    map[string]string                  // netns name → node, of the project's own namespaces
	comes    map[string]string                  // the same of those that are wanted
	names    map[string]ID                      // wanted interface in the host's namespace → its resource
	links    map[string]bool                    // wanted "node:interface"
	bridges  map[place]bridge                   // wanted
	ports    map[ID]string                      // wanted ports → the interface of their bridge
	inside   map[place]ID                       // wanted bridges and ports in nodes
	spaces   map[string]map[string]*kernel.Link // links by namespace, "" = the host's, and name
	sysctls  map[kernel.SysctlKey]ID
	want     map[ID]Resource
	volumes  map[string]ID     // name on the machine → resource, of the project's own
	lent     map[string]string // card → node that it is wanted in
	unwanted bool              // volumes that are not wanted are removed
	ours     []iface           // see interfaces
	fenced   []ruleset         // see fences
	known    []string          // projects that are on the machine, for the plan of what none needs
}

// Others is what other projects have on the host, as far as it matters to this one: the tables that hold
// chains of theirs. By these one project knows whether what all share is still needed.
type Others map[table]bool

type table struct {
	family kernel.Family
	name   string
}

func (h *Have) othersOf(o Options) Others {
	others := Others{}
	for _, f := range families {
		for _, name := range tableNames {
			others[table{f, name}] = o.KeepShared
		}
	}
	for _, c := range h.Snapshot.Chains {
		if owner, ok := chainOwner(c.Name); ok && owner != chainHash(o.Project) && !owns(owner, o.Gone) && !h.orphaned(c) {
			others[table{c.Family, c.Table}] = true
		}
	}
	return others
}

// forward reports whether another project may need the host to forward packets of a family: what has a
// bridge with a gateway has rules that isolate it.
func (o Others) forward(f kernel.Family) bool { return o[table{f, "filter"}] }

func newHave(o Options, want []Resource) *Have {
	s, project := o.Snapshot, o.Project
	h := &Have{
		Project: project, Snapshot: s, known: o.Known, unwanted: o.Volumes,
		nodes: map[string]string{}, comes: map[string]string{}, names: map[string]ID{},
		links: map[string]bool{}, lent: map[string]string{}, sysctls: map[kernel.SysctlKey]ID{}, want: byID(want),
		bridges: map[place]bridge{}, ports: map[ID]string{}, inside: map[place]ID{}, spaces: map[string]map[string]*kernel.Link{},
		volumes: volumeIDs(s, project, want),
	}
	h.Others = h.othersOf(o)
	h.host = linksByName(s.Host.Links)
	h.spaces[""] = h.host
	for _, n := range s.Netns {
		if n.Mark.Project == project {
			h.nodes[n.Name] = nodeOf(n.Mark)
			h.spaces[n.Name] = linksByName(n.Links)
		}
	}
	for _, r := range want {
		switch r := r.(type) {
		case netns:
			h.comes[r.name] = r.node
		case bridge:
			at := place{r.spec.Netns, r.spec.Name}
			h.bridges[at] = r
			if r.spec.Netns == "" {
				h.names[r.spec.Name] = r.ID()
			} else {
				h.inside[at] = r.ID()
			}
		case veth:
			if r.own.Master != "" {
				h.ports[r.id] = r.own.Master
			}
			switch {
			case r.own.Netns == "":
				h.names[r.own.Name] = r.ID()
			case r.id.Kind == "port":
				h.inside[place{r.own.Netns, r.own.Name}] = r.ID()
			default:
				h.links[r.id.Name] = true
			}
		case device:
			if r.own.Netns == "" {
				h.names[r.own.Name] = r.ID()
			} else {
				h.links[r.id.Name] = true
			}
		case card:
			h.links[r.id.Name] = true
			h.lent[r.card] = r.netns.Name
		case sysctl:
			h.sysctls[r.key] = r.ID()
		}
	}
	return h
}

func linksByName(links []kernel.Link) map[string]*kernel.Link {
	m := make(map[string]*kernel.Link, len(links))
	for i := range links {
		m[links[i].Name] = &links[i]
	}
	return m
}

// link is one of a namespace, "" = the host's, or the zero Link.
func (h *Have) link(netns, name string) *kernel.Link {
	if l := h.spaces[netns][name]; l != nil {
		return l
	}
	return &kernel.Link{}
}

// place is an interface by its namespace, "" = the host's, and its name.
type place struct{ netns, name string }

// own reports whether a link of the host's namespace is the project's: by its mark; or, for what a
// crash left between creation and marking, by the project's group and a name that topo gives.
func (h *Have) own(l *kernel.Link) bool {
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
func (h *Have) linkID(l *kernel.Link) ID {
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

// An interface is one of the project's on the machine.
type iface struct {
	*kernel.Link
	id    ID
	netns string
	node  string // whose namespace it is in, or "host"
}

// interfaces lists the project's bridges, ports and links. Inside its own namespaces all that bears a wanted name is topo's to
// repair; what a program of the node made for itself (another group, another name) is not.
// They are found once: no kind may change the list.
func (h *Have) interfaces() []iface {
	if h.ours == nil {
		h.ours = h.findInterfaces()
	}
	return h.ours
}

func (h *Have) findInterfaces() []iface {
	var out []iface
	for i := range h.Snapshot.Host.Links {
		if l := &h.Snapshot.Host.Links[i]; h.own(l) {
			out = append(out, iface{l, h.linkID(l), "", spec.Host})
		}
	}
	for _, n := range h.Snapshot.Netns {
		node, ok := h.nodes[n.Name]
		if !ok {
			continue
		}
		for i := range n.Links {
			if l := &n.Links[i]; h.ownInside(n.Name, l) {
				out = append(out, iface{l, h.insideID(n.Name, l), n.Name, node})
			}
		}
	}
	return out
}

// ownInside reports whether a link in a namespace of the project's is topo's.
func (h *Have) ownInside(netns string, l *kernel.Link) bool {
	_, wanted := h.inside[place{netns, l.Name}]
	return l.Name != "lo" && (l.Group == kernel.Group(h.Project) || wanted || h.links[h.nodes[netns]+":"+l.Name])
}

// insideID is the resource that a link in a namespace of the project's belongs to. Bridges and ports bear marks there, too.
func (h *Have) insideID(netns string, l *kernel.Link) ID {
	if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == h.Project {
		if id := parseID(m.ID); id.Kind == "bridge" || id.Kind == "port" {
			return id
		}
	}
	name := h.nodes[netns] + ":" + l.Name
	if id, ok := h.inside[place{netns, l.Name}]; ok {
		return id
	}
	if l.Kind == "bridge" && !h.links[name] {
		return ID{"bridge", l.Name}
	}
	return ID{"link", name}
}

// bridgeAt is the project's bridge of a name in a namespace; where there is none, the zero Link.
func (h *Have) bridgeAt(netns, name string) (l *kernel.Link, id ID, ok bool) {
	l = h.link(netns, name)
	switch {
	case l.Name == "":
		return l, ID{}, false
	case netns == "":
		return l, h.linkID(l), h.own(l)
	default:
		return l, h.insideID(netns, l), h.ownInside(netns, l)
	}
}
