package linux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// place is where what is written down goes.
type place struct {
	index int
	name  string
}

// forever is INFINITY_LIFE_TIME of an address.
const forever = 1<<32 - 1

// giveAll gives a link all that is written down, but for what it has. IPv6 addresses are of use at once: nobody else has taken
// them, the machine had them all the time.
func (c *conn) giveAll(r cardRecord, to place) error {
	var errs []error
	for _, body := range r.Addresses {
		errs = append(errs, c.give(unix.RTM_NEWADDR, unix.NLM_F_EXCL, addressFor(body, to, r.Card, true), "address "+addressText(body), to))
	}
	for _, body := range r.Routes {
		errs = append(errs, c.give(unix.RTM_NEWROUTE, unix.NLM_F_APPEND, routeFor(body, to.index), "route "+routeText(body), to))
	}
	for _, body := range r.Neighbours {
		errs = append(errs, c.give(unix.RTM_NEWNEIGH, unix.NLM_F_REPLACE, withIndex(body, to.index), "neighbour", to))
	}
	return errors.Join(errs...)
}

func (c *conn) give(kind, flags int, body []byte, what string, to place) error {
	req := nl.NewNetlinkRequest(kind, unix.NLM_F_CREATE|flags)
	req.AddData(raw(body))
	err := c.change(req, "give "+to.name+" "+what)
	if errors.Is(err, unix.EEXIST) {
		there, lookErr := c.has(kind, body, to)
		if there {
			return nil
		}
		err = errors.Join(err, lookErr)
	}
	if err != nil {
		return fmt.Errorf("giving %s %s: %w", to.name, what, err)
	}
	return nil
}

// has looks whether a link has the address, or a route over it leads to the same place in the same table: what is lost here, nobody
// makes again.
func (c *conn) has(kind int, body []byte, to place) (bool, error) {
	var ask uint16
	var header nl.NetlinkRequestData
	var same func([]byte) bool
	switch kind {
	case unix.RTM_NEWADDR:
		ask, header = unix.RTM_GETADDR, nl.NewIfAddrmsg(int(body[0]))
		same = func(other []byte) bool {
			return len(other) >= unix.SizeofIfAddrmsg && number(other[4:]) == to.index && addressKey(other) == addressKey(body)
		}
	case unix.RTM_NEWROUTE:
		ask, header = unix.RTM_GETROUTE, &nl.RtMsg{RtMsg: unix.RtMsg{Family: body[0]}}
		wanted, _ := parseRoute(body, nil)
		same = func(other []byte) bool {
			if len(other) < unix.SizeofRtMsg || other[0] != body[0] || !leadsOver(other, to.index) {
				return false
			}
			route, _ := parseRoute(other, nil)
			return route.Dst == wanted.Dst && route.Table == wanted.Table
		}
	default:
		return true, nil // neighbours are replaced
	}
	there := false
	err := c.dump(ask, header, func() { there = false }, func(other []byte) error {
		there = there || same(other)
		return nil
	})
	return there, err
}

// leadsOver: a route, or one of its ways, leaves by the link.
func leadsOver(route []byte, index int) bool {
	for kind, value := range attributes(route[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_OIF:
			if number(value) == index {
				return true
			}
		case unix.RTA_MULTIPATH:
			for hop := range nexthops(value) {
				if number(hop[4:]) == index {
					return true
				}
			}
		}
	}
	return false
}

// takeAll takes from a link all that is written down: routes before the addresses that make their gateways reachable, and
// secondary addresses before those that they would go with.
func (c *conn) takeAll(r cardRecord, from int) error {
	var errs []error
	take := func(kind int, body []byte, what string) {
		req := nl.NewNetlinkRequest(kind, 0)
		req.AddData(raw(body))
		if err := gone(c.change(req, "take "+what)); err != nil {
			errs = append(errs, fmt.Errorf("taking %s: %w", what, err))
		}
	}
	for _, body := range r.Neighbours {
		take(unix.RTM_DELNEIGH, withIndex(body, from), "neighbour")
	}
	for i := len(r.Routes) - 1; i >= 0; i-- {
		take(unix.RTM_DELROUTE, routeFor(r.Routes[i], from), "route "+routeText(r.Routes[i]))
	}
	for i := len(r.Addresses) - 1; i >= 0; i-- {
		body := keep(r.Addresses[i], unix.SizeofIfAddrmsg, func(kind uint16, value []byte) []byte {
			if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS {
				return value
			}
			return nil
		})
		take(unix.RTM_DELADDR, withIndex(body, from), "address "+addressText(body))
	}
	return errors.Join(errs...)
}

// asItWas gives IPv6 addresses the flags that they had: no search for duplicates begins by that.
func (c *conn) asItWas(r cardRecord, card int) error {
	for _, body := range r.Addresses {
		if body[0] != unix.AF_INET6 || addressFlags(body)&(unix.IFA_F_NODAD|unix.IFA_F_TENTATIVE) != 0 {
			continue
		}
		req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE)
		req.AddData(raw(addressFor(body, place{card, r.Card}, r.Card, false)))
		if err := gone(c.change(req, "flags of "+addressText(body))); err != nil {
			return fmt.Errorf("giving %s its flags back: %w", addressText(body), err)
		}
	}
	return nil
}

// lifetimes reads those of a link's addresses that end.
func (c *conn) lifetimes(index int) (map[string][]byte, error) {
	found := map[string][]byte{}
	err := c.dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC), func() { clear(found) }, func(body []byte) error {
		if len(body) >= unix.SizeofIfAddrmsg && number(body[4:]) == index && dynamic(body) {
			found[addressKey(body)] = bytes.Clone(cacheInfo(body))
		}
		return nil
	})
	return found, err
}

// addressFor is the message that gives an address to a link. A label (ip-address(8)) begins with the link's name.
func addressFor(body []byte, to place, card string, atOnce bool) []byte {
	flags := addressFlags(body)
	if atOnce && body[0] == unix.AF_INET6 && flags&unix.IFA_F_TENTATIVE == 0 {
		flags |= unix.IFA_F_NODAD
	}
	out := keep(body, unix.SizeofIfAddrmsg, func(kind uint16, value []byte) []byte {
		switch kind {
		case unix.IFA_LABEL:
			label := text(value)
			if rest, ok := strings.CutPrefix(label, card); ok {
				label = to.name + rest
			}
			return nl.ZeroTerminated(label[:min(len(label), unix.IFNAMSIZ-1)])
		case unix.IFA_FLAGS:
			return nil
		}
		return value
	})
	out[2] = 0
	out = append(out, numberAttr(unix.IFA_FLAGS, flags).Serialize()...)
	return withIndex(out, to.index)
}

// routeFor is the message of a route over a link.
func routeFor(body []byte, index int) []byte {
	return keep(body, unix.SizeofRtMsg, func(kind uint16, value []byte) []byte {
		switch kind {
		case unix.RTA_OIF:
			return binary.NativeEndian.AppendUint32(nil, uint32(index))
		case unix.RTA_MULTIPATH:
			value = bytes.Clone(value)
			for hop := range nexthops(value) {
				if number(hop[4:]) == 0 {
					putNative(hop[4:], uint32(index))
				}
			}
		}
		return value
	})
}

func addressFlags(body []byte) uint32 {
	flags := uint32(body[2])
	for kind, value := range attributes(body[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_FLAGS {
			flags = unsigned(value)
		}
	}
	return flags
}

// cacheInfo is the struct ifa_cacheinfo of an address.
func cacheInfo(body []byte) []byte {
	for kind, value := range attributes(body[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_CACHEINFO && len(value) >= 8 {
			return value
		}
	}
	return nil
}

// dynamic: the address ends by itself.
func dynamic(body []byte) bool {
	info := cacheInfo(body)
	return info != nil && unsigned(info[4:]) != forever
}

func addressText(body []byte) string {
	for kind, value := range attributes(body[unix.SizeofIfAddrmsg:]) {
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS {
			return fmt.Sprintf("%s/%d", address(value), body[1])
		}
	}
	return ""
}

func routeText(body []byte) string {
	r, _ := parseRoute(body, nil)
	if r.Via.IsValid() {
		return r.Dst.String() + " via " + r.Via.String()
	}
	return r.Dst.String()
}
