package linux

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func (h *Host) addrAdd(o kernel.AddrAdd) error {
	return h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
		if err := addAddress(c, req, o.Link, o.Prefix); err != nil {
			return err
		}
		if o.Prefix.Addr().Is6() {
			// Duplicate address detection would keep it unusable for one to two seconds.
			req.AddData(numberAttr(unix.IFA_FLAGS, unix.IFA_F_NODAD))
		}
		err := c.change(req, "RTM_NEWADDR "+o.Link+" "+o.Prefix.String())
		return lacking(err, "IPv6", "CONFIG_IPV6")
	})
}

func (h *Host) addrDelete(o kernel.AddrDelete) error {
	return gone(h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_DELADDR, 0)
		if err := addAddress(c, req, o.Link, o.Prefix); err != nil {
			return err
		}
		return c.change(req, "RTM_DELADDR "+o.Link+" "+o.Prefix.String())
	}))
}

func addAddress(c *conn, req *nl.NetlinkRequest, link string, p netip.Prefix) error {
	index, err := c.index(link)
	if err != nil {
		return err
	}
	header := nl.NewIfAddrmsg(familyNumber(p.Addr()))
	header.Prefixlen = uint8(p.Bits())
	header.Index = uint32(index)
	req.AddData(header)
	// IFA_ADDRESS is the far end of a point-to-point address; otherwise it repeats IFA_LOCAL.
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, p.Addr().AsSlice()))
	return nil
}

func familyNumber(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// The makers of an address that count as the kernel itself (IFA_PROTO, if_addr.h; kernel 5.18 and later).
const (
	addrProto   = 11 // IFA_PROTO
	byKernelLo  = 1  // 127.0.0.1 and ::1 of lo
	byKernelLLA = 3  // IPv6 link-local; 2 is from router advertisements
)

// readAddrs reads the addresses of a namespace, those of both families.
func readAddrs(c *conn, links []link) ([]kernel.Addr, error) {
	byIndex := linksByIndex(links)
	var addrs []kernel.Addr
	err := c.dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC),
		func() { addrs = addrs[:0] },
		func(body []byte) error {
			if a, ok := parseAddr(body, byIndex); ok {
				addrs = append(addrs, a)
			}
			return nil
		})
	return addrs, err
}

// parseAddr reads a struct ifaddrmsg with its attributes. An address of a link that is not in the
// list (it was made after those were read) is none.
func parseAddr(body []byte, links map[int]*link) (kernel.Addr, bool) {
	if len(body) < unix.SizeofIfAddrmsg {
		return kernel.Addr{}, false
	}
	bits, flags, index := int(body[1]), uint32(body[2]), number(body[4:])
	var local, far netip.Addr
	proto := 0
	for kind, value := range attributes(body[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local = address(value)
		case unix.IFA_ADDRESS:
			far = address(value)
		case unix.IFA_FLAGS:
			flags = unsigned(value)
		case addrProto:
			if len(value) == 1 {
				proto = int(value[0])
			}
		}
	}
	if !local.IsValid() { // IPv6 has IFA_LOCAL only with a peer
		local = far
	}
	l := links[index]
	if l == nil || !local.IsValid() {
		return kernel.Addr{}, false
	}
	prefix := netip.PrefixFrom(local, bits)
	return kernel.Addr{
		Link:      l.Name,
		Prefix:    prefix,
		Kernel:    madeByKernel(prefix, proto, flags, l),
		Tentative: flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_DADFAILED == 0,
		Secondary: prefix.Addr().Is4() && flags&unix.IFA_F_SECONDARY != 0,
		Dynamic:   flags&unix.IFA_F_PERMANENT == 0,
	}, true
}

func madeByKernel(p netip.Prefix, proto int, flags uint32, l *link) bool {
	switch {
	case proto >= byKernelLo && proto <= byKernelLLA:
		return true
	case p.Addr().Is6() && flags&(unix.IFA_F_TEMPORARY|unix.IFA_F_MANAGETEMPADDR) != 0: // of IPv4 the first is IFA_F_SECONDARY
		return true
	case l.Kind == "loopback":
		return p.String() == "127.0.0.1/8" || p.String() == "::1/128"
	}
	// Older kernels do not say. They make the address out of the MAC address (RFC 4291, appendix A).
	return p.Bits() == 64 && p.Addr() == linkLocal(l.MAC)
}

// linkLocal is the IPv6 link-local address that belongs to a MAC address.
func linkLocal(macAddress string) netip.Addr {
	m, err := net.ParseMAC(macAddress)
	if err != nil || len(m) != 6 {
		return netip.Addr{}
	}
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5],
	})
}
