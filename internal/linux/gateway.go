package linux

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Answers reports whether a neighbour on a link of the host's answers within three seconds to ARP or neighbour discovery. What the
// kernel knew of it is forgotten, so that an old answer is none. Of a neighbour that somebody stated (permanent) nothing can be told: no.
func (h *Host) Answers(link string, neighbour netip.Addr) bool {
	return h.answers(link, neighbour, gatewayTime)
}

func (h *Host) answers(link string, neighbour netip.Addr, patience time.Duration) bool {
	const pause = 10 * time.Millisecond
	index, err := h.conn.index(link)
	if err != nil {
		return false
	}
	body := make([]byte, unix.SizeofNdMsg)
	body[0] = byte(familyNumber(neighbour))
	body = append(withIndex(body, index), nl.NewRtAttr(unix.NDA_DST, neighbour.WithZone("").AsSlice()).Serialize()...)
	send := func(kind, flags int, what string) error {
		req := nl.NewNetlinkRequest(kind, flags)
		req.AddData(raw(body))
		return h.conn.change(req, what+" neighbour "+neighbour.String()+" of "+link)
	}
	state, err := h.conn.neighbourState(body)
	switch {
	case err != nil || state&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0:
		return false
	case state != 0:
		if err := gone(send(unix.RTM_DELNEIGH, 0, "forget")); err != nil {
			return false
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		state, err := h.conn.neighbourState(body)
		switch {
		case err != nil:
			return false
		case state&unix.NUD_REACHABLE != 0:
			return true
		case time.Now().After(end):
			return false
		case state == 0 || state&unix.NUD_FAILED != 0:
			body[10] = unix.NTF_USE // asks, as a packet for it would
			err := send(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE, "ask")
			body[10] = 0
			if err != nil {
				return false
			}
		}
	}
}

// neighbourState is what the kernel knows of a neighbour (NUD_…), 0 for nothing.
func (c *conn) neighbourState(body []byte) (state uint16, err error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, 0)
	req.AddData(raw(body))
	err = c.ask(req, func(answer []byte) error {
		if len(answer) >= unix.SizeofNdMsg {
			state = binary.NativeEndian.Uint16(answer[8:])
		}
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return state, err
}
