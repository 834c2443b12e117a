package spec

import (
	"maps"
	"net/netip"
	"slices"
)

// resolver makes a [Topology] of what a file says. It goes on after a mistake, with
// whatever makes no others of it.
type resolver struct {
	*problems
	Options
	file  *file
	start Pos // of the file's first value
	// folders are where the relative paths of a file start, by the file's name as positions have it.
	folders map[string]string
	topo    *Topology

	bridges map[string]*bridgeState
	nodes   map[string]*nodeState
	// order is the nodes in the file's order, namespaces before containers; topo.Nodes[i] is order[i]'s.
	order     []*nodeState
	hostNames map[string]claim // interface names in the host's namespace
	published publishedPorts
	// suggestions counts the names that a near one was looked for.
	suggestions int
	volumes     map[string]int // key in the file → index in topo.Volumes
	groups      map[string]*group
	replicas    int              // nodes of entries with a scale
	own         []ownInterface   // of other kinds than veth
	linkOwn     []ownInterface   // those of the file's links
	profiles    []string         // that are active, once that is known
	inactive    map[string]*node // entries none of whose profiles is active
}

// bridgeState is what is known of a bridge while the file is resolved.
type bridgeState struct {
	index int // in topo.Bridges
	// vague: its subnets are not well-formed, and nothing can be said of addresses.
	vague bool
	taken map[netip.Addr]claim
	macs  map[string]claim // stated ones
	fdb   map[FDBEntry]claim
	ports int
}

// nodeState is what is known of a node while the file is resolved.
type nodeState struct {
	index     int // in topo.Nodes
	raw       *node
	container *container // nil for a namespace
	names     map[string]claim
	// vague: what it is attached to is not well-formed, and nothing can be said of its interfaces.
	vague bool
	// linked: it is an end of a link.
	linked bool
	// ends are its ends of links, once they have names.
	ends []Endpoint
	next int    // the least number that eth may still have free
	of   string // the entry with a scale that it is one of; "" = it is an entry itself
}

func (r *resolver) bridge(s *bridgeState) *Bridge { return &r.topo.Bridges[s.index] }
func (r *resolver) node(s *nodeState) *Node       { return &r.topo.Nodes[s.index] }

func (r *resolver) resolve() *Topology {
	r.topo = &Topology{Dir: r.Dir}
	r.bridges = map[string]*bridgeState{}
	r.nodes = map[string]*nodeState{}
	r.hostNames = map[string]claim{}
	r.groups = map[string]*group{}
	r.inactive = map[string]*node{}

	r.project()
	r.prefix()
	r.readBridges()
	r.readVolumes()
	r.readNodes()
	r.networkModes()
	r.placeBridges()
	r.readLinks()
	r.joinDefault()
	r.attach()
	r.claimInterfaces()
	r.nameInterfaces()
	r.readInterfaces()
	r.defaultRoutes()
	r.checkPortCounts()
	for _, s := range r.order {
		n := r.node(s)
		r.readPorts(s, n)
		r.readRoutes(s, n)
		r.readPolicyRules(s, n)
		n.Sysctls = r.sysctls(s)
		r.addForwarding(s, n)
		r.addUsernsSysctls(s, n)
		r.readNames(s, n)
		n.Process = r.process(s, n)
		n.Labels = r.labels(s.raw.Labels)
	}
	r.volumesFrom()
	r.usernsMounts()
	r.runtimes()
	r.publish()
	r.dependencies()
	return r.topo
}

// readNodes makes the nodes, still without what is in them.
func (r *resolver) readNodes() {
	for i := range r.file.Namespaces {
		e := &r.file.Namespaces[i]
		r.addNodes(e.Pos, e.Key, &e.Value.node, nil)
	}
	for i := range r.file.Containers {
		e := &r.file.Containers[i]
		r.addNodes(e.Pos, e.Key, &e.Value.node, &e.Value)
	}
	r.checkSelection()
}

func (r *resolver) addNode(pos Pos, name string, s *nodeState) {
	r.checkName(pos, "node", name)
	netns := r.topo.Prefix + name
	if len(netns) > maxFile {
		r.add(pos, "the prefix makes the name of %s longer than %d bytes", name, maxFile)
	}
	s.index = len(r.topo.Nodes)
	s.names = map[string]claim{}
	r.topo.Nodes = append(r.topo.Nodes, Node{
		Pos: pos, Name: name, Container: s.container != nil, Netns: netns, Hostname: name, Of: s.of,
	})
	r.order = append(r.order, s)
	if first, twice := r.nodes[name]; twice {
		as := "as a namespace"
		if first.of != "" {
			as = "as one of " + first.of
		}
		r.add(pos, "node %q is there twice, %s in %s", name, as, line(r.node(first).Pos))
		return
	}
	r.nodes[name] = s
}

// nodeNames are the names that mean a node, or some.
func (r *resolver) nodeNames() []string {
	return slices.Sorted(maps.Keys(r.nodes))
}

func (r *resolver) bridgeNames() []string { return slices.Sorted(maps.Keys(r.bridges)) }

// maxSuggestions bounds the search for near names: where each of thousands of names is wrong, it would take minutes.
const maxSuggestions = 100

func (r *resolver) near(name string, known func() []string) string {
	r.suggestions++
	if r.suggestions > maxSuggestions {
		return ""
	}
	return suggest(name, known())
}

// findBridge looks a bridge up by its name; nil, and noted, when there is none.
func (r *resolver) findBridge(pos Pos, name string) *bridgeState {
	s := r.bridges[name]
	if s == nil {
		r.add(pos, "there is no bridge %q%s", name, r.near(name, r.bridgeNames))
	}
	return s
}

// findNode looks one node up by its name; nil, and noted, when there is none.
func (r *resolver) findNode(pos Pos, name string) *nodeState {
	if g := r.groups[name]; g != nil {
		r.add(pos, "%s", g.ambiguous(name))
		return nil
	}
	if found, ok := r.findNodes(pos, name); ok {
		return found[0]
	}
	return nil
}

// findNodes looks up the node of a name, or all that an entry with a scale stands for; not ok, and noted, when
// there is no such entry.
func (r *resolver) findNodes(pos Pos, name string) (found []*nodeState, ok bool) {
	if g := r.groups[name]; g != nil {
		return g.nodes, true
	}
	if s := r.nodes[name]; s != nil {
		return []*nodeState{s}, true
	}
	if raw := r.inactive[name]; raw != nil {
		r.add(pos, "%s", whyInactive(name, raw))
		return nil, false
	}
	r.add(pos, "there is no node %q%s", name, r.near(name, r.nodeNames))
	return nil, false
}

// or is a stated truth value, or a default.
func (v flag) or(otherwise bool) bool {
	if v.Set {
		return v.Value
	}
	return otherwise
}

// or is a stated number, or a default.
func (v number) or(otherwise int) int {
	if v.Set {
		return v.Value
	}
	return otherwise
}
