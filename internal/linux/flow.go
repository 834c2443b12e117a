package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// The attributes of a flow: enum ctattr_type and those below it in linux/netfilter/nfnetlink_conntrack.h, enum ip_conntrack_status in
// linux/netfilter/nf_conntrack_common.h.
const (
	flowGet, flowDelete = 1, 2 // IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE
	flowHeader          = 4    // struct nfgenmsg

	flowOriginal, flowReply, flowStatus, flowID, flowZone  = 1, 2, 3, 12, 18
	tupleIP, tupleProtocol                                 = 1, 2
	tupleSource4, tupleTarget4, tupleSource6, tupleTarget6 = 1, 2, 3, 4
	protocolNumber, protocolSource, protocolTarget         = 1, 2, 3

	sourceTranslated, targetTranslated = 1 << 4, 1 << 5
)

// flow is a tracked one.
type flow struct {
	original, reply tuple // of packets of each direction, as they are when they come in
	status          uint32
	name            parts // by which the kernel finds it again, and it alone
}

type tuple struct {
	protocol       byte
	source, target netip.AddrPort
}

// flowsDelete forgets what leads into the subnets. What begins meanwhile is not among it: by then nothing has the kernel
// translate there any more.
func (h *Host) flowsDelete(o kernel.FlowsDelete) error {
	return h.forget(o.Family, func(f flow) bool { return f.leadsInto(o.Subnets) })
}

// flowsRenew: a flow to another host's port of the same number is somebody else's.
func (h *Host) flowsRenew(o kernel.FlowsRenew) error {
	var own map[netip.Addr]bool
	err := h.conn.dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC), func() { own = map[netip.Addr]bool{} }, func(body []byte) error {
		for kind, value := range attributes(after(body, unix.SizeofIfAddrmsg)) {
			if kind == unix.IFA_ADDRESS || kind == unix.IFA_LOCAL {
				own[address(value)] = true
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the host's addresses: %w", err)
	}
	return h.forget(o.Family, func(f flow) bool {
		to := f.original.target.Addr()
		return (own[to] || to.IsLoopback()) && slices.ContainsFunc(o.Ports, f.misses)
	})
}

// forget reads what is tracked in a family, and removes what is chosen.
func (h *Host) forget(family kernel.Family, chosen func(flow) bool) error {
	c, err := h.conntrack()
	if err != nil || c == nil {
		return err
	}
	defer c.close()
	header := flowsOf(family)
	var found []flow
	err = c.dump(unix.NFNL_SUBSYS_CTNETLINK<<8|flowGet, header, func() { found = nil }, func(body []byte) error {
		if f := flowFrom(after(body, flowHeader)); chosen(f) {
			found = append(found, f)
		}
		return nil
	})
	if errors.Is(err, unix.EINVAL) {
		return nil // nobody listens: the kernel has no netlink interface of conntrack
	}
	if err != nil {
		return fmt.Errorf("reading tracked flows: %w", err)
	}
	for _, f := range found {
		req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|flowDelete, 0)
		req.AddData(header)
		req.AddData(f.name)
		if err := gone(c.change(req, fmt.Sprintf("forget flow %s > %s", f.original.source, f.original.target))); err != nil {
			return fmt.Errorf("forgetting the flow from %s to %s: %w", f.original.source, f.original.target, err)
		}
	}
	return nil
}

// conntrack opens a socket for the host's tracked flows; nil where the kernel has no netfilter by netlink.
func (h *Host) conntrack() (*conn, error) {
	var c *conn
	err := h.onThread(h.netns, func() (err error) {
		c, err = h.dialProtocol("", unix.NETLINK_NETFILTER)
		return err
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	return c, err
}

// flowsOf is the header of a message about flows of a family: struct nfgenmsg.
func flowsOf(f kernel.Family) *nl.Nfgenmsg {
	family := uint8(unix.AF_INET)
	if f == kernel.IPv6 {
		family = unix.AF_INET6
	}
	return &nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0}
}

func flowFrom(b []byte) flow {
	var f flow
	for kind, value := range attributes(b) {
		switch kind {
		case flowOriginal:
			f.original = tupleFrom(value)
			f.name = append(f.name, nl.NewRtAttr(flowOriginal|unix.NLA_F_NESTED, slices.Clone(value)))
		case flowReply:
			f.reply = tupleFrom(value)
		case flowStatus:
			f.status = networkLong(value)
		case flowID, flowZone:
			f.name = append(f.name, nl.NewRtAttr(int(kind), slices.Clone(value)))
		}
	}
	return f
}

func tupleFrom(b []byte) tuple {
	var t tuple
	var source, target netip.Addr
	var sourcePort, targetPort uint16
	for kind, value := range attributes(b) {
		for inner, value := range attributes(value) {
			switch {
			case kind == tupleIP && (inner == tupleSource4 || inner == tupleSource6):
				source = address(value)
			case kind == tupleIP && (inner == tupleTarget4 || inner == tupleTarget6):
				target = address(value)
			case kind == tupleProtocol && inner == protocolNumber && len(value) == 1:
				t.protocol = value[0]
			case kind == tupleProtocol && inner == protocolSource:
				sourcePort = networkShort(value)
			case kind == tupleProtocol && inner == protocolTarget:
				targetPort = networkShort(value)
			}
		}
	}
	t.source, t.target = netip.AddrPortFrom(source, sourcePort), netip.AddrPortFrom(target, targetPort)
	return t
}

// networkShort and networkLong read numbers in network byte order, which netfilter's are in.
func networkShort(b []byte) uint16 {
	if len(b) != 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func networkLong(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// leadsInto reports whether packets get a destination in one of the subnets by being translated. Those of the original direction
// go to where the reply comes from, and the other way round.
func (f flow) leadsInto(subnets []netip.Prefix) bool {
	return slices.ContainsFunc(subnets, func(s netip.Prefix) bool {
		return f.status&targetTranslated != 0 && s.Contains(f.reply.source.Addr()) ||
			f.status&sourceTranslated != 0 && s.Contains(f.original.source.Addr())
	})
}

// misses reports whether packets to a published port don't get to where it leads.
func (f flow) misses(p kernel.PublishedPort) bool {
	to := f.original.target
	return f.original.protocol == unix.IPPROTO_UDP && to.Port() == p.Port && (!p.Addr.IsValid() || to.Addr() == p.Addr) && f.reply.source != p.To
}
