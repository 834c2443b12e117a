package fake

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"syscall"

	"topo/internal/kernel"
)

// link is a network interface.
type link struct {
	space  *space
	name   string
	kind   string
	index  int
	mac    string
	mtu    int
	up     bool
	group  uint32
	alias  string
	master *link
	peer   *link // of a veth
	addrs  []kernel.Addr

	bridge *bridge
	port   *kernel.PortAttrs
	qdisc  *kernel.Qdisc
	vlans  vlans
	fdb    fdb
	device
}

// The bounds of an MTU in bytes: ETH_MIN_MTU, and ETH_MAX_MTU, which veths and bridges have.
const (
	minMTU     = 68
	maxMTU     = 65535
	minMTUIPv6 = 1280 // RFC 8200, section 5; with less, Linux takes IPv6 off the link
)

func (s *space) link(name string) *link {
	for _, l := range s.links {
		if l.name == name {
			return l
		}
	}
	return nil
}

func (m *Machine) link(netns, name string) (*link, error) {
	s, err := m.find(netns)
	if err != nil {
		return nil, err
	}
	l := s.link(name)
	if l == nil {
		return nil, syscall.ENODEV
	}
	return l, nil
}

// insert puts a new link into its namespace; its sysctls start as "default" has them.
func (m *Machine) insert(l *link) {
	m.serial++
	l.index = m.serial
	if l.mac == "" {
		// The kernel throws dice; here equal machines are to be equal texts.
		h := fnv.New32a()
		h.Write([]byte(l.space.name + ":" + l.name))
		n := h.Sum32()
		l.mac = fmt.Sprintf("0e:00:%02x:%02x:%02x:%02x", n>>24, n>>16&0xff, n>>8&0xff, n&0xff)
	}
	l.space.links = append(l.space.links, l)
	l.space.inherit(l.name)
}

// remove takes a link out of the machine, with all that stands on it.
func (m *Machine) remove(l *link) {
	for _, p := range l.space.links {
		if p.master == l {
			if l.kind == "bond" {
				m.setDown(p)
			}
			m.detach(p)
		}
	}
	m.detach(l)
	for _, x := range m.orphans(l) {
		m.remove(x)
	}
	l.removeRoutes()
	l.space.links = slices.DeleteFunc(l.space.links, func(x *link) bool { return x == l })
	l.space.dropSources()
	l.space.forget(l.name)
	if peer := l.peer; peer != nil {
		l.peer, peer.peer = nil, nil
		m.remove(peer)
	}
}

// running: up, and with a carrier.
func (l *link) running() bool {
	switch {
	case !l.up:
		return false
	case l.kind == "veth":
		return l.peer != nil && l.peer.up
	case l.kind == "bridge":
		return slices.ContainsFunc(l.space.links, func(p *link) bool { return p.master == l && p.running() })
	}
	return true
}

// oper is the operational state, in the words of ip(8).
func (l *link) oper() string {
	switch {
	case l.kind == "loopback" && l.up:
		return "unknown"
	case !l.up:
		return "down"
	case l.running():
		return "up"
	case l.kind == "veth":
		return "lowerlayerdown"
	}
	return "down"
}

// refresh does what follows from a change of a link's state, on it and on those that feel it.
func (m *Machine) refresh(l *link) {
	for _, x := range []*link{l, l.peer} {
		if x == nil {
			continue
		}
		x.linkLocal()
		if x.port != nil {
			x.portState()
			x.master.linkLocal()
		}
		if x.bridge != nil {
			for _, p := range x.space.links {
				if p.master == x {
					p.portState()
				}
			}
		}
	}
}

func (m *Machine) addVeth(o kernel.VethAdd) error {
	var ends [2]*link
	for i, e := range []kernel.VethEnd{o.A, o.B} {
		s, err := m.find(e.Netns)
		if err != nil {
			return err
		}
		if err := m.checkNew(s, e.Name, e.MAC, e.MTU); err != nil {
			return err
		}
		l := &link{space: s, name: e.Name, kind: "veth", mac: e.MAC, mtu: cmp.Or(e.MTU, 1500), group: e.Group, alias: e.Alias}
		if e.Master != "" {
			master := s.link(e.Master)
			if master == nil {
				return syscall.ENODEV
			}
			if err := checkMaster(l, master); err != nil {
				return err
			}
		}
		ends[i] = l
	}
	if o.A.Netns == o.B.Netns && o.A.Name == o.B.Name {
		return syscall.EEXIST
	}
	ends[0].peer, ends[1].peer = ends[1], ends[0]
	for i, e := range []kernel.VethEnd{o.A, o.B} {
		m.insert(ends[i])
		if e.Master != "" {
			m.attach(ends[i], ends[i].space.link(e.Master))
		}
	}
	for i, e := range []kernel.VethEnd{o.A, o.B} {
		if e.Up {
			m.setUp(ends[i])
		}
	}
	return nil
}

func (m *Machine) checkNew(s *space, name, mac string, mtu int) error {
	switch {
	case name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n"):
		return syscall.EINVAL
	case s.link(name) != nil:
		return syscall.EEXIST
	case mtu != 0 && (mtu < minMTU || mtu > maxMTU):
		return syscall.EINVAL
	case mac != "" && !validMAC(mac):
		return syscall.EADDRNOTAVAIL
	}
	return nil
}

// validMAC: is_valid_ether_addr: neither multicast nor all zeros.
func validMAC(s string) bool {
	mac, err := net.ParseMAC(s)
	return err == nil && len(mac) == 6 && mac[0]&1 == 0 && s != "00:00:00:00:00:00"
}

func (m *Machine) setLink(o kernel.LinkSet) error {
	l, err := m.link(o.Netns, o.Name)
	if err != nil {
		return err
	}
	var master *link
	if o.Master != nil && *o.Master != "" {
		if master = l.space.link(*o.Master); master == nil {
			return syscall.ENODEV
		}
		if master != l.master {
			if err := checkMaster(l, master); err != nil {
				return err
			}
		}
	}
	switch {
	case o.MAC != nil && l.kind == "ifb":
		return syscall.EOPNOTSUPP
	case o.MAC != nil && !validMAC(*o.MAC):
		return syscall.EADDRNOTAVAIL
	case o.MTU != nil && (*o.MTU < minMTU || *o.MTU > maxMTU):
		return syscall.EINVAL
	case o.Alias != nil && len(*o.Alias) > 255: // IFALIASZ-1
		return syscall.ERANGE
	}
	if o.MAC != nil {
		l.mac = *o.MAC
		if l.bridge != nil {
			l.bridge.mac = true
		}
	}
	if o.MTU != nil {
		l.mtu = *o.MTU
		if l.bridge != nil {
			l.bridge.mtu = true
		}
		if l.mtu < minMTUIPv6 {
			l.flushIPv6()
		}
	}
	if (o.MAC != nil || o.MTU != nil) && l.port != nil {
		follow(l.master)
	}
	set(&l.group, o.Group)
	set(&l.alias, o.Alias)
	if o.Master != nil && master != l.master {
		if l.master != nil && l.master.kind == "bond" {
			m.setDown(l)
		}
		m.detach(l)
		if master != nil {
			m.attach(l, master)
		}
	}
	if o.Up != nil && *o.Up != l.up {
		if *o.Up {
			m.setUp(l)
		} else {
			m.setDown(l)
		}
	}
	m.refresh(l)
	return nil
}

func (m *Machine) setUp(l *link) {
	l.up = true
	if l.kind == "loopback" {
		l.loopback()
	}
	for _, a := range l.addrs {
		l.connect(a.Prefix)
	}
	m.refresh(l)
}

// setDown loses IPv6 addresses and all routes; IPv4 addresses stay.
func (m *Machine) setDown(l *link) {
	l.up = false
	l.flushIPv6()
	l.unroute(true)
	m.refresh(l)
}

func (m *Machine) deleteLink(o kernel.LinkDelete) error {
	l, err := m.link(o.Netns, o.Name)
	switch {
	case err != nil:
		return errAbsent
	case l.kind == "" || l.kind == "loopback":
		return syscall.EOPNOTSUPP
	}
	m.remove(l)
	return nil
}

func (m *Machine) deleteGroup(o kernel.GroupDelete) error {
	var members []*link
	for _, l := range m.host.links {
		if l.group == o.Group {
			members = append(members, l)
			if !slices.Contains(o.Names, l.name) {
				return fmt.Errorf("%s has joined the group: %w", l.name, syscall.EBUSY)
			}
			if l.kind == "" || l.kind == "loopback" {
				return syscall.EOPNOTSUPP
			}
		}
	}
	if len(members) == 0 {
		return errAbsent
	}
	for _, l := range members {
		if m.host.link(l.name) == l { // and not gone with its peer
			m.remove(l)
		}
	}
	return nil
}
