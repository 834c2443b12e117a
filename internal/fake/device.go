package fake

import (
	"cmp"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// device is what a link of another kind than veth and bridge has besides.
type device struct {
	parent  *link
	birth   *space // where it was made: its parent's
	params  []kernel.Param
	remotes []kernel.VXLANRemote

	wireGuard *kernel.WireGuard
	secrets   map[string]kernel.Secret // the keys of a wireguard: by peer, "" its own
}

// ethernet: kinds whose links have a MAC address that can be chosen.
func ethernet(kind string) bool {
	return !slices.Contains([]string{"gre", "ipip", "wireguard"}, kind)
}

func (m *Machine) addLink(o kernel.LinkAdd) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return err
	}
	var parent *link
	if o.Parent.Name != "" {
		if parent, err = m.link(o.Parent.Netns, o.Parent.Name); err != nil {
			return err
		}
	}
	if err := m.checkNew(s, o.Name, o.MAC, o.MTU); err != nil {
		return err
	}
	mtu := cmp.Or(o.MTU, 1500)
	if parent != nil && slices.Contains([]string{"vlan", "macvlan", "macvtap", "ipvlan"}, o.Kind) {
		if o.MTU > parent.mtu {
			return syscall.EINVAL
		}
		mtu = cmp.Or(o.MTU, parent.mtu)
	}
	l := &link{
		space: s, name: o.Name, kind: o.Kind, mac: o.MAC, mtu: mtu, group: o.Group, alias: o.Alias,
		device: device{parent: parent, birth: s, params: kernel.Params(o.Kind, o.Params...)},
	}
	if parent != nil {
		l.birth = parent.space
	}
	if err := m.checkTwin(l); err != nil {
		return err
	}
	var master *link
	if o.Master != "" {
		if master = s.link(o.Master); master == nil {
			return syscall.ENODEV
		}
		if err := checkMaster(l, master); err != nil {
			return err
		}
	}
	if o.Kind == "wireguard" {
		l.wireGuard = new(kernel.WireGuard)
	}
	m.insert(l)
	if !ethernet(o.Kind) {
		l.mac = ""
	}
	if parent != nil && o.MAC == "" && slices.Contains([]string{"vlan", "ipvlan"}, o.Kind) {
		l.mac = parent.mac
	}
	if master != nil {
		m.attach(l, master)
	}
	if o.Up {
		m.setUp(l)
	}
	return nil
}

// unique are the parameters of which a namespace can have one link alone (of a vlan, a parent), and what the kernel says of a second.
var unique = map[string]struct {
	params []string
	refuse syscall.Errno
}{
	"vlan":   {[]string{"protocol", "id"}, syscall.EEXIST},
	"vxlan":  {[]string{"id", "port"}, syscall.EEXIST},
	"geneve": {[]string{"id", "remote", "port"}, syscall.EBUSY},
	"gre":    {[]string{"local", "remote", "key"}, syscall.EEXIST},
	"ipip":   {[]string{"local", "remote"}, syscall.EEXIST},
}

// checkTwin refuses a link where there is one that does the same.
func (m *Machine) checkTwin(l *link) error {
	once, ok := unique[l.kind]
	if !ok {
		return nil
	}
	for _, s := range m.spaces() {
		for _, x := range s.links {
			if x.kind == l.kind && x.birth == l.birth && (l.kind != "vlan" || x.parent == l.parent) &&
				!slices.ContainsFunc(once.params, func(name string) bool { return kernel.ParamOf(x.params, name) != kernel.ParamOf(l.params, name) }) {
				return once.refuse
			}
		}
	}
	return nil
}

func (m *Machine) setParams(o kernel.LinkParams) error {
	l, err := m.link(o.Netns, o.Name)
	if err != nil {
		return err
	}
	if l.kind != o.Kind {
		return syscall.EOPNOTSUPP
	}
	var next []kernel.Param
	for _, name := range paramNames(l.params, o.Params) {
		value := kernel.ParamOf(l.params, name)
		if l.kind == "gre" || l.kind == "ipip" {
			value = ""
		}
		if slices.ContainsFunc(o.Params, func(p kernel.Param) bool { return p.Name == name }) {
			value = kernel.ParamOf(o.Params, name)
		}
		next = append(next, kernel.Param{Name: name, Value: value})
	}
	l.params = kernel.Params(l.kind, next...)
	return nil
}

func paramNames(lists ...[]kernel.Param) []string {
	var names []string
	for _, p := range slices.Concat(lists...) {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// enslave: a bond wants a link that is down, and gives it its MAC address; a VRF sets it down and up itself.
func (m *Machine) enslave(o kernel.Enslave) error {
	l, err := m.link(o.Netns, o.Name)
	if err != nil {
		return err
	}
	master := l.space.link(o.Master)
	switch {
	case o.Master == "" && l.master == nil:
		return nil
	case o.Master == "":
	case master == nil:
		return syscall.ENODEV
	case master.kind != "vrf" && master.kind != "bond":
		return syscall.EOPNOTSUPP
	case l.master == master:
		return nil
	case master.kind == "bond" && l.up && !o.Down:
		return syscall.EPERM
	}
	if up := l.up; up {
		m.setDown(l)
		defer m.setUp(l)
	}
	m.detach(l)
	l.master = master
	if master != nil && master.kind == "bond" {
		l.mac = master.mac
	}
	m.refresh(l)
	return nil
}

func (m *Machine) addRemote(o kernel.RemoteAdd) error {
	l, err := m.link(o.Netns, o.Link)
	switch {
	case err != nil:
		return err
	case l.kind != "vxlan":
		return syscall.EOPNOTSUPP
	case slices.Contains(l.remotes, o.VXLANRemote):
		return syscall.EEXIST
	}
	l.remotes = append(l.remotes, o.VXLANRemote)
	slices.SortFunc(l.remotes, func(a, b kernel.VXLANRemote) int {
		return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.Remote, b.Remote))
	})
	return nil
}

func (m *Machine) deleteRemote(o kernel.RemoteDelete) error {
	l, err := m.link(o.Netns, o.Link)
	if err != nil {
		return errAbsent
	}
	i := slices.Index(l.remotes, o.VXLANRemote)
	if i < 0 {
		return errAbsent
	}
	l.remotes = slices.Delete(l.remotes, i, i+1)
	return nil
}

// orphans are the links that stand on one that goes.
func (m *Machine) orphans(l *link) []*link {
	var out []*link
	for _, s := range m.spaces() {
		for _, x := range s.links {
			if x.parent == l {
				out = append(out, x)
			}
		}
	}
	return out
}
