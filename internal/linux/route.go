package linux

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func (h *Host) routeReplace(o kernel.RouteReplace) error {
	return h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
		header := nl.NewRtMsg()
		header.Protocol = kernel.Protocol
		header.Type = unix.RTN_UNICAST
		header.Scope = unix.RT_SCOPE_UNIVERSE
		if !o.Via.IsValid() && o.Dst.Addr().Is4() {
			header.Scope = unix.RT_SCOPE_LINK
		}
		if err := addRoute(c, req, header, kernel.RouteDelete(o)); err != nil {
			return err
		}
		return c.change(req, fmt.Sprintf("RTM_NEWROUTE %s via %s dev %s", o.Dst, o.Via, o.Link))
	})
}

func (h *Host) routeDelete(o kernel.RouteDelete) error {
	return gone(h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_DELROUTE, 0)
		header := nl.NewRtDelMsg()
		header.Scope = unix.RT_SCOPE_NOWHERE // any, for deleting
		if err := addRoute(c, req, header, o); err != nil {
			return err
		}
		return c.change(req, fmt.Sprintf("RTM_DELROUTE %s via %s dev %s", o.Dst, o.Via, o.Link))
	}))
}

// addRoute puts the key of a route in a message.
func addRoute(c *conn, req *nl.NetlinkRequest, header *nl.RtMsg, o kernel.RouteDelete) error {
	dst := o.Dst.Addr()
	header.Family = uint8(familyNumber(dst))
	header.Dst_len = uint8(o.Dst.Bits())
	header.Table = unix.RT_TABLE_UNSPEC // RTA_TABLE holds numbers over 255, too
	req.AddData(header)
	table := o.Table
	if table == 0 {
		table = kernel.TableMain
	}
	req.AddData(numberAttr(unix.RTA_TABLE, uint32(table)))
	if o.Dst.Bits() > 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_DST, dst.AsSlice()))
	}
	switch {
	case !o.Via.IsValid():
	case o.Via.Is4() == dst.Is4():
		req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, o.Via.AsSlice()))
	default: // RFC 5549: an IPv4 route by way of an IPv6 neighbour
		req.AddData(nl.NewRtAttr(unix.RTA_VIA, viaBytes(o.Via)))
	}
	if o.Metric != 0 {
		req.AddData(numberAttr(unix.RTA_PRIORITY, uint32(o.Metric)))
	}
	if o.Link != "" {
		index, err := c.index(o.Link)
		if err != nil {
			return err
		}
		req.AddData(numberAttr(unix.RTA_OIF, uint32(index)))
	}
	return nil
}

// readRoutes reads the routes of a namespace, all tables but local (255): what is in that
// follows from the addresses.
func readRoutes(c *conn, links []link) ([]kernel.Route, error) {
	byIndex := linksByIndex(links)
	var routes []kernel.Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := nl.NewRtMsg()
		header.Family = family
		header.Table, header.Protocol, header.Scope, header.Type = 0, 0, 0, 0
		kept := len(routes)
		err := c.dump(unix.RTM_GETROUTE, header,
			func() { routes = routes[:kept] },
			func(body []byte) error {
				routes = append(routes, parseRoute(body, byIndex)...)
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return routes, nil
}

// parseRoute reads a struct rtmsg with its attributes. A multipath route gives one Route for each way.
func parseRoute(body []byte, links map[int]*link) []kernel.Route {
	if len(body) < unix.SizeofRtMsg || number(body[8:])&unix.RTM_F_CLONED != 0 {
		return nil
	}
	family := body[0]
	r := kernel.Route{Table: int(body[4]), Protocol: int(body[5]), Type: routeTypes[body[7]]}
	dst := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	bits := int(body[1])
	var ways []byte
	for kind, value := range attributes(body[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst = address(value)
		case unix.RTA_TABLE:
			r.Table = number(value)
		case unix.RTA_PRIORITY:
			r.Metric = number(value)
		case unix.RTA_GATEWAY:
			r.Via = address(value)
		case unix.RTA_VIA:
			r.Via = viaAddress(value)
		case unix.RTA_OIF:
			r.Link = linkName(links, number(value))
		case unix.RTA_MULTIPATH:
			ways = value
		}
	}
	if r.Table == unix.RT_TABLE_LOCAL {
		return nil
	}
	r.Dst = netip.PrefixFrom(dst, bits).Masked()
	if ways == nil {
		return []kernel.Route{r}
	}
	return multipath(r, ways, links)
}

// multipath splits a route by its ways: struct rtnexthop with attributes, one after the other (rtnetlink(7)).
func multipath(r kernel.Route, ways []byte, links map[int]*link) []kernel.Route {
	var routes []kernel.Route
	for len(ways) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(ways))
		if size < unix.SizeofRtNexthop || size > len(ways) {
			break
		}
		way := r
		way.Link = linkName(links, number(ways[4:]))
		for kind, value := range attributes(ways[unix.SizeofRtNexthop:size]) {
			switch kind {
			case unix.RTA_GATEWAY:
				way.Via = address(value)
			case unix.RTA_VIA:
				way.Via = viaAddress(value)
			}
		}
		routes = append(routes, way)
		ways = ways[min(align(size), len(ways)):]
	}
	return routes
}

func linkName(links map[int]*link, index int) string {
	if l := links[index]; l != nil {
		return l.Name
	}
	return ""
}

// routeTypes are the names of ip-route(8) for RTN_… (rtnetlink(7)).
var routeTypes = map[byte]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast",
	unix.RTN_MULTICAST: "multicast", unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable",
	unix.RTN_PROHIBIT: "prohibit", unix.RTN_THROW: "throw", unix.RTN_NAT: "nat",
}

// RTA_VIA is a struct rtvia: the family in two bytes, then the address.
func viaBytes(a netip.Addr) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, uint16(familyNumber(a))), a.AsSlice()...)
}

func viaAddress(b []byte) netip.Addr { return address(after(b, 2)) }
