package fake

import (
	"net"
	"net/netip"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func (m *Machine) addAddr(o kernel.AddrAdd) error {
	l, err := m.link(o.Netns, o.Link)
	if err != nil {
		return err
	}
	a := o.Prefix.Addr()
	switch {
	case !o.Prefix.IsValid() || a.IsUnspecified():
		return syscall.EINVAL
	case a.Is6() && a.IsMulticast():
		return syscall.EADDRNOTAVAIL
	case a.Is6() && l.space.sysctl("net/ipv6/conf/"+l.name+"/disable_ipv6") != "0":
		return syscall.EACCES
	case a.Is6() && l.mtu < minMTUIPv6:
		return syscall.EINVAL
	}
	for _, x := range l.addrs {
		if x.Prefix == o.Prefix || a.Is6() && x.Prefix.Addr() == a {
			return syscall.EEXIST
		}
	}
	secondary := a.Is4() && slices.ContainsFunc(l.addrs, func(x kernel.Addr) bool { return x.Prefix.Masked() == o.Prefix.Masked() })
	l.addrs = append(l.addrs, kernel.Addr{Link: l.name, Prefix: o.Prefix, Secondary: secondary})
	if l.up {
		l.connect(o.Prefix)
	}
	return nil
}

func (m *Machine) deleteAddr(o kernel.AddrDelete) error {
	l, err := m.link(o.Netns, o.Link)
	if err != nil {
		return errAbsent
	}
	at := slices.IndexFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix == o.Prefix })
	if at < 0 {
		return errAbsent
	}
	subnet := o.Prefix.Masked()
	first := slices.IndexFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix.Masked() == subnet })
	if o.Prefix.Addr().Is4() && first == at {
		// The others are secondary (IFA_F_SECONDARY), and go with the primary one: promote_secondaries is 0.
		l.addrs = slices.DeleteFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix.Masked() == subnet })
	} else {
		l.addrs = slices.Delete(l.addrs, at, at+1)
	}
	if !slices.ContainsFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix.Masked() == subnet }) {
		l.disconnect(subnet)
	}
	if o.Prefix.Addr().Is4() && !slices.ContainsFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix.Addr().Is4() }) {
		// fib_disable_ip: the last address takes every route of the link.
		l.unroute(true)
	}
	l.space.dropSources()
	l.space.loseSource(o.Prefix.Addr())
	return nil
}

// flushIPv6 is addrconf_ifdown: all IPv6 addresses go, and all IPv6 routes.
func (l *link) flushIPv6() {
	l.addrs = slices.DeleteFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix.Addr().Is6() })
	l.unroute(false)
}

// loopback gives lo what the kernel gives it when it comes up.
func (l *link) loopback() {
	for _, s := range []string{"127.0.0.1/8", "::1/128"} {
		p := prefix(s)
		if !slices.ContainsFunc(l.addrs, func(a kernel.Addr) bool { return a.Prefix == p }) {
			l.addrs = append(l.addrs, kernel.Addr{Link: l.name, Prefix: p, Kernel: true})
		}
	}
}

// linkLocal gives a link its fe80:: address, as soon as it has a carrier. It is tentative
// while the kernel looks for duplicates.
func (l *link) linkLocal() {
	if l.kind == "loopback" || !l.running() || l.mtu < minMTUIPv6 ||
		l.space.sysctl("net/ipv6/conf/"+l.name+"/disable_ipv6") != "0" ||
		slices.ContainsFunc(l.addrs, func(a kernel.Addr) bool { return a.Kernel }) {
		return
	}
	mac, err := net.ParseMAC(l.mac)
	if err != nil {
		return
	}
	// RFC 4291, appendix A: the MAC with ff:fe in its middle and the universal bit turned.
	b := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	p := netip.PrefixFrom(netip.AddrFrom16(b), 64)
	l.addrs = append(l.addrs, kernel.Addr{Link: l.name, Prefix: p, Kernel: true, Tentative: true})
	l.connect(p)
}
