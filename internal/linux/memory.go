package linux

import (
	"sync"

	"topo/internal/kernel"
)

// memory is what a Host has read of namespaces and files, and what it has changed since: kernel.Query.Again.
type memory struct {
	mu      sync.Mutex
	project string // whose namespaces were read whole
	vlans   bool
	spaces  map[string]*space // by name; "" is the host's own
	files   map[string]seenFile
	changed map[string]bool // namespaces that a change was sent to since, and files that were written
}

// change notes that something is about to be changed in a namespace, or in a file.
func (m *memory) change(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.changed == nil {
		m.changed = map[string]bool{}
	}
	m.changed[what] = true
}

// recall gives what is remembered for a query, which is nothing unless that asks for it, and forgets it: a reading remembers anew. A
// reading that fails is not remembered.
func (m *memory) recall(q kernel.Query) *recollection {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &recollection{memory: m, query: q, pieces: newPieces()}
	if q.Again && m.project == q.Project && m.vlans == q.VLANs {
		r.spaces, r.files, r.changed = m.spaces, m.files, m.changed
	}
	m.spaces, m.files, m.changed = nil, nil, nil
	return r
}

// recollection is what a reading begins with.
type recollection struct {
	memory  *memory
	query   kernel.Query
	spaces  map[string]*space
	files   map[string]seenFile
	changed map[string]bool
	pieces  pieces
	buffer  []byte // for a file
}

// remember keeps the namespaces that were read; the host's own is the first.
func (r *recollection) remember(spaces []space) {
	m := r.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.project, m.vlans, m.spaces = r.query.Project, r.query.VLANs, make(map[string]*space, len(spaces))
	for i := range spaces {
		if s := &spaces[i]; !s.gone && !s.Unfinished {
			m.spaces[s.Name] = s
		}
	}
}

func (r *recollection) rememberFiles(files map[string]seenFile) {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	r.memory.files = files
}

// asItWas gives a namespace as it was read, where no change was sent to it since, and it is the same one: nil otherwise.
func (r *recollection) asItWas(name string) *space {
	s := r.spaces[name]
	if name == "" || s == nil || r.changed[name] {
		return nil
	}
	if id, err := identify(name); err != nil || id != s.id {
		return nil
	}
	return s
}

// end is what an end of a link shows of the other one.
type end struct {
	index, mtu, peerIndex, peerNetns, master int
	kind, mac, oper                          string
	up, carrier, peerOutside                 bool
}

func (l *link) end() end {
	return end{
		index: l.Index, mtu: l.MTU, peerIndex: l.peerIndex, peerNetns: l.peerNetns, master: l.master,
		kind: l.Kind, mac: l.MAC, oper: l.Oper, up: l.Up, carrier: l.carrier, peerOutside: l.peerOutside,
	}
}

// stale are those of the namespaces that have to be looked at again, by how the host's own is now: a change was sent to them, or to where
// their links end.
func (m *memory) stale(q kernel.Query, names []string, host *space) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !q.Again || m.project != q.Project || m.spaces == nil {
		return names
	}
	ends := map[kernel.End]bool{}
	m.spaces[""].changedEnds(host, ends)
	for name := range m.changed {
		if s := m.spaces[name]; s != nil && name != "" {
			s.changedEnds(nil, ends)
		}
	}
	var stale []string
	for _, name := range names {
		if s := m.spaces[name]; s == nil || m.changed[name] || s.reaches(ends) {
			stale = append(stale, name)
		}
	}
	return stale
}
