package fake

import (
	"cmp"
	"maps"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// fdb is the static entries that lead to a port.
type fdb map[kernel.FDBEntry]bool

func (f fdb) facts() []kernel.FDBEntry {
	return slices.SortedFunc(maps.Keys(f), func(a, b kernel.FDBEntry) int { return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN)) })
}

// fdbEntries are those that an edit is about: without a VLAN, that of each VLAN of the port, too.
func (m *Machine) fdbEntries(netns, name string, e kernel.FDBEntry) (*link, []kernel.FDBEntry, error) {
	l, err := m.link(netns, name)
	if err != nil {
		return nil, nil, err
	}
	_, member := l.vlans[e.VLAN]
	switch {
	case l.port == nil:
		return nil, nil, syscall.EOPNOTSUPP
	case e.VLAN != 0 && !member || !validMAC(e.MAC):
		return nil, nil, syscall.EINVAL
	}
	entries := []kernel.FDBEntry{e}
	if e.VLAN == 0 {
		for id := range l.vlans {
			entries = append(entries, kernel.FDBEntry{MAC: e.MAC, VLAN: id})
		}
	}
	return l, entries, nil
}

func (m *Machine) replaceFDB(o kernel.FDBReplace) error {
	l, entries, err := m.fdbEntries(o.Netns, o.Link, o.FDBEntry)
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, other := range l.space.links {
			if other.master == l.master {
				delete(other.fdb, e)
			}
		}
		l.fdb[e] = true
	}
	return nil
}

func (m *Machine) deleteFDB(o kernel.FDBDelete) error {
	l, entries, err := m.fdbEntries(o.Netns, o.Link, o.FDBEntry)
	if err != nil {
		if l, missing := m.link(o.Netns, o.Link); l == nil && missing != nil {
			return errAbsent
		}
		return err
	}
	absent := true
	for _, e := range entries {
		absent = absent && !l.fdb[e]
		delete(l.fdb, e)
	}
	if absent {
		return errAbsent
	}
	return nil
}
