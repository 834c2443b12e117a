package linux

import (
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// The numbers of a bridge's attributes on the wire (if_link.h).
const (
	bridgeForwardDelay = 1 // IFLA_BR_FORWARD_DELAY, in ticks
	bridgeSTP          = 5 // IFLA_BR_STP_STATE
)

// tick is the unit of a bridge's times: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// bridgeAdd makes a bridge, down. One whose MTU was never set follows the smallest MTU of its ports
// (br_mtu_auto_adjust in net/bridge/br_if.c); only a change counts as set. So it starts out with another
// MTU than the wanted one.
func (h *Host) bridgeAdd(o kernel.BridgeAdd) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	other := 0
	if o.MTU != 0 {
		other = o.MTU + 1
		if other > maxMTU {
			other = o.MTU - 1
		}
	}
	if err := linkAttributes(req, o.Name, o.MAC, other, o.Group); err != nil {
		return err
	}
	stp := &o.STP
	if !o.STP {
		stp = nil
	}
	delay := &o.ForwardDelay
	if o.ForwardDelay == 0 {
		delay = nil
	}
	req.AddData(bridgeInfo(stp, delay))
	if err := h.conn.change(req, "RTM_NEWLINK bridge "+o.Name); err != nil {
		return lacking(err, "bridges", "CONFIG_BRIDGE")
	}
	if o.MTU == 0 {
		return nil
	}
	return h.linkSet(kernel.LinkSet{Name: o.Name, MTU: &o.MTU})
}

// maxMTU is the largest MTU of an Ethernet-like device (ETH_MAX_MTU).
const maxMTU = 65535

func (h *Host) bridgeSet(o kernel.BridgeSet) error {
	index, err := h.conn.index(o.Name)
	if err != nil {
		return err
	}
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
	req.AddData(header)
	req.AddData(bridgeInfo(o.STP, o.ForwardDelay))
	return h.conn.change(req, "RTM_NEWLINK "+o.Name+" bridge")
}

// bridgeInfo is the part of a message that makes a link a bridge; nil leaves a parameter out.
func bridgeInfo(stp *bool, delay *time.Duration) *nl.RtAttr {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddChild(nl.NewRtAttr(nl.IFLA_INFO_KIND, []byte("bridge")))
	if stp == nil && delay == nil {
		return info
	}
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	// The delay comes first: with STP on, the kernel takes only 2 s to 30 s.
	if delay != nil {
		data.AddChild(numberAttr(bridgeForwardDelay, uint32(*delay/tick)))
	}
	if stp != nil {
		state := uint32(0)
		if *stp {
			state = 1
		}
		data.AddChild(numberAttr(bridgeSTP, state))
	}
	return info
}

func (h *Host) portSet(o kernel.PortSet) error {
	index, err := h.conn.index(o.Name)
	if err != nil {
		return err
	}
	header := nl.NewIfInfomsg(unix.AF_BRIDGE)
	header.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
	req.AddData(header)
	port := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	port.AddChild(byteAttr(nl.IFLA_BRPORT_ISOLATED, o.Isolated))
	port.AddChild(byteAttr(nl.IFLA_BRPORT_MODE, o.Hairpin))
	req.AddData(port)
	return h.conn.change(req, "RTM_SETLINK "+o.Name+" port")
}
