package linux

import (
	"bytes"
	"errors"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// link is what was read of a link, with the numbers that lead to its peer and master.
type link struct {
	kernel.Link
	peerIndex   int    // IFLA_LINK: of a veth, the index of the other end; of a VLAN and the like, of what it stands on
	lowerIndex  int    // the same in a kind's own words, where it has them: IFLA_LINK is the link itself then
	peerNetns   int    // IFLA_LINK_NETNSID: the number of the other end's namespace
	peerOutside bool   // the other end is in another namespace
	master      int    // IFLA_MASTER
	carrier     bool   // IFF_LOWER_UP
	qdisc       string // IFLA_QDISC: the kind of the root queueing discipline
}

// dying says that a veth's other end is in a namespace that the kernel is taking down: such a
// one has no number any more (rtnl_fill_link_netnsid in net/core/rtnetlink.c).
func (l link) dying() bool { return l.Kind == "veth" && l.peerOutside && l.peerNetns < 0 }

// pending says that the kernel has seen the link's carrier come or go and has not acted on it: until then it may drop
// what the link is to send, and a bridge does not forward on it (net/core/link_watch.c). For a veth that is a matter of
// microseconds; where it is not, because both ends have the same index, and for bridges, only the
// displayed state is late, by up to a second, and nothing waits.
func (l link) pending() bool {
	if l.Kind != "veth" || !l.Up || l.peerIndex == l.Index {
		return false
	}
	return l.carrier != (l.Oper == "up") || l.Oper == "unknown"
}

// skipStats leaves counters out of an answer: RTEXT_FILTER_SKIP_STATS, kernel 4.4 and later.
const skipStats = 1 << 3

// linksHeader asks for links, of AF_UNSPEC or AF_BRIDGE, with more or less of what they have: RTEXT_FILTER_….
func linksHeader(family int, filter uint32) parts {
	return parts{nl.NewIfInfomsg(family), numberAttr(unix.IFLA_EXT_MASK, filter)}
}

// readLinks reads all links of a namespace.
func readLinks(c *conn) ([]link, error) {
	var links []link
	err := c.dump(unix.RTM_GETLINK, linksHeader(unix.AF_UNSPEC, skipStats),
		func() { links = links[:0] },
		func(body []byte) error {
			if len(body) >= unix.SizeofIfInfomsg {
				links = append(links, parseLink(body))
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	byIndex := linksByIndex(links)
	for i := range links {
		links[i].Master = linkName(byIndex, links[i].master)
	}
	return links, nil
}

// linkIn reads a link of the namespace that has a number here (IFLA_TARGET_NETNSID, kernel 4.16 and later). An older kernel takes it for
// one of the socket's own namespace. ENODEV where there is none, also where no namespace has that number any more.
func (c *conn) linkIn(netns, index int) (link, error) {
	l, err := c.link(index, numberAttr(unix.IFLA_TARGET_NETNSID, uint32(netns)))
	if errors.Is(err, unix.EINVAL) { // rtnl_get_net_ns_capable
		err = unix.ENODEV
	}
	return l, err
}

// link reads one, of the socket's namespace unless where says another.
func (c *conn) link(index int, where ...nl.NetlinkRequestData) (l link, err error) {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	req.AddData(header)
	req.AddData(numberAttr(unix.IFLA_EXT_MASK, skipStats))
	for _, w := range where {
		req.AddData(w)
	}
	err = c.ask(req, func(body []byte) error {
		if len(body) >= unix.SizeofIfInfomsg {
			l = parseLink(body)
		}
		return nil
	})
	return l, err
}

func linksByIndex(links []link) map[int]*link {
	m := make(map[int]*link, len(links))
	for i := range links {
		m[links[i].Index] = &links[i]
	}
	return m
}

// operStates are the names of IF_OPER_… (RFC 2863), as ip(8) prints them, in lower case.
var operStates = []string{"unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"}

// parseLink reads a struct ifinfomsg with its attributes.
func parseLink(body []byte) link {
	flags := number(body[8:])
	l := link{Link: kernel.Link{Index: number(body[4:]), Up: flags&unix.IFF_UP != 0}, carrier: flags&unix.IFF_LOWER_UP != 0}
	for kind, value := range attributes(body[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = text(value)
		case unix.IFLA_MTU:
			l.MTU = number(value)
		case unix.IFLA_ADDRESS:
			l.MAC = mac(value)
		case unix.IFLA_OPERSTATE:
			if len(value) == 1 && int(value[0]) < len(operStates) {
				l.Oper = operStates[value[0]]
			}
		case unix.IFLA_GROUP:
			l.Group = unsigned(value)
		case unix.IFLA_IFALIAS:
			l.Alias = text(value)
		case unix.IFLA_MASTER:
			l.master = number(value)
		case unix.IFLA_LINK:
			l.peerIndex = number(value)
		case unix.IFLA_LINK_NETNSID:
			l.peerOutside, l.peerNetns = true, signed(value)
		case unix.IFLA_QDISC:
			l.qdisc = text(value)
		case unix.IFLA_LINKINFO:
			parseLinkInfo(value, &l)
		case unix.IFLA_AF_SPEC:
			l.AcceptRA = parseAcceptRA(value)
		}
	}
	if flags&unix.IFF_LOOPBACK != 0 {
		l.Kind = "loopback"
	}
	return l
}

// parseLinkInfo reads what the kinds of a link and of its master say about it.
func parseLinkInfo(b []byte, l *link) {
	var data, port []byte
	portKind := ""
	for kind, value := range attributes(b) {
		switch kind {
		case nl.IFLA_INFO_KIND:
			l.Kind = text(value)
		case nl.IFLA_INFO_DATA:
			data = value
		case nl.IFLA_INFO_SLAVE_KIND:
			portKind = text(value)
		case nl.IFLA_INFO_SLAVE_DATA:
			port = value
		}
	}
	if l.Kind == "bridge" {
		l.Bridge = parseBridge(data)
	}
	parseKind(l, data)
	if portKind == "bridge" {
		l.Port = parsePort(port)
	}
}

func parseBridge(b []byte) *kernel.BridgeAttrs {
	a := kernel.BridgeAttrs{McastSnooping: true}
	var root, self []byte
	for kind, value := range attributes(b) {
		switch kind {
		case nl.IFLA_BR_FORWARD_DELAY:
			a.ForwardDelay = time.Duration(unsigned(value)) * tick
		case nl.IFLA_BR_HELLO_TIME:
			a.HelloTime = time.Duration(unsigned(value)) * tick
		case nl.IFLA_BR_MAX_AGE:
			a.MaxAge = time.Duration(unsigned(value)) * tick
		case nl.IFLA_BR_AGEING_TIME:
			a.AgeingTime = time.Duration(unsigned(value)) * tick
		case nl.IFLA_BR_STP_STATE:
			a.STP = unsigned(value) != 0
		case nl.IFLA_BR_PRIORITY:
			a.Priority = int(short(value))
		case nl.IFLA_BR_VLAN_FILTERING:
			a.VLANFiltering = truth(value)
		case nl.IFLA_BR_VLAN_DEFAULT_PVID:
			a.DefaultPVID = int(short(value))
		case nl.IFLA_BR_MCAST_SNOOPING:
			a.McastSnooping = truth(value)
		case nl.IFLA_BR_ROOT_ID:
			root = value
		case nl.IFLA_BR_BRIDGE_ID:
			self = value
		case nl.IFLA_BR_TOPOLOGY_CHANGE:
			a.Changing = truth(value)
		}
	}
	a.Follows = !bytes.Equal(root, self)
	return &a
}

// portStates are the names of BR_STATE_… (if_bridge.h), as bridge(8) prints them.
var portStates = []string{"disabled", "listening", "learning", "forwarding", "blocking"}

func parsePort(b []byte) *kernel.PortAttrs {
	a := kernel.DefaultPort // what an older kernel does not have and say
	for kind, value := range attributes(b) {
		switch kind {
		case nl.IFLA_BRPORT_STATE:
			if len(value) == 1 && int(value[0]) < len(portStates) {
				a.State = portStates[value[0]]
			}
		case nl.IFLA_BRPORT_ISOLATED:
			a.Isolated = truth(value)
		case nl.IFLA_BRPORT_MODE:
			a.Hairpin = truth(value)
		case nl.IFLA_BRPORT_LEARNING:
			a.Learning = truth(value)
		case nl.IFLA_BRPORT_UNICAST_FLOOD:
			a.Flood = truth(value)
		case nl.IFLA_BRPORT_MCAST_FLOOD:
			a.McastFlood = truth(value)
		case nl.IFLA_BRPORT_BCAST_FLOOD:
			a.BcastFlood = truth(value)
		case nl.IFLA_BRPORT_COST:
			a.Cost = number(value)
		case nl.IFLA_BRPORT_PRIORITY:
			a.Priority = int(short(value))
		}
	}
	return &a
}
