package fake

import (
	"cmp"
	"syscall"
	"time"

	"topo/internal/kernel"
)

type bridge struct {
	kernel.BridgeAttrs
	mac bool // was set: otherwise it is the lowest of the ports'
	mtu bool // was set: otherwise it is the lowest of the ports'
}

func (l *link) portState() {
	switch {
	case !l.running() || !l.master.up:
		l.port.State = "disabled"
	case l.port.State != "disabled":
	case l.master.bridge.STP && l.master.bridge.ForwardDelay != 0:
		l.port.State = "listening"
	default:
		l.port.State = "forwarding"
	}
}

func (m *Machine) addBridge(o kernel.BridgeAdd) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return err
	}
	if err := m.checkNew(s, o.Name, o.MAC, o.MTU); err != nil {
		return err
	}
	l := &link{
		space: s, name: o.Name, kind: "bridge", mac: o.MAC, mtu: cmp.Or(o.MTU, 1500), group: o.Group,
		bridge: &bridge{mac: o.MAC != "", mtu: o.MTU != 0},
	}
	l.vlans = defaultVLANs()
	l.bridge.BridgeAttrs = kernel.DefaultBridge
	l.bridge.DefaultPVID = defaultPVID
	l.bridge.STP = o.STP
	l.bridge.ForwardDelay = cmp.Or(o.ForwardDelay, l.bridge.ForwardDelay)
	if !validDelay(l.bridge.ForwardDelay, o.STP) {
		return syscall.ERANGE
	}
	m.insert(l)
	if l.mtu >= minMTUIPv6 && l.space == m.host { // a namespace of topo's begins so
		m.host.put(confPath(kernel.IPv6, l.name, "accept_ra"), "0")
	}
	return nil
}

// validDelay: br_set_forward_delay checks the bounds (2 to 30 s) only while STP runs.
func validDelay(d time.Duration, stp bool) bool {
	return !stp || d >= 2*time.Second && d <= 30*time.Second
}

func (m *Machine) setBridge(o kernel.BridgeSet) error {
	l, err := m.link(o.Netns, o.Name)
	if err != nil {
		return err
	}
	if l.bridge == nil {
		return syscall.EOPNOTSUPP
	}
	next := l.bridge.BridgeAttrs
	set(&next.STP, o.STP)
	set(&next.ForwardDelay, o.ForwardDelay)
	set(&next.VLANFiltering, o.VLANFiltering)
	set(&next.Priority, o.Priority)
	set(&next.HelloTime, o.HelloTime)
	set(&next.MaxAge, o.MaxAge)
	set(&next.AgeingTime, o.AgeingTime)
	set(&next.McastSnooping, o.McastSnooping)
	within := func(d, least, most time.Duration) bool { return d >= least && d <= most }
	if !validDelay(next.ForwardDelay, next.STP) || !within(next.HelloTime, time.Second, 10*time.Second) || !within(next.MaxAge, 6*time.Second, 40*time.Second) {
		return syscall.ERANGE
	}
	l.bridge.BridgeAttrs = next
	return nil
}

// set gives a value where there is one.
func set[T any](to, v *T) {
	if v != nil {
		*to = *v
	}
}

func (m *Machine) setPort(o kernel.PortSet) error {
	l, err := m.link(o.Netns, o.Name)
	if err != nil {
		return err
	}
	if l.port == nil {
		return syscall.EOPNOTSUPP
	}
	if o.Cost != nil && (*o.Cost < 1 || *o.Cost > 65535) || o.Priority != nil && *o.Priority > 63 {
		return syscall.ERANGE
	}
	set(&l.port.Isolated, o.Isolated)
	set(&l.port.Hairpin, o.Hairpin)
	set(&l.port.Learning, o.Learning)
	set(&l.port.Flood, o.Flood)
	set(&l.port.McastFlood, o.McastFlood)
	set(&l.port.BcastFlood, o.BcastFlood)
	set(&l.port.Cost, o.Cost)
	set(&l.port.Priority, o.Priority)
	return nil
}

const maxPorts = 1023 // BR_MAX_PORTS, less port number 0

func checkMaster(l, master *link) error {
	switch {
	case master.bridge == nil:
		return syscall.EOPNOTSUPP
	case l.bridge != nil:
		return syscall.ELOOP
	case l.kind == "loopback":
		return syscall.EINVAL
	}
	ports := 0
	for _, p := range master.space.links {
		if p.master == master {
			ports++
		}
	}
	if ports >= maxPorts {
		return syscall.EXFULL
	}
	return nil
}

func (m *Machine) attach(l, master *link) {
	m.detach(l)
	l.master = master
	port := kernel.DefaultPort
	port.State = "disabled"
	l.port, l.fdb = &port, fdb{}
	l.vlans = defaultVLANs()
	follow(master)
	m.refresh(l)
}

func (m *Machine) detach(l *link) {
	if l.master == nil {
		return
	}
	master := l.master
	l.master, l.port, l.vlans, l.fdb = nil, nil, nil, nil
	if master.bridge != nil {
		follow(master)
	}
	master.linkLocal()
}

// follow makes a bridge's MAC and MTU the lowest of its ports', unless they were set.
func follow(b *link) {
	mac, mtu := "", 0
	for _, p := range b.space.links {
		if p.master == b {
			if mac == "" || p.mac < mac {
				mac = p.mac
			}
			if mtu == 0 || p.mtu < mtu {
				mtu = p.mtu
			}
		}
	}
	if !b.bridge.mac && mac != "" {
		b.mac = mac
	}
	if !b.bridge.mtu {
		b.mtu = cmp.Or(mtu, 1500)
	}
}
