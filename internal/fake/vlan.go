package fake

import (
	"errors"
	"maps"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// vlans is what a bridge's port, or a bridge itself, belongs to: VLAN → how. Nil for what is neither.
type vlans map[int]membership

type membership struct{ pvid, untagged bool }

// defaultVLANs are those of a new port of a bridge.
func defaultVLANs() vlans { return vlans{defaultPVID: {pvid: true, untagged: true}} }

const defaultPVID = 1 // br_vlan_init

func (v vlans) facts() []kernel.VLAN {
	var out []kernel.VLAN
	for _, id := range slices.Sorted(maps.Keys(v)) {
		out = append(out, kernel.VLAN{First: id, Last: id, PVID: v[id].pvid, Untagged: v[id].untagged})
	}
	return kernel.MergeVLANs(out)
}

// vlanMember finds what is to belong to VLANs.
func (m *Machine) vlanMember(netns, name string, self bool) (*link, error) {
	l, err := m.link(netns, name)
	switch {
	case err != nil:
		return nil, err
	case self && l.bridge == nil, !self && l.port == nil:
		return nil, syscall.EOPNOTSUPP
	}
	return l, nil
}

func (m *Machine) addVLAN(o kernel.VLANAdd) error {
	l, err := m.vlanMember(o.Netns, o.Link, o.Self)
	switch {
	case err != nil:
		return err
	case o.First < 1 || o.Last > kernel.MaxVLAN || o.First > o.Last, o.PVID && o.First != o.Last:
		return syscall.EINVAL
	}
	for id := o.First; id <= o.Last; id++ {
		if o.PVID {
			for other, how := range l.vlans {
				how.pvid = false
				l.vlans[other] = how
			}
		}
		l.vlans[id] = membership{o.PVID, o.Untagged}
	}
	return nil
}

func (m *Machine) deleteVLAN(o kernel.VLANDelete) error {
	l, err := m.vlanMember(o.Netns, o.Link, o.Self)
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENOENT) {
		return errAbsent
	}
	if err != nil {
		return err
	}
	absent := false
	for id := o.First; id <= o.Last; id++ {
		_, there := l.vlans[id]
		absent = absent || !there
		delete(l.vlans, id)
	}
	if absent {
		return errAbsent
	}
	return nil
}
