package linux

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// linkAdd makes a link, marked at once but for its alias, which RTM_NEWLINK ignores on creation; that, and the state, follow in one
// message. In the host's namespace a group alone doesn't say whose a link is, and most kinds have no MAC address that would: there it
// has a name of topo's own ([draftName]) until that message gives it the right one, too.
func (h *Host) linkAdd(o kernel.LinkAdd) error {
	kind, ok := linkKinds[o.Kind]
	if !ok {
		return fmt.Errorf("kind %q: %w", o.Kind, unix.EINVAL)
	}
	var err error
	switch {
	case o.Kind == "tun":
		err = h.tunAdd(o)
	case o.Alias != "":
		return lacking(h.addByDraft(o, kind), o.Kind, "CONFIG_"+kind.option)
	default:
		err = h.in(birthplace(o), func(c *conn) error { return h.createLink(c, o, kind) })
	}
	if err != nil {
		return lacking(err, o.Kind, "CONFIG_"+kind.option)
	}
	return h.in(o.Netns, func(c *conn) error {
		return finishEnd(c, kernel.VethEnd{Name: o.Name, Master: o.Master, Alias: o.Alias, Up: o.Up})
	})
}

// draftName is a name for a link that has not got its own yet, another one each time. It looks like those that topo derives for the
// host's ends of veths, by which the planner knows whose it is.
func draftName() string { return fmt.Sprintf("veth%010x", rand.Uint64N(1<<40)) }

// addByDraft makes a link under another name, and then gives it its name, its alias, its bridge and its state at once.
func (h *Host) addByDraft(o kernel.LinkAdd, kind linkKind) error {
	err := h.in(o.Netns, func(c *conn) error {
		if _, err := c.index(o.Name); err == nil {
			return unix.EEXIST // not what the kernel says of a second tunnel with the same ends
		}
		return nil
	})
	if err != nil {
		return err
	}
	made := o
	made.Name = draftName()
	if err := h.in(birthplace(o), func(c *conn) error { return h.createLink(c, made, kind) }); err != nil {
		return err
	}
	err = h.in(o.Netns, func(c *conn) error {
		index, err := c.index(made.Name)
		if err != nil {
			return err
		}
		header := upHeader(o.Up)
		header.Index = int32(index)
		return c.finish(header, kernel.VethEnd{Name: o.Name, Master: o.Master, Alias: o.Alias})
	})
	if err != nil {
		return errors.Join(err, h.linkDelete(kernel.LinkDelete{Netns: o.Netns, Name: made.Name}))
	}
	return nil
}

// birthplace is the namespace in which a link is made: that of what it stands on.
func birthplace(o kernel.LinkAdd) string {
	if o.Parent.Name != "" {
		return o.Parent.Netns
	}
	return o.Netns
}

func (h *Host) createLink(c *conn, o kernel.LinkAdd, kind linkKind) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	if err := linkAttributes(req, o.Name, o.MAC, o.MTU, o.Group); err != nil {
		return err
	}
	info, data := linkInfo(o.Kind)
	if o.Parent.Name != "" {
		index, err := c.index(o.Parent.Name)
		if err != nil {
			return err
		}
		if kind.parent == 0 {
			req.AddData(numberAttr(unix.IFLA_LINK, uint32(index)))
		} else {
			data.AddData(numberAttr(kind.parent, uint32(index)))
		}
	}
	if err := putParams(data, o.Kind, o.Params); err != nil {
		return err
	}
	if birthplace(o) != o.Netns {
		h.memory.change(o.Netns)
		fd, done, err := h.descriptor(o.Netns)
		if err != nil {
			return err
		}
		defer done() //nolint:errcheck // it was only read
		req.AddData(numberAttr(unix.IFLA_NET_NS_FD, uint32(fd)))
	}
	req.AddData(info)
	return c.change(req, "RTM_NEWLINK "+o.Kind+" "+o.Name)
}

func (h *Host) linkParams(o kernel.LinkParams) error {
	info, data := linkInfo(o.Kind)
	if err := putParams(data, o.Kind, o.Params); err != nil {
		return err
	}
	return h.linkChange(unix.RTM_NEWLINK, unix.AF_UNSPEC, o.Netns, o.Name, o.Kind, info)
}

// tunAdd makes a persistent tap or tun device (Documentation/networking/tuntap.rst). It is named and marked while it is still
// this process's alone, and goes with it: only then is it made to stay.
func (h *Host) tunAdd(o kernel.LinkAdd) error {
	ns, done, err := h.descriptor(o.Netns)
	if err != nil {
		return err
	}
	defer done() //nolint:errcheck // it was only read
	return h.onThread(ns, func() error {
		f, err := os.OpenFile("/dev/net/tun", os.O_RDWR|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
			return fmt.Errorf("%w (%w)", err, unix.EOPNOTSUPP)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		req, err := unix.NewIfreq(o.Name)
		if err != nil {
			return err
		}
		flags := uint16(unix.IFF_TUN)
		for _, p := range o.Params {
			if p == (kernel.Param{Name: "mode", Value: "tap"}) {
				flags = unix.IFF_TAP
			}
		}
		req.SetUint16(flags | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
		fd := int(f.Fd())
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); errors.Is(err, unix.EBUSY) {
			return unix.EEXIST // IFF_TUN_EXCL says it so
		} else if err != nil {
			return err
		}
		set := kernel.LinkSet{Netns: o.Netns, Name: o.Name, Group: &o.Group}
		if o.MAC != "" {
			set.MAC = &o.MAC
		}
		if o.MTU != 0 {
			set.MTU = &o.MTU
		}
		if o.Alias != "" {
			set.Alias = &o.Alias
		}
		if err := h.linkSet(set); err != nil {
			return err
		}
		return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	})
}

func (h *Host) enslave(o kernel.Enslave) error {
	up := false
	if o.Down {
		err := h.in(o.Netns, func(c *conn) (err error) {
			up, err = c.up(o.Name)
			return err
		})
		if err != nil {
			return err
		}
	}
	if up {
		if err := h.linkSet(kernel.LinkSet{Netns: o.Netns, Name: o.Name, Up: new(bool)}); err != nil {
			return err
		}
	}
	err := h.linkSet(kernel.LinkSet{Netns: o.Netns, Name: o.Name, Master: &o.Master})
	if up && (err != nil || o.Master == "") { // a bond sets up what it takes (bond_enslave in drivers/net/bonding)
		// In a message of its own: the kernel looks at the state before the master.
		err = errors.Join(err, h.linkSet(kernel.LinkSet{Netns: o.Netns, Name: o.Name, Up: &up}))
	}
	return err
}
