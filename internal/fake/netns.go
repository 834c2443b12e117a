package fake

import (
	"maps"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// space is a network namespace.
type space struct {
	name    string
	links   []*link // lo first, then in the order in which they were made
	routes  []*route
	sysctls map[string]string // by path below /proc/sys; those that are not at their default
	rules   []kernel.PolicyRule
}

func (m *Machine) newSpace(name string) *space {
	s := &space{name: name, sysctls: map[string]string{}}
	m.insert(&link{space: s, name: "lo", kind: "loopback", mac: "00:00:00:00:00:00", mtu: 65536})
	return s
}

// spaces is all namespaces that a reading can see, the host's first, then by name.
func (m *Machine) spaces() []*space {
	all := []*space{m.host}
	for _, name := range slices.Sorted(maps.Keys(m.named)) {
		all = append(all, m.named[name])
	}
	return all
}

// find is the namespace of a name; ENOENT as for a missing /run/netns/NAME.
func (m *Machine) find(netns string) (*space, error) {
	if netns == "" {
		return m.host, nil
	}
	s := m.named[netns]
	if s == nil {
		return nil, syscall.ENOENT
	}
	return s, nil
}

func (m *Machine) addNetns(o kernel.NetnsAdd) error {
	if !validFile(o.Name) {
		return syscall.EINVAL
	}
	if m.named[o.Name] != nil {
		return syscall.EEXIST
	}
	delete(m.leftovers, o.Name) // the namespace is mounted on it
	s := m.newSpace(o.Name)
	s.put(confPath(kernel.IPv6, "default", "accept_ra"), "0")
	m.named[o.Name] = s
	up := true
	return m.setLink(kernel.LinkSet{Netns: o.Name, Name: "lo", Up: &up, Group: &o.Group, Alias: &o.Alias})
}

// deleteNetns takes the name away. What is inside goes later: see settle.
func (m *Machine) deleteNetns(o kernel.NetnsDelete) error {
	if m.leftovers[o.Name] {
		delete(m.leftovers, o.Name)
		return nil
	}
	s := m.named[o.Name]
	if s == nil {
		return errAbsent
	}
	delete(m.named, o.Name)
	m.dying = append(m.dying, s)
	return nil
}

func validFile(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !slices.Contains([]byte(name), '/')
}
