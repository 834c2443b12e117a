package linux

import (
	"cmp"
	"encoding/binary"
	"net"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func (h *Host) fdbReplace(o kernel.FDBReplace) error {
	return h.fdbChange(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, o.Netns, o.Link, o.FDBEntry)
}

func (h *Host) fdbDelete(o kernel.FDBDelete) error {
	return gone(h.fdbChange(unix.RTM_DELNEIGH, 0, o.Netns, o.Link, o.FDBEntry))
}

func (h *Host) fdbChange(kind, flags int, netns, link string, e kernel.FDBEntry) error {
	return h.in(netns, func(c *conn) error {
		index, err := c.index(link)
		if err != nil {
			return err
		}
		mac, err := net.ParseMAC(e.MAC)
		if err != nil {
			return unix.EINVAL
		}
		req := nl.NewNetlinkRequest(kind, flags)
		req.AddData(&neighbourHeader{index: index, state: unix.NUD_NOARP, flags: unix.NTF_MASTER})
		req.AddData(nl.NewRtAttr(unix.NDA_LLADDR, mac))
		if e.VLAN != 0 {
			req.AddData(shortAttr(unix.NDA_VLAN, uint16(e.VLAN)))
		}
		return c.change(req, "neighbour "+e.MAC+" of "+link)
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

// readFDB reads the static entries of the bridges' forwarding databases, to the ports that they lead to.
func readFDB(c *conn, links []link) error {
	if !slices.ContainsFunc(links, func(l link) bool { return l.Port != nil }) {
		return nil
	}
	byIndex := linksByIndex(links)
	err := c.dump(unix.RTM_GETNEIGH, &neighbourHeader{},
		func() {
			for i := range links {
				links[i].FDB = nil
			}
		},
		func(body []byte) error {
			if len(body) < unix.SizeofNdMsg {
				return nil
			}
			l := byIndex[number(body[4:])]
			if l == nil || l.Port == nil || short(body[8:])&unix.NUD_NOARP == 0 || body[10]&unix.NTF_EXT_LEARNED != 0 {
				return nil
			}
			var e kernel.FDBEntry
			ofBridge := false // and not of the link's own filter
			for kind, value := range attributes(body[unix.SizeofNdMsg:]) {
				switch kind {
				case unix.NDA_LLADDR:
					e.MAC = mac(value)
				case unix.NDA_VLAN:
					e.VLAN = int(short(value))
				case unix.NDA_MASTER:
					ofBridge = true
				}
			}
			if ofBridge {
				l.FDB = append(l.FDB, e)
			}
			return nil
		})
	for i := range links {
		slices.SortFunc(links[i].FDB, func(a, b kernel.FDBEntry) int { return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.VLAN, b.VLAN)) })
	}
	return err
}
