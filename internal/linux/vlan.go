package linux

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// vlansCompressed asks for the VLANs of bridges and their ports, as ranges: RTEXT_FILTER_BRVLAN_COMPRESSED, kernel 3.19 and later.
const vlansCompressed = 1 << 2

func (h *Host) vlanAdd(o kernel.VLANAdd) error {
	flags := uint16(0)
	if o.PVID {
		flags |= nl.BRIDGE_VLAN_INFO_PVID
	}
	if o.Untagged {
		flags |= nl.BRIDGE_VLAN_INFO_UNTAGGED
	}
	err := h.vlanChange(unix.RTM_SETLINK, o.Netns, o.Link, o.Self, o.First, o.Last, flags)
	return lacking(err, "filtering of VLANs", "CONFIG_BRIDGE_VLAN_FILTERING")
}

func (h *Host) vlanDelete(o kernel.VLANDelete) error {
	return gone(h.vlanChange(unix.RTM_DELLINK, o.Netns, o.Link, o.Self, o.First, o.Last, 0))
}

func (h *Host) vlanChange(kind int, netns, link string, self bool, first, last int, flags uint16) error {
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	if self {
		spec.AddRtAttr(nl.IFLA_BRIDGE_FLAGS, binary.NativeEndian.AppendUint16(nil, nl.BRIDGE_FLAGS_SELF))
	}
	if first == last {
		spec.AddRtAttr(nl.IFLA_BRIDGE_VLAN_INFO, vlanInfo(first, flags))
	} else {
		spec.AddRtAttr(nl.IFLA_BRIDGE_VLAN_INFO, vlanInfo(first, flags|nl.BRIDGE_VLAN_INFO_RANGE_BEGIN))
		spec.AddRtAttr(nl.IFLA_BRIDGE_VLAN_INFO, vlanInfo(last, flags|nl.BRIDGE_VLAN_INFO_RANGE_END))
	}
	return h.linkChange(kind, unix.AF_BRIDGE, netns, link, "VLANs", spec)
}

// vlanInfo is a struct bridge_vlan_info.
func vlanInfo(vid int, flags uint16) []byte {
	return binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, flags), uint16(vid))
}

// readVLANs reads which VLANs bridges and their ports belong to, where a bridge filters them, or all are asked for.
func readVLANs(c *conn, links []link, all bool) error {
	if !slices.ContainsFunc(links, func(l link) bool { return l.Bridge != nil && (all || l.Bridge.VLANFiltering) }) {
		return nil
	}
	byIndex := linksByIndex(links)
	err := c.dump(unix.RTM_GETLINK, linksHeader(unix.AF_BRIDGE, vlansCompressed),
		func() {
			for i := range links {
				links[i].VLANs = nil
			}
		},
		func(body []byte) error {
			if len(body) < unix.SizeofIfInfomsg {
				return nil
			}
			l := byIndex[number(body[4:])]
			for kind, value := range attributes(body[unix.SizeofIfInfomsg:]) {
				if kind == unix.IFLA_AF_SPEC && l != nil {
					l.VLANs = append(l.VLANs, parseVLANs(value)...)
				}
			}
			return nil
		})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil // no link has a bridge's answer to give
	}
	for i := range links {
		links[i].VLANs = kernel.MergeVLANs(links[i].VLANs)
	}
	return err
}

func parseVLANs(b []byte) []kernel.VLAN {
	var out []kernel.VLAN
	first := 0
	for kind, value := range attributes(b) {
		if kind != nl.IFLA_BRIDGE_VLAN_INFO || len(value) < 4 {
			continue
		}
		flags, vid := binary.NativeEndian.Uint16(value), int(binary.NativeEndian.Uint16(value[2:]))
		if flags&nl.BRIDGE_VLAN_INFO_RANGE_BEGIN != 0 {
			first = vid
			continue
		}
		if flags&nl.BRIDGE_VLAN_INFO_RANGE_END == 0 {
			first = vid
		}
		out = append(out, kernel.VLAN{
			First: first, Last: vid,
			PVID: flags&nl.BRIDGE_VLAN_INFO_PVID != 0, Untagged: flags&nl.BRIDGE_VLAN_INFO_UNTAGGED != 0,
		})
	}
	return out
}
