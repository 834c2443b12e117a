package linux

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// index looks up a link.
func (c *conn) index(name string) (int, error) {
	req, err := c.ifreq(name, unix.SIOCGIFINDEX)
	if err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

// up looks up whether a link is up.
func (c *conn) up(name string) (bool, error) {
	req, err := c.ifreq(name, unix.SIOCGIFFLAGS)
	if err != nil {
		return false, err
	}
	return req.Uint16()&unix.IFF_UP != 0, nil
}

// ifreq asks for one thing of a link. The request (netdevice(7)) is one that netlink sockets take since kernel 4.8; it costs a
// twentieth of an RTM_GETLINK, whose answer has everything about the link.
func (c *conn) ifreq(name string, what uint) (*unix.Ifreq, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("finding link %s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, fmt.Errorf("finding link %s: %w", name, unix.ENOENT)
	}
	if err := unix.IoctlIfreq(c.fd, what, req); err != nil {
		return nil, fmt.Errorf("finding link %s: %w", name, err)
	}
	return req, nil
}

// linkAttributes adds what a link is created with. Zero values are left out.
func linkAttributes(req adder, name, macAddress string, mtu int, group uint32) error {
	req.AddData(textAttr(unix.IFLA_IFNAME, name))
	if macAddress != "" {
		a, err := hardwareAddress(macAddress)
		if err != nil {
			return err
		}
		req.AddData(a)
	}
	if mtu != 0 {
		req.AddData(numberAttr(unix.IFLA_MTU, uint32(mtu)))
	}
	if group != 0 {
		req.AddData(numberAttr(unix.IFLA_GROUP, group))
	}
	return nil
}

// linkInfo is the attribute that says of what kind a link is, with that of what is the kind's own.
func linkInfo(kind string) (info *nl.RtAttr, data nested) {
	info = nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddChild(nl.NewRtAttr(nl.IFLA_INFO_KIND, []byte(kind)))
	return info, nested{info.AddRtAttr(nl.IFLA_INFO_DATA, nil)}
}

// linkChange sends one attribute of a link, by RTM_NEWLINK, RTM_SETLINK or RTM_DELLINK of a family.
func (h *Host) linkChange(kind, family int, netns, link, what string, attribute *nl.RtAttr) error {
	return h.in(netns, func(c *conn) error {
		index, err := c.index(link)
		if err != nil {
			return err
		}
		header := nl.NewIfInfomsg(family)
		header.Index = int32(index)
		req := nl.NewNetlinkRequest(kind, 0)
		req.AddData(header)
		req.AddData(attribute)
		return c.change(req, "link "+link+" "+what)
	})
}

// adder is a message or a nested attribute.
type adder interface{ AddData(nl.NetlinkRequestData) }

func hardwareAddress(s string) (*nl.RtAttr, error) {
	a, err := net.ParseMAC(s)
	if err != nil {
		return nil, fmt.Errorf("reading MAC address %q: %w", s, err)
	}
	return nl.NewRtAttr(unix.IFLA_ADDRESS, a), nil
}

func (h *Host) linkSet(o kernel.LinkSet) error {
	return h.in(o.Netns, func(c *conn) error {
		header := nl.NewIfInfomsg(unix.AF_UNSPEC)
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
		req.AddData(header)
		var changed []string
		add := func(what string, data nl.NetlinkRequestData) {
			changed = append(changed, what)
			req.AddData(data)
		}
		req.AddData(textAttr(unix.IFLA_IFNAME, o.Name))
		if o.MTU != nil {
			add("mtu", numberAttr(unix.IFLA_MTU, uint32(*o.MTU)))
		}
		if o.MAC != nil {
			a, err := hardwareAddress(*o.MAC)
			if err != nil {
				return err
			}
			add("address", a)
		}
		if o.Master != nil {
			master, err := c.master(*o.Master)
			if err != nil {
				return err
			}
			add("master", master)
		}
		if o.Group != nil {
			add("group", numberAttr(unix.IFLA_GROUP, *o.Group))
		}
		if o.Alias != nil {
			add("alias", alias(*o.Alias))
		}
		if o.Up != nil {
			changed = append(changed, "up")
			header.Change = unix.IFF_UP
			if *o.Up {
				header.Flags = unix.IFF_UP
			}
		}
		return c.change(req, "RTM_SETLINK "+o.Name+" "+strings.Join(changed, ","))
	})
}

// master is the attribute that makes a link a port of a bridge, or of none.
func (c *conn) master(bridge string) (*nl.RtAttr, error) {
	if bridge == "" {
		return numberAttr(unix.IFLA_MASTER, 0), nil
	}
	index, err := c.index(bridge)
	if err != nil {
		return nil, err
	}
	return numberAttr(unix.IFLA_MASTER, uint32(index)), nil
}

// alias is the attribute of a link's alias, at most 255 bytes, without a zero at the end. "" removes the alias.
func alias(s string) *nl.RtAttr { return nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(s)) }

func (h *Host) linkDelete(o kernel.LinkDelete) error {
	return gone(h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_DELLINK, 0)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(textAttr(unix.IFLA_IFNAME, o.Name))
		return c.change(req, "RTM_DELLINK "+o.Name)
	}))
}

// groupDelete first looks who is in the group: the kernel deletes them all, the names are only ours.
func (h *Host) groupDelete(o kernel.GroupDelete) error {
	if o.Group == 0 {
		return fmt.Errorf("group 0 is that of all links: %w", unix.EINVAL)
	}
	links, err := readLinks(h.conn)
	if err != nil {
		return err
	}
	var members, strangers []string
	for _, l := range links {
		if l.Group != o.Group {
			continue
		}
		members = append(members, l.Name)
		if !slices.Contains(o.Names, l.Name) {
			strangers = append(strangers, l.Name)
		}
	}
	if len(strangers) > 0 {
		return fmt.Errorf("%s joined the group meanwhile: %w", strings.Join(strangers, ", "), unix.EBUSY)
	}
	if len(members) == 0 {
		return nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(numberAttr(unix.IFLA_GROUP, o.Group))
	return gone(h.conn.change(req, fmt.Sprintf("RTM_DELLINK group %d", o.Group)))
}
