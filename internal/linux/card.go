package linux

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// lentRecord is what a card had before it was lent to a node, and where it is.
type lentRecord struct {
	cardRecord
	Netns, Name, Kind, MAC, Alias string
	MTU                           int
	Group                         uint32
	// Sysctls are its own parameters, by the path below /proc/sys/net with * for its name: a move sets them to the defaults.
	Sysctls map[string]string
}

func lentFile(card string) string { return filepath.Join(recordsDir, "cards", card+".json") }

func findLent(card string) (r lentRecord, ok bool, err error) {
	return r, ok, readJSON(lentFile(card), &r, &ok)
}

// readLent reads the records of all cards, as far as others may know.
func readLent() ([]kernel.LentCard, error) {
	records, err := readAll[lentRecord](lentFile("*"))
	var cards []kernel.LentCard
	for _, r := range records {
		cards = append(cards, kernel.LentCard{Project: r.Project, Card: r.Card, Netns: r.Netns, Name: r.Name, MTU: r.MTU, MAC: r.MAC})
	}
	slices.SortFunc(cards, func(a, b kernel.LentCard) int { return cmp.Compare(a.Card, b.Card) })
	return cards, err
}

// cardLend moves, renames and sets up in one message: a kill leaves the card in the one place or in the other.
func (h *Host) cardLend(o kernel.CardLend) error {
	h.uplinks.Lock()
	defer h.uplinks.Unlock()
	record, known, err := findLent(o.Card)
	switch {
	case err != nil:
		return err
	case known && (record.Project != o.Project || record.Netns != o.Netns || record.Name != o.Name):
		return fmt.Errorf("%s is lent to %s of project %s: %w", o.Card, record.Netns, record.Project, unix.EBUSY)
	}
	h.memory.change(o.Netns)
	fd, done, err := h.descriptor(o.Netns)
	if err != nil {
		return err
	}
	return errors.Join(h.lend(o, record, known, fd), done())
}

func (h *Host) lend(o kernel.CardLend, record lentRecord, known bool, netns int) error {
	card, err := h.hostLink(o.Card)
	if err != nil {
		return err
	}
	if card == nil && known {
		if there, err := h.inNamespace(record); there != nil || err != nil {
			return err
		}
	}
	switch {
	case card == nil:
		return fmt.Errorf("finding link %s: %w", o.Card, unix.ENODEV)
	case card.master != 0:
		return fmt.Errorf("%s is a member of %s: %w", o.Card, card.Master, unix.EBUSY)
	case !known:
		if err := h.recordLent(o, card); err != nil {
			return err
		}
	}
	req := moveCard(card, netns, o.Name, cmp.Or(o.MTU, card.MTU), o.Group, o.Up)
	return h.conn.change(req, "RTM_SETLINK "+o.Card+" to "+o.Netns)
}

// recordLent writes down what a card has.
func (h *Host) recordLent(o kernel.CardLend, card *link) error {
	had, err := h.conn.readCard(card)
	if err != nil {
		return err
	}
	had.Project, had.Card, had.Up = o.Project, o.Card, card.Up
	if !card.Up {
		had.Routes = nil // those of others that it had a part in
	}
	r := lentRecord{cardRecord: had, Netns: o.Netns, Name: o.Name, Kind: card.Kind, MAC: card.MAC, Alias: card.Alias, MTU: card.MTU, Group: card.Group}
	r.Sysctls = cardSysctls(o.Card)
	if err := h.withoutForwarding(r); err != nil {
		return err
	}
	return writeJSON(lentFile(o.Card), r)
}

// cardReturn does nothing without a record.
func (h *Host) cardReturn(o kernel.CardReturn) error {
	h.uplinks.Lock()
	defer h.uplinks.Unlock()
	r, known, err := findLent(o.Card)
	if err != nil || !known || r.Project != o.Project {
		return err
	}
	card, err := h.inNamespace(r)
	switch {
	case err != nil:
	case card != nil:
		err = h.in(r.Netns, func(c *conn) error { return h.moveBackCard(c, card, r) })
	default:
		err = h.findStray(r)
	}
	if err != nil {
		return err
	}
	card, err = h.hostLink(r.Card)
	if err != nil {
		return err
	}
	if card != nil && card.MAC == r.MAC {
		if err := h.putCardSysctls(r); err != nil {
			return err
		}
		// What somebody renews (a DHCP client, router advertisements) he gives anew.
		r.cardRecord = r.renewed(nil)
		if err := h.conn.giveAll(r.cardRecord, place{card.Index, r.Card}); err != nil {
			return err
		}
		if err := h.conn.asItWas(r.cardRecord, card.Index); err != nil {
			return err
		}
	}
	return removeRecord(lentFile(r.Card))
}

// findStray gives a card back its name that the kernel put into the first namespace when its own went away: hardware does not go with
// a namespace (default_device_exit_net in net/core/dev.c). Where its name was taken it is dev and the index that it had there.
func (h *Host) findStray(r lentRecord) error {
	links, err := readLinks(h.conn)
	if err != nil {
		return err
	}
	for i, l := range links {
		if l.Kind == r.Kind && l.MAC == r.MAC && (l.Name == r.Name || strings.HasPrefix(l.Name, "dev")) && l.Group != r.Group {
			return h.moveBackCard(h.conn, &links[i], r)
		}
	}
	return nil
}

// cardSysctls reads the parameters of an interface of the host's; those that can't be read are left out.
func cardSysctls(card string) map[string]string {
	values := map[string]string{}
	for _, folder := range []string{"ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh"} {
		dir := filepath.Join("/proc/sys/net", folder, card)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // without IPv6 there are none
		}
		for _, e := range entries {
			if v, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				values[folder+"/*/"+e.Name()] = strings.TrimSpace(string(v))
			}
		}
	}
	return values
}

// withoutForwarding gives the parameters of a card that is about to be lent their values from before topo turned the host's
// forwarding on, which set them.
func (h *Host) withoutForwarding(r lentRecord) error {
	h.records.Lock()
	defer h.records.Unlock()
	return eachForwarding(func(f forwardingRecord) error {
		if value, known := f.Interfaces[r.Card]; known {
			r.Sysctls[forwardingOf(f.Family)] = value
		}
		return nil
	})
}

// leaveForwarding leaves a card that comes back its part in the host's forwarding, while topo has that on; what it was before is
// put back with the others'.
func leaveForwarding(r lentRecord) error {
	return eachForwarding(func(f forwardingRecord) error {
		key := forwardingOf(f.Family)
		value, known := r.Sysctls[key]
		if !known {
			return nil
		}
		delete(r.Sysctls, key)
		f.Interfaces[r.Card] = value
		return writeJSON(forwardingFile(f.Family), f)
	})
}

// forwardingOf is the parameter in a record of a card's.
func forwardingOf(f kernel.Family) string { return string(f) + "/conf/*/forwarding" }

func (h *Host) putCardSysctls(r lentRecord) error {
	h.records.Lock()
	defer h.records.Unlock()
	if err := leaveForwarding(r); err != nil {
		return err
	}
	now := cardSysctls(r.Card)
	for _, path := range slices.Sorted(maps.Keys(r.Sysctls)) {
		before := r.Sysctls[path]
		if value, there := now[path]; !there || value == before {
			continue
		}
		if err := h.writeSysctl("", "net/"+strings.Replace(path, "*", r.Card, 1), before); err != nil {
			return fmt.Errorf("giving %s its parameter %s back: %w", r.Card, path, err)
		}
	}
	return nil
}

func (h *Host) hostLink(name string) (*link, error) {
	links, err := readLinks(h.conn)
	return named(links, name), err
}

// inNamespace is a lent card in its namespace; nil: it is not there, or the namespace is not.
func (h *Host) inNamespace(r lentRecord) (card *link, err error) {
	return card, gone(h.in(r.Netns, func(c *conn) error {
		links, err := readLinks(c)
		if l := named(links, r.Name); l != nil && l.Kind == r.Kind {
			card = l
		}
		return err
	}))
}

// moveBackCard moves a card from a connection's namespace to the host's, or only renames it. As a member of a bond it had that one's MAC
// address.
func (h *Host) moveBackCard(c *conn, card *link, r lentRecord) error {
	req := moveCard(card, h.netns, r.Card, r.MTU, r.Group, r.Up)
	req.AddData(alias(r.Alias))
	if card.MAC != r.MAC {
		mac, err := hardwareAddress(r.MAC)
		if err != nil {
			return err
		}
		req.AddData(mac)
	}
	return c.change(req, "RTM_SETLINK "+card.Name+" back to the host")
}

// moveCard is the message that moves a link to another namespace, renames it and sets it up.
func moveCard(card *link, netns int, name string, mtu int, group uint32, up bool) *nl.NetlinkRequest {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(card.Index)
	header.Change = unix.IFF_UP
	if up {
		header.Flags = unix.IFF_UP
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
	req.AddData(header)
	req.AddData(numberAttr(unix.IFLA_NET_NS_FD, uint32(netns)))
	req.AddData(textAttr(unix.IFLA_IFNAME, name))
	req.AddData(numberAttr(unix.IFLA_MTU, uint32(mtu)))
	req.AddData(numberAttr(unix.IFLA_GROUP, group))
	return req
}
