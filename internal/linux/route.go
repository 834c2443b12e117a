package linux

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func (h *Host) routeReplace(o kernel.RouteReplace) error {
	return h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
		header := nl.NewRtMsg()
		header.Protocol = kernel.Protocol
		header.Type = routeType(o.Type)
		header.Scope = unix.RT_SCOPE_UNIVERSE
		if header.Type == unix.RTN_UNICAST && !o.Via.IsValid() && len(o.Ways) == 0 && o.Dst.Addr().Is4() {
			header.Scope = unix.RT_SCOPE_LINK
		}
		if o.OnLink {
			header.Flags |= unix.RTNH_F_ONLINK
		}
		if err := addRoute(c, req, header, o.Delete()); err != nil {
			return err
		}
		if err := addRouteMore(c, req, o); err != nil {
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

// metric6 is what the kernel makes of no metric of an IPv6 route (IP6_RT_PRIO_USER). Deleting without one would take any.
const metric6 = 1024

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
	if o.Via.IsValid() {
		req.AddData(gatewayAttr(o.Via, dst))
	}
	metric := o.Metric
	if metric == 0 && dst.Is6() {
		metric = metric6
	}
	if metric != 0 {
		req.AddData(numberAttr(unix.RTA_PRIORITY, uint32(metric)))
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

// addRouteMore puts what few routes have in a message.
func addRouteMore(c *conn, req *nl.NetlinkRequest, o kernel.RouteReplace) error {
	if o.Src.IsValid() {
		req.AddData(nl.NewRtAttr(unix.RTA_PREFSRC, o.Src.AsSlice()))
	}
	if o.MTU != 0 {
		metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
		metrics.AddChild(numberAttr(unix.RTAX_MTU, uint32(o.MTU)))
		req.AddData(metrics)
	}
	var ways []byte
	for _, w := range o.Ways {
		index, err := c.index(w.Link)
		if err != nil {
			return err
		}
		var hop []byte
		if w.Via.IsValid() {
			hop = gatewayAttr(w.Via, o.Dst.Addr()).Serialize()
		}
		ways = append(ways, wayBytes(w, index, hop)...)
	}
	if ways != nil {
		req.AddData(nl.NewRtAttr(unix.RTA_MULTIPATH, ways))
	}
	return nil
}

// wayBytes is a struct rtnexthop with its attributes: length, flags, weight less one, the link's index (rtnetlink(7)).
func wayBytes(w kernel.Way, index int, attributes []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtNexthop+len(attributes)))
	flags := byte(0)
	if w.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	b = append(b, flags, byte(w.Weight-1))
	return append(binary.NativeEndian.AppendUint32(b, uint32(index)), attributes...)
}

// gatewayAttr is a next hop. That of an IPv4 route may be an IPv6 neighbour (RFC 5549).
func gatewayAttr(via, dst netip.Addr) *nl.RtAttr {
	if via.Is4() == dst.Is4() {
		return nl.NewRtAttr(unix.RTA_GATEWAY, via.AsSlice())
	}
	return nl.NewRtAttr(unix.RTA_VIA, viaBytes(via))
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
				if r, ok := parseRoute(body, byIndex); ok {
					routes = append(routes, r)
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return routes, nil
}

// parseRoute reads a struct rtmsg with its attributes.
func parseRoute(body []byte, links map[int]*link) (r kernel.Route, ok bool) {
	if len(body) < unix.SizeofRtMsg || number(body[8:])&unix.RTM_F_CLONED != 0 {
		return r, false
	}
	family := body[0]
	r = kernel.Route{Table: int(body[4]), Protocol: int(body[5]), Type: routeTypes[body[7]]}
	r.OnLink = number(body[8:])&unix.RTNH_F_ONLINK != 0
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
		case unix.RTA_PREFSRC:
			r.Src = address(value)
		case unix.RTA_METRICS:
			for metric, n := range attributes(value) {
				if metric == unix.RTAX_MTU {
					r.MTU = number(n)
				}
			}
		case unix.RTA_MULTIPATH:
			ways = value
		}
	}
	if r.Table == unix.RT_TABLE_LOCAL {
		return r, false
	}
	if slices.Contains(kernel.RejectTypes, r.Type) {
		r.Link = "" // an IPv6 one says lo
	}
	r.Dst = netip.PrefixFrom(dst, bits).Masked()
	r.Ways = parseWays(ways, links)
	return r, true
}

// parseWays reads next hops.
func parseWays(b []byte, links map[int]*link) []kernel.Way {
	var ways []kernel.Way
	for hop := range nexthops(b) {
		way := kernel.Way{Link: linkName(links, number(hop[4:])), Weight: int(hop[3]) + 1, OnLink: hop[2]&unix.RTNH_F_ONLINK != 0}
		for kind, value := range attributes(hop[unix.SizeofRtNexthop:]) {
			switch kind {
			case unix.RTA_GATEWAY:
				way.Via = address(value)
			case unix.RTA_VIA:
				way.Via = viaAddress(value)
			}
		}
		ways = append(ways, way)
	}
	kernel.SortWays(ways)
	return ways
}

// nexthops are those of a route that has several: each a struct rtnexthop with attributes, one after the other (rtnetlink(7)).
func nexthops(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) >= unix.SizeofRtNexthop {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtNexthop || size > len(b) || !yield(b[:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
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

// routeType is the number of a type's name; "" is unicast.
func routeType(name string) uint8 {
	for number, word := range routeTypes {
		if word == name {
			return number
		}
	}
	return unix.RTN_UNICAST
}

// RTA_VIA is a struct rtvia: the family in two bytes, then the address.
func viaBytes(a netip.Addr) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, uint16(familyNumber(a))), a.AsSlice()...)
}

func viaAddress(b []byte) netip.Addr { return address(after(b, 2)) }
