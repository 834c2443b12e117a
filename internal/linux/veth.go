package linux

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// vethPeer is the attribute of a veth's data with the other end (VETH_INFO_PEER).
const vethPeer = 1

// vethAdd makes both ends in their namespaces by one message: name, MAC, MTU, group and namespace of both, master
// and flag of the near one. The kernel ignores an alias there and the far end's master, and refuses to set
// the far end up (veth_open wants a peer, which it has only a moment later). These follow, in one message an end.
func (h *Host) vethAdd(o kernel.VethAdd) error {
	near, far := o.A, o.B
	if near.Master == "" && far.Master != "" {
		near, far = far, near
	}
	return h.in(near.Netns, func(c *conn) error {
		if err := h.createVeth(c, near, far); err != nil {
			return lacking(err, "veth", "CONFIG_VETH")
		}
		near.Up, near.Master = false, "" // done
		if err := finishEnd(c, near); err != nil {
			return err
		}
		return h.in(far.Netns, func(c *conn) error { return finishEnd(c, far) })
	})
}

func (h *Host) createVeth(c *conn, near, far kernel.VethEnd) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	req.AddData(upHeader(near.Up))
	if err := linkAttributes(req, near.Name, near.MAC, near.MTU, near.Group); err != nil {
		return err
	}
	if near.Master != "" {
		master, err := c.master(near.Master)
		if err != nil {
			return err
		}
		req.AddData(master)
	}

	peer := nested{nl.NewRtAttr(vethPeer, nil)}
	peer.AddData(upHeader(false))
	if err := linkAttributes(peer, far.Name, far.MAC, far.MTU, far.Group); err != nil {
		return err
	}
	if far.Netns != near.Netns {
		h.memory.change(far.Netns)
		fd, done, err := h.descriptor(far.Netns)
		if err != nil {
			return err
		}
		defer done() //nolint:errcheck // it was only read
		peer.AddData(numberAttr(unix.IFLA_NET_NS_FD, uint32(fd)))
	}

	info, data := linkInfo("veth")
	data.AddChild(peer.RtAttr)
	req.AddData(info)
	return c.change(req, fmt.Sprintf("RTM_NEWLINK veth %s and %s", near.Name, far.Name))
}

// finishEnd writes the alias of a new link, sets its master and sets it up.
func finishEnd(c *conn, e kernel.VethEnd) error {
	if e.Alias == "" && e.Master == "" && !e.Up {
		return nil
	}
	return c.finish(upHeader(e.Up), e)
}

// finish does that by one message. A link that the header has the index of is given e's name, too.
func (c *conn) finish(header *nl.IfInfomsg, e kernel.VethEnd) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
	req.AddData(header)
	req.AddData(textAttr(unix.IFLA_IFNAME, e.Name))
	if e.Alias != "" {
		req.AddData(alias(e.Alias))
	}
	if e.Master != "" {
		master, err := c.master(e.Master)
		if err != nil {
			return err
		}
		req.AddData(master)
	}
	if err := c.change(req, "RTM_SETLINK "+e.Name+" alias"); err != nil {
		return fmt.Errorf("marking %s: %w", e.Name, err)
	}
	return nil
}

// descriptor is an open file of a namespace; done closes it.
func (h *Host) descriptor(netns string) (fd int, done func() error, err error) {
	if netns == "" {
		return h.netns, func() error { return nil }, nil
	}
	if _, err := identify(netns); err != nil {
		return 0, nil, err
	}
	if fd, err = openNamespace(netns); err != nil {
		return 0, nil, err
	}
	return fd, func() error { return unix.Close(fd) }, nil
}

func upHeader(up bool) *nl.IfInfomsg {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	if up {
		header.Flags, header.Change = unix.IFF_UP, unix.IFF_UP
	}
	return header
}

// nested is an attribute that attributes can be added to like to a message.
type nested struct{ *nl.RtAttr }

func (n nested) AddData(d nl.NetlinkRequestData) { n.AddChild(d) }
