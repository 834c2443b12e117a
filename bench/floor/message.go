package main

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// A batch is netlink messages (netlink(7)) laid end to end: the kernel takes as many as one send
// holds, and answers each with an acknowledgement.
type batch struct {
	b     []byte
	start int // of the message under construction
	count uint32
}

// align is NLMSG_ALIGNTO and RTA_ALIGNTO alike.
func align(n int) int { return (n + 3) &^ 3 }

// begin starts a message; end completes it.
func (m *batch) begin(kind uint16, flags uint16) {
	m.start = len(m.b)
	m.count++
	h := make([]byte, unix.NLMSG_HDRLEN)
	binary.NativeEndian.PutUint16(h[4:], kind)
	binary.NativeEndian.PutUint16(h[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(h[8:], m.count)
	m.b = append(m.b, h...)
}

func (m *batch) end() {
	binary.NativeEndian.PutUint32(m.b[m.start:], uint32(len(m.b)-m.start))
}

// link appends a struct ifinfomsg (rtnetlink(7)); up sets IFF_UP.
func (m *batch) link(index int32, up bool) {
	h := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(h[4:], uint32(index))
	if up {
		binary.NativeEndian.PutUint32(h[8:], unix.IFF_UP)
		binary.NativeEndian.PutUint32(h[12:], unix.IFF_UP)
	}
	m.b = append(m.b, h...)
}

func (m *batch) attr(kind uint16, value []byte) {
	h := make([]byte, unix.SizeofRtAttr)
	binary.NativeEndian.PutUint16(h, uint16(unix.SizeofRtAttr+len(value)))
	binary.NativeEndian.PutUint16(h[2:], kind)
	m.b = append(append(m.b, h...), value...)
	for len(m.b) != align(len(m.b)) {
		m.b = append(m.b, 0)
	}
}

func (m *batch) text(kind uint16, s string) { m.attr(kind, append([]byte(s), 0)) }

func (m *batch) number(kind uint16, v uint32) {
	m.attr(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// nest appends an attribute that holds what fill appends.
func (m *batch) nest(kind uint16, fill func()) {
	at := len(m.b)
	m.attr(kind|unix.NLA_F_NESTED, nil)
	fill()
	binary.NativeEndian.PutUint16(m.b[at:], uint16(len(m.b)-at))
}

// A socket is a routing socket in the namespace of the thread that opened it.
type socket struct {
	fd int
	in []byte
}

func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a routing socket: %w", err)
	}
	// Answers repeat the header of the request only (NETLINK_CAP_ACK), not all of it.
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("asking for short acknowledgements: %w", err)
	}
	return &socket{fd: fd, in: make([]byte, 64<<10)}, nil
}

func dials(n int) (all []*socket, err error) {
	for range n {
		s, err := dial()
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// send sends the batch, unless it is empty, and waits for every acknowledgement. It empties the batch.
func (s *socket) send(m *batch) error {
	want := m.count
	if want == 0 {
		return nil
	}
	err := unix.Sendto(s.fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	m.b, m.count = m.b[:0], 0
	if err != nil {
		return err
	}
	return s.receive(func(kind uint16, seq uint32) bool {
		want--
		return want == 0
	})
}

// dump asks for all objects of a kind and counts them.
func (s *socket) dump(kind uint16, body int) (n int, err error) {
	var m batch
	m.begin(kind, unix.NLM_F_DUMP)
	m.b = append(m.b, make([]byte, body)...)
	m.end()
	if err := unix.Sendto(s.fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	return n, s.receive(func(kind uint16, _ uint32) bool {
		n++
		return kind == unix.NLMSG_DONE
	})
}

// receive reads messages until done says so, or one is an error.
func (s *socket) receive(done func(kind uint16, seq uint32) bool) error {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.in, 0)
		if err != nil {
			return err
		}
		for b := s.in[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(b))
			kind, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			if kind == unix.NLMSG_ERROR {
				if code := int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])); code != 0 {
					return fmt.Errorf("message %d of the batch: %w", seq, unix.Errno(-code))
				}
			}
			if done(kind, seq) {
				return nil
			}
			b = b[min(align(size), len(b)):]
		}
	}
}
