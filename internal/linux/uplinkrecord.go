package linux

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// cardRecord is what a card had before it became a bridge's port, or a node's. Addresses, routes and neighbours are kept in the
// kernel's own words, the bodies of its messages, so that what comes back is the same in all that it can say; index 0 stands for the card.
type cardRecord struct {
	Project, Card                 string
	Up                            bool
	Addresses, Routes, Neighbours [][]byte
}

// uplinkRecord is what a card had that is a bridge's port.
type uplinkRecord struct {
	cardRecord
	Bridge string
}

func uplinkFile(card string) string { return filepath.Join(recordsDir, "uplinks", card+".json") }

func findUplink(card string) (r uplinkRecord, ok bool, err error) {
	return r, ok, readJSON(uplinkFile(card), &r, &ok)
}

func (r uplinkRecord) write() error { return writeJSON(uplinkFile(r.Card), r) }
func (r uplinkRecord) drop() error  { return removeRecord(uplinkFile(r.Card)) }

// readUplinks reads the records of all cards, as far as others may know.
func readUplinks() ([]kernel.Uplink, error) {
	records, err := readAll[uplinkRecord](uplinkFile("*"))
	var uplinks []kernel.Uplink
	for _, r := range records {
		uplinks = append(uplinks, r.facts())
	}
	slices.SortFunc(uplinks, func(a, b kernel.Uplink) int { return cmp.Compare(a.Card, b.Card) })
	return uplinks, err
}

func (r uplinkRecord) facts() kernel.Uplink {
	u := kernel.Uplink{Project: r.Project, Card: r.Card, Bridge: r.Bridge}
	bridge := map[int]*link{0: {Link: kernel.Link{Name: r.Bridge}}}
	for _, body := range r.Addresses {
		if a, ok := parseAddr(body, bridge); ok && !a.Dynamic {
			u.Addrs = append(u.Addrs, a.Prefix)
		}
	}
	for _, body := range r.Routes {
		route, ok := parseRoute(body, bridge)
		byOthers := slices.ContainsFunc(route.Hops(), func(w kernel.Way) bool { return w.Link != r.Bridge })
		if ok && route.Static() && !byOthers {
			u.Routes = append(u.Routes, route)
		}
	}
	return u
}

// gateways are those of the default routes.
func (r cardRecord) gateways() []netip.Addr {
	var found []netip.Addr
	for _, body := range r.Routes {
		route, ok := parseRoute(body, map[int]*link{0: {Link: kernel.Link{Name: r.Card}}})
		if !ok || route.Dst.Bits() != 0 {
			continue
		}
		for _, way := range route.Hops() {
			if way.Via.IsValid() && way.Link == r.Card && !slices.Contains(found, way.Via) {
				found = append(found, way.Via)
			}
		}
	}
	return found
}

// merge adds what a card was given since; it reports whether that is anything.
func (r *cardRecord) merge(now cardRecord) bool {
	added := false
	add := func(list *[][]byte, more [][]byte, key func([]byte) string) {
		for _, body := range more {
			if !slices.ContainsFunc(*list, func(x []byte) bool { return key(x) == key(body) }) {
				*list = append(*list, body)
				added = true
			}
		}
	}
	add(&r.Addresses, now.Addresses, addressKey)
	add(&r.Routes, now.Routes, routeKey)
	add(&r.Neighbours, now.Neighbours, neighbourKey)
	return added
}

// renewed has the lifetimes of addresses that end as they are now, and has no longer those that have ended.
func (r cardRecord) renewed(lifetimes map[string][]byte) cardRecord {
	var kept [][]byte
	for _, body := range r.Addresses {
		if dynamic(body) {
			now, ok := lifetimes[addressKey(body)]
			if !ok {
				continue
			}
			body = keep(body, unix.SizeofIfAddrmsg, func(kind uint16, value []byte) []byte {
				if kind == unix.IFA_CACHEINFO {
					return now
				}
				return value
			})
		}
		kept = append(kept, body)
	}
	r.Addresses = kept
	return r
}

// readCard reads what a card has that goes along with it.
func (c *conn) readCard(card *link) (r cardRecord, err error) {
	err = c.dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC), func() { r.Addresses = nil }, func(body []byte) error {
		if len(body) >= unix.SizeofIfAddrmsg && number(body[4:]) == card.Index && movable(body, card) {
			r.Addresses = append(r.Addresses, withIndex(keep(body, unix.SizeofIfAddrmsg, nil), 0))
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	// The kernel lists the IPv6 addresses of a link from the last to the first (ipv6_link_dev_addr).
	slices.SortStableFunc(r.Addresses, func(a, b []byte) int { return cmp.Compare(a[0], b[0]) })
	if first := slices.IndexFunc(r.Addresses, func(b []byte) bool { return b[0] == unix.AF_INET6 }); first >= 0 {
		slices.Reverse(r.Addresses[first:])
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := c.readCardRoutes(card, family, &r); err != nil {
			return r, err
		}
		for _, flags := range []uint8{0, unix.NTF_PROXY} {
			if err := c.readCardNeighbours(card, family, flags, &r); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// movable: all addresses but those that the kernel makes of each interface by itself.
func movable(body []byte, card *link) bool {
	a, ok := parseAddr(body, map[int]*link{card.Index: card})
	temporary := body[0] == unix.AF_INET6 && body[2]&unix.IFA_F_TEMPORARY != 0
	return ok && !temporary && (!a.Kernel || !a.Prefix.Addr().IsLinkLocalUnicast())
}

func (c *conn) readCardRoutes(card *link, family uint8, r *cardRecord) error {
	header := nl.NewRtMsg()
	header.Family = family
	header.Table, header.Protocol, header.Scope, header.Type = 0, 0, 0, 0
	kept := len(r.Routes)
	var direct, indirect [][]byte
	err := c.dump(unix.RTM_GETROUTE, header, func() { direct, indirect = nil, nil }, func(body []byte) error {
		route, via, err := cardRoute(body, card.Index)
		switch {
		case err != nil:
			return fmt.Errorf("a route of %s: %w", card.Name, err)
		case route == nil:
		case via:
			indirect = append(indirect, route)
		default:
			direct = append(direct, route)
		}
		return nil
	})
	// What makes a gateway reachable comes before the routes that go there.
	r.Routes = append(r.Routes[:kept], slices.Concat(direct, indirect)...)
	return err
}

// cardRoute is a route as it is kept, nil for one that is not the card's; via: it has a gateway.
func cardRoute(body []byte, card int) (route []byte, via bool, err error) {
	if len(body) < unix.SizeofRtMsg || unsigned(body[8:])&unix.RTM_F_CLONED != 0 {
		return nil, false, nil
	}
	ours, table := false, int(body[4])
	var dst netip.Addr
	for kind, value := range attributes(body[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_OIF:
			ours = ours || number(value) == card
		case unix.RTA_MULTIPATH:
			via = true
			for hop := range nexthops(value) {
				ours = ours || number(hop[4:]) == card
			}
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			via = true
		case unix.RTA_TABLE:
			table = number(value)
		case unix.RTA_DST:
			dst = address(value)
		case rtaNhID:
			if err == nil {
				err = fmt.Errorf("it uses nexthop object %d, which stays with the card: %w", number(value), unix.EOPNOTSUPP)
			}
		}
	}
	switch {
	case !ours, table == unix.RT_TABLE_LOCAL:
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case dst.IsLinkLocalUnicast() && dst.Is6() && body[5] == unix.RTPROT_KERNEL, dst.IsMulticast() && dst.Is6() && body[5] == unix.RTPROT_KERNEL:
		return nil, false, nil // each interface's own
	}
	expires := 0
	route = keep(body, unix.SizeofRtMsg, func(kind uint16, value []byte) []byte {
		switch kind {
		case unix.RTA_OIF:
			return make([]byte, 4)
		case unix.RTA_MULTIPATH:
			value = slices.Clone(value)
			for hop := range nexthops(value) {
				hop[2] &= unix.RTNH_F_ONLINK
				if number(hop[4:]) == card {
					putNative(hop[4:], 0)
				}
			}
		case unix.RTA_CACHEINFO:
			if len(value) >= 12 {
				expires = signed(value[8:]) / int(time.Second/tick)
			}
			return nil
		}
		return value
	})
	// RTNH_F_DEAD, RTNH_F_LINKDOWN and others are states.
	putNative(route[8:], unsigned(route[8:])&unix.RTNH_F_ONLINK)
	if expires > 0 {
		route = append(route, numberAttr(unix.RTA_EXPIRES, uint32(expires)).Serialize()...)
	}
	return route, via, nil
}

// rtaNhID is RTA_NH_ID (rtnetlink.h; kernel 5.3 and later).
const rtaNhID = 30

// readCardNeighbours reads those that somebody stated: permanent ones, and, with NTF_PROXY, those that the card answers for.
func (c *conn) readCardNeighbours(card *link, family, flags uint8, r *cardRecord) error {
	header := make(raw, unix.SizeofNdMsg)
	header[0], header[10] = family, flags
	kept := len(r.Neighbours)
	return c.dump(unix.RTM_GETNEIGH, header, func() { r.Neighbours = r.Neighbours[:kept] }, func(body []byte) error {
		if len(body) < unix.SizeofNdMsg || number(body[4:]) != card.Index || body[0] != family {
			return nil
		}
		permanent := binary.NativeEndian.Uint16(body[8:])&unix.NUD_PERMANENT != 0
		if flags == unix.NTF_PROXY || permanent {
			r.Neighbours = append(r.Neighbours, withIndex(keep(body, unix.SizeofNdMsg, func(kind uint16, value []byte) []byte {
				if kind == unix.NDA_CACHEINFO || kind == unix.NDA_PROBES {
					return nil
				}
				return value
			}), 0))
		}
		return nil
	})
}

// What is the same, whatever else differs.
func addressKey(b []byte) string {
	key := []byte{b[0], b[1]}
	for kind, value := range attributes(b[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS {
			key = append(append(key, byte(kind)), value...)
		}
	}
	return string(key)
}

func routeKey(b []byte) string {
	return string(keep(b, unix.SizeofRtMsg, func(kind uint16, value []byte) []byte {
		if kind == unix.RTA_EXPIRES {
			return nil
		}
		return value
	}))
}

func neighbourKey(b []byte) string {
	key := bytes.Clone(b[:1])
	key = append(key, b[10])
	for kind, value := range attributes(b[unix.SizeofNdMsg:]) {
		if kind == unix.NDA_DST {
			key = append(key, value...)
		}
	}
	return string(key)
}

// keep copies a message's body; edit gives each attribute's new value, nil to leave it out.
func keep(body []byte, header int, edit func(kind uint16, value []byte) []byte) []byte {
	out := bytes.Clone(body[:header])
	for kind, value := range attributes(body[header:]) {
		if edit != nil {
			value = edit(kind, value)
		}
		if value != nil {
			out = append(out, nl.NewRtAttr(int(kind), value).Serialize()...)
		}
	}
	return out
}

// withIndex writes an index where struct ifaddrmsg and struct ndmsg have it.
func withIndex(body []byte, index int) []byte {
	body = bytes.Clone(body)
	putNative(body[4:], uint32(index))
	return body
}

// raw is a body as it is sent.
type raw []byte

func (r raw) Len() int          { return len(r) }
func (r raw) Serialize() []byte { return r }
