package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// uplinkTake writes down, then moves: first all is on the bridge, then it is taken from the card. So nothing that is
// established breaks, and what a kill leaves in between is done again from the record, either way.
func (h *Host) uplinkTake(o kernel.UplinkTake) error {
	h.uplinks.Lock()
	defer h.uplinks.Unlock()
	card, bridge, err := h.uplinkEnds(o.Card, o.Bridge)
	if err != nil {
		return err
	}
	record, known, err := findUplink(o.Card)
	switch {
	case err != nil:
		return err
	case known && (record.Project != o.Project || record.Bridge != o.Bridge):
		return fmt.Errorf("%s is the uplink of %s of project %s: %w", o.Card, record.Bridge, record.Project, unix.EBUSY)
	case card.master != 0 && card.master != bridge.Index:
		return fmt.Errorf("%s is a member of %s: %w", o.Card, card.Master, unix.EBUSY)
	}
	if !known {
		record = uplinkRecord{cardRecord{Project: o.Project, Card: o.Card, Up: card.Up}, o.Bridge}
	}
	now, err := h.conn.readCard(card)
	if err != nil {
		return err
	}
	if !card.Up {
		now.Routes = nil
	}
	if record.merge(now) || !known {
		if err := record.write(); err != nil {
			return err
		}
	}
	answered := h.gatewaysThatAnswer(record.cardRecord, card, o)
	err = h.moveToBridge(record, card, bridge)
	for _, op := range o.Port {
		if err == nil && card.master == 0 {
			err = h.do(op)
		}
	}
	if err == nil {
		err = h.stillAnswer(answered, o)
	}
	if err != nil {
		return errors.Join(err, h.moveBack(record))
	}
	return nil
}

// uplinkRelease does nothing without a record.
func (h *Host) uplinkRelease(o kernel.UplinkRelease) error {
	h.uplinks.Lock()
	defer h.uplinks.Unlock()
	record, known, err := findUplink(o.Card)
	if err != nil || !known || record.Project != o.Project {
		return err
	}
	return h.moveBack(record)
}

// uplinkEnds reads the card and the bridge.
func (h *Host) uplinkEnds(card, bridge string) (c, b *link, err error) {
	links, err := readLinks(h.conn)
	if err != nil {
		return nil, nil, err
	}
	if c = named(links, card); c == nil {
		return nil, nil, fmt.Errorf("finding link %s: %w", card, unix.ENODEV)
	}
	if b = named(links, bridge); b == nil {
		return nil, nil, fmt.Errorf("finding link %s: %w", bridge, unix.ENODEV)
	}
	if b.Kind != "bridge" {
		return nil, nil, fmt.Errorf("%s is no bridge: %w", bridge, unix.EOPNOTSUPP)
	}
	return c, b, nil
}

func named(links []link, name string) *link {
	for i := range links {
		if links[i].Name == name {
			return &links[i]
		}
	}
	return nil
}

// moveToBridge makes the card a port, gives the bridge what is written down, and takes that from the card.
func (h *Host) moveToBridge(r uplinkRecord, card, bridge *link) error {
	if err := h.setPort(card, bridge.Index, true); err != nil {
		return err
	}
	to := place{bridge.Index, r.Bridge}
	if err := h.conn.giveAll(r.cardRecord, to); err != nil {
		return err
	}
	return h.conn.takeAll(r.cardRecord, card.Index)
}

// moveBack gives the card what is written down, takes that from the bridge, and forgets it. A card that is gone has taken
// all that it had along.
func (h *Host) moveBack(r uplinkRecord) error {
	links, err := readLinks(h.conn)
	if err != nil {
		return err
	}
	card, bridge := named(links, r.Card), named(links, r.Bridge)
	if card == nil {
		return r.drop()
	}
	now := r.cardRecord
	if bridge != nil {
		lifetimes, err := h.conn.lifetimes(bridge.Index)
		if err != nil {
			return err
		}
		now = r.renewed(lifetimes)
	}
	if !r.Up {
		now.Routes = nil // a card that is down has none
	}
	master := card.master
	if bridge != nil && master == bridge.Index {
		master = 0
	}
	if master != card.master || card.Up != r.Up {
		if err := h.setPort(card, master, r.Up); err != nil {
			return err
		}
	}
	if err := h.conn.giveAll(now, place{card.Index, r.Card}); err != nil {
		return err
	}
	if bridge != nil {
		if err := h.conn.takeAll(r.cardRecord, bridge.Index); err != nil {
			return err
		}
	}
	if err := h.conn.asItWas(now, card.Index); err != nil {
		return err
	}
	return r.drop()
}

// setPort makes a card a port, or none with master 0, and sets it up or down, in one message.
func (h *Host) setPort(card *link, master int, up bool) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(card.Index)
	header.Change = unix.IFF_UP
	if up {
		header.Flags = unix.IFF_UP
	}
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, 0)
	req.AddData(header)
	req.AddData(numberAttr(unix.IFLA_MASTER, uint32(master)))
	return h.conn.change(req, fmt.Sprintf("RTM_SETLINK %s master %d, up %t", card.Name, master, up))
}

// gatewaysThatAnswer are those of the card's default routes that do so now. Of a card that is a port already nothing is known.
func (h *Host) gatewaysThatAnswer(r cardRecord, card *link, o kernel.UplinkTake) []netip.Addr {
	var found []netip.Addr
	if o.Patience <= 0 || card.master != 0 {
		return nil
	}
	for _, gateway := range r.gateways() {
		if h.answers(card.Name, gateway, gatewayTime) {
			found = append(found, gateway)
		}
	}
	return found
}

// gatewayTime is how long a gateway is asked before the move: the kernel asks three times, a second apart.
const gatewayTime = 3 * time.Second

// stillAnswer fails where one that answered before does not by way of the bridge.
func (h *Host) stillAnswer(gateways []netip.Addr, o kernel.UplinkTake) error {
	for _, gateway := range gateways {
		if !h.answers(o.Bridge, gateway, o.Patience) {
			return fmt.Errorf("gateway %s answered on %s, and did not on %s within %s; %s has all back that it had: %w",
				gateway, o.Card, o.Bridge, o.Patience, o.Card, unix.ETIMEDOUT)
		}
	}
	return nil
}
