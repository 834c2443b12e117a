package linux

import (
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// tick is the unit of a bridge's times: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// bridgeAdd makes a bridge, down.
func (h *Host) bridgeAdd(o kernel.BridgeAdd) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err := linkAttributes(req, o.Name, o.MAC, o.FirstMTU(), o.Group); err != nil {
		return err
	}
	set := kernel.BridgeSet{}
	if o.STP {
		set.STP = &o.STP
	}
	if o.ForwardDelay != 0 {
		set.ForwardDelay = &o.ForwardDelay
	}
	req.AddData(bridgeInfo(set))
	err := h.in(o.Netns, func(c *conn) error { return c.change(req, "RTM_NEWLINK bridge "+o.Name) })
	if err != nil {
		return lacking(err, "bridges", "CONFIG_BRIDGE")
	}
	if o.MTU != 0 {
		if err := h.linkSet(kernel.LinkSet{Netns: o.Netns, Name: o.Name, MTU: &o.MTU}); err != nil {
			return err
		}
	}
	if o.Netns != "" {
		return nil // a namespace of topo's begins so
	}
	return h.deafen(o.Name)
}

func (h *Host) bridgeSet(o kernel.BridgeSet) error {
	return h.linkChange(unix.RTM_NEWLINK, unix.AF_UNSPEC, o.Netns, o.Name, "bridge", bridgeInfo(o))
}

// bridgeInfo is the part of a message that makes a link a bridge, with what is set of it.
func bridgeInfo(o kernel.BridgeSet) *nl.RtAttr {
	info, data := linkInfo("bridge")
	duration := func(kind int, v *time.Duration) {
		if v != nil {
			data.AddChild(numberAttr(kind, uint32(*v/tick)))
		}
	}
	// The delay comes first: with STP on, the kernel takes only 2 s to 30 s.
	duration(nl.IFLA_BR_FORWARD_DELAY, o.ForwardDelay)
	duration(nl.IFLA_BR_HELLO_TIME, o.HelloTime)
	duration(nl.IFLA_BR_MAX_AGE, o.MaxAge)
	duration(nl.IFLA_BR_AGEING_TIME, o.AgeingTime)
	if o.STP != nil {
		data.AddChild(numberAttr(nl.IFLA_BR_STP_STATE, uint32(oneIf(*o.STP))))
	}
	if o.Priority != nil {
		data.AddChild(shortAttr(nl.IFLA_BR_PRIORITY, uint16(*o.Priority)))
	}
	if o.VLANFiltering != nil {
		data.AddChild(byteAttr(nl.IFLA_BR_VLAN_FILTERING, *o.VLANFiltering))
	}
	if o.McastSnooping != nil {
		data.AddChild(byteAttr(nl.IFLA_BR_MCAST_SNOOPING, *o.McastSnooping))
	}
	return info
}

func (h *Host) portSet(o kernel.PortSet) error {
	return h.linkChange(unix.RTM_SETLINK, unix.AF_BRIDGE, o.Netns, o.Name, "port", portInfo(o))
}

// portInfo is the part of a message that has what is set of a port.
func portInfo(o kernel.PortSet) *nl.RtAttr {
	port := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	for _, f := range []struct {
		kind int
		v    *bool
	}{
		{nl.IFLA_BRPORT_ISOLATED, o.Isolated},
		{nl.IFLA_BRPORT_MODE, o.Hairpin},
		{nl.IFLA_BRPORT_LEARNING, o.Learning},
		{nl.IFLA_BRPORT_UNICAST_FLOOD, o.Flood},
		{nl.IFLA_BRPORT_MCAST_FLOOD, o.McastFlood},
		{nl.IFLA_BRPORT_BCAST_FLOOD, o.BcastFlood},
	} {
		if f.v != nil {
			port.AddChild(byteAttr(f.kind, *f.v))
		}
	}
	if o.Cost != nil {
		port.AddChild(numberAttr(nl.IFLA_BRPORT_COST, uint32(*o.Cost)))
	}
	if o.Priority != nil {
		port.AddChild(shortAttr(nl.IFLA_BRPORT_PRIORITY, uint16(*o.Priority)))
	}
	return port
}
