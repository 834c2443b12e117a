package linux

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func (h *Host) fdbReplace(o kernel.FDBReplace) error {
	return h.bridgeEntry(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, o.Netns, o.Link, o.FDBEntry)
}

func (h *Host) fdbDelete(o kernel.FDBDelete) error {
	return gone(h.bridgeEntry(unix.RTM_DELNEIGH, 0, o.Netns, o.Link, o.FDBEntry))
}

// bridgeEntry is a message about an entry of a bridge's forwarding database.
func (h *Host) bridgeEntry(kind, flags int, netns, link string, e kernel.FDBEntry) error {
	header := neighbourHeader{state: unix.NUD_NOARP, flags: unix.NTF_MASTER}
	if e.VLAN == 0 {
		return h.fdbChange(kind, flags, netns, link, e.MAC, header)
	}
	return h.fdbChange(kind, flags, netns, link, e.MAC, header, shortAttr(unix.NDA_VLAN, uint16(e.VLAN)))
}

// remoteAdd replaces what the link learnt of a single MAC address: added to that, the kernel would ignore the remote end
// (vxlan_fdb_update_existing).
func (h *Host) remoteAdd(o kernel.RemoteAdd) error {
	flags := unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	if o.Many() {
		flags = unix.NLM_F_CREATE | unix.NLM_F_APPEND
	}
	return h.vxlanEntry(unix.RTM_NEWNEIGH, flags, o.Netns, o.Link, o.VXLANRemote)
}

func (h *Host) remoteDelete(o kernel.RemoteDelete) error {
	return gone(h.vxlanEntry(unix.RTM_DELNEIGH, 0, o.Netns, o.Link, o.VXLANRemote))
}

// vxlanEntry is a message about an entry of a VXLAN's own forwarding database: vxlan_fdb_add in drivers/net/vxlan.
func (h *Host) vxlanEntry(kind, flags int, netns, link string, r kernel.VXLANRemote) error {
	remote, err := netip.ParseAddr(r.Remote)
	if err != nil {
		return err
	}
	header := neighbourHeader{state: unix.NUD_PERMANENT, flags: unix.NTF_SELF}
	return h.fdbChange(kind, flags, netns, link, r.MAC, header, nl.NewRtAttr(unix.NDA_DST, remote.AsSlice()))
}

func (h *Host) fdbChange(kind, flags int, netns, link, macAddress string, header neighbourHeader, more ...nl.NetlinkRequestData) error {
	return h.in(netns, func(c *conn) (err error) {
		if header.index, err = c.index(link); err != nil {
			return err
		}
		mac, err := net.ParseMAC(macAddress)
		if err != nil {
			return fmt.Errorf("reading MAC address %q: %w", macAddress, err)
		}
		req := nl.NewNetlinkRequest(kind, flags)
		req.AddData(&header)
		req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
		for _, data := range more {
			req.AddData(data)
		}
		return c.change(req, "neighbour "+macAddress+" of "+link)
	})
}

// neighbourHeader is a struct ndmsg of the bridge family.
type neighbourHeader struct {
	index int
	state uint16
	flags byte
}

func (*neighbourHeader) Len() int { return unix.SizeofNdMsg }
func (n *neighbourHeader) Serialize() []byte {
	b := binary.NativeEndian.AppendUint32([]byte{unix.AF_BRIDGE, 0, 0, 0}, uint32(n.index))
	return append(binary.NativeEndian.AppendUint16(b, n.state), n.flags, 0)
}

// readFDB reads the static entries of forwarding databases: those of bridges, to the ports that they lead to, and those of VXLANs. One
// dump has them all.
func readFDB(c *conn, links []link) error {
	if !slices.ContainsFunc(links, func(l link) bool { return l.Port != nil || l.Kind == "vxlan" }) {
		return nil
	}
	byIndex := linksByIndex(links)
	err := c.dump(unix.RTM_GETNEIGH, &neighbourHeader{},
		func() {
			for i := range links {
				links[i].FDB, links[i].Remotes = nil, nil
			}
		},
		func(body []byte) error {
			if len(body) >= unix.SizeofNdMsg {
				if l := byIndex[number(body[4:])]; l != nil {
					l.parseFDB(body)
				}
			}
			return nil
		})
	for i := range links {
		slices.SortFunc(links[i].FDB, func(a, b kernel.FDBEntry) int { return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN)) })
		slices.SortFunc(links[i].Remotes, func(a, b kernel.VXLANRemote) int {
			return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.Remote, b.Remote))
		})
	}
	return err
}

// parseFDB reads a struct ndmsg with its attributes.
func (l *link) parseFDB(body []byte) {
	state, flags := short(body[8:]), body[10]
	var e kernel.FDBEntry
	var remote netip.Addr
	ofBridge := false // and not of the link's own filter
	for kind, value := range attributes(body[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_LLADDR:
			e.MAC = mac(value)
		case unix.NDA_VLAN:
			e.VLAN = int(short(value))
		case unix.NDA_MASTER:
			ofBridge = true
		case unix.NDA_DST:
			remote = address(value)
		}
	}
	switch {
	case ofBridge && l.Port != nil && state&unix.NUD_NOARP != 0 && flags&unix.NTF_EXT_LEARNED == 0:
		l.FDB = append(l.FDB, e)
	case l.Kind == "vxlan" && remote.IsValid() && flags&unix.NTF_SELF != 0 && state&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0:
		r := kernel.VXLANRemote{MAC: e.MAC, Remote: remote.String()}
		if r.MAC != kernel.NoMAC || !slices.ContainsFunc(l.Params, func(p kernel.Param) bool {
			return (p.Name == "group" || p.Name == "remote") && p.Value == r.Remote // the kernel makes that one by itself
		}) {
			l.Remotes = append(l.Remotes, r)
		}
	}
}
