package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// conn is a netlink socket in one network namespace, for one request at a time.
type conn struct {
	name string // of the namespace
	host *Host

	mu   sync.Mutex
	fd   int // -1 when closed
	seq  uint32
	send func(fd int, request []byte) error // sendto; a test's own kernel is not reached by it
}

// answerTimeout bounds the wait for an answer. The kernel answers while it takes the request, so only
// a fault gets here.
const answerTimeout = 30 * time.Second

// bufferSize is what the kernel fills at most with one part of a dump (netlink_dump in
// net/netlink/af_netlink.c takes the size of the reader's buffer, up to 32 KiB).
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// prepareLibrary makes package nl find out the machine's byte order now: it keeps it in a variable at its first use, which is
// a data race when two goroutines do that.
var prepareLibrary = sync.OnceFunc(func() { nl.NativeEndian() })

// dial opens a socket in the namespace of the calling thread.
func (h *Host) dial(name string) (*conn, error) { return h.dialProtocol(name, unix.NETLINK_ROUTE) }

func (h *Host) dialProtocol(name string, protocol int) (*conn, error) {
	prepareLibrary()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(answerTimeout.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("setting up a netlink socket: %w", err)
	}
	return &conn{name: name, host: h, fd: fd, send: sendto}, nil
}

func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

// change sends a request that edits something and waits for the kernel's word.
func (c *conn) change(req *nl.NetlinkRequest, what string) error {
	c.host.traced(c.name, what)
	c.host.memory.change(c.name)
	c.host.rtnl.RLock()
	defer c.host.rtnl.RUnlock()
	req.Flags |= unix.NLM_F_ACK
	return c.exchange(req, func(uint16, []byte) error { return nil })
}

// ask sends a request with one answer.
func (c *conn) ask(req *nl.NetlinkRequest, answer func(body []byte) error) error {
	return c.exchange(req, func(_ uint16, body []byte) error { return answer(body) })
}

// dumpTries bounds the repetition of interrupted dumps. With every fourth one
// interrupted, as seen under heavy churn, all of them fail once in 10^12 times.
const dumpTries = 20

// dump asks for all entries of a table. reset is called before each try, each for every entry.
func (c *conn) dump(kind uint16, header nl.NetlinkRequestData, reset func(), each func(body []byte) error) error {
	return untorn(func() error {
		reset()
		req := nl.NewNetlinkRequest(int(kind), unix.NLM_F_DUMP)
		req.AddData(header)
		return c.exchange(req, func(_ uint16, body []byte) error { return each(body) })
	})
}

// errInterrupted is one dump that the kernel says is not of one piece.
var errInterrupted = errors.New("dump interrupted")

// untorn repeats a reading until it is of one piece.
func untorn(read func() error) error {
	for try := range dumpTries {
		err := read()
		if !errors.Is(err, errInterrupted) {
			return err
		}
		time.Sleep(time.Duration(try) * 100 * time.Microsecond) // let the one who is writing go on
	}
	return ErrTorn
}

// exchange sends a request and hands on each message of the answer. A body is valid only during the call.
func (c *conn) exchange(req *nl.NetlinkRequest, each func(kind uint16, body []byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return unix.ENOENT // its namespace was deleted
	}
	c.seq++
	req.Seq = c.seq
	if err := c.send(c.fd, req.Serialize()); err != nil {
		return fmt.Errorf("sending to netlink: %w", err)
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	// An error of the reader does not end the reading: the rest of the answer would be taken for the next one.
	var failed error
	torn := false
	for {
		n, err := receive(c.fd, buf[:])
		if err != nil {
			return fmt.Errorf("receiving from netlink: %w", err)
		}
		for m := range messages(buf[:n]) {
			if m.header.Seq != c.seq {
				continue // the late answer to a request that was given up
			}
			torn = torn || m.header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch m.header.Type {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				if err := m.refusal(); err != nil {
					return err
				}
				if torn {
					return errInterrupted
				}
				return failed
			}
			if failed == nil {
				failed = each(m.header.Type, m.body)
			}
			if m.header.Flags&unix.NLM_F_MULTI == 0 && req.Flags&unix.NLM_F_ACK == 0 {
				return failed
			}
		}
	}
}

func sendto(fd int, b []byte) error {
	for {
		err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return err
		}
	}
}

func receive(fd int, b []byte) (int, error) {
	for {
		n, _, flags, _, err := unix.Recvmsg(fd, b, nil, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case flags&unix.MSG_TRUNC != 0:
			return 0, fmt.Errorf("a message of more than %d bytes", len(b))
		default:
			return n, nil
		}
	}
}

// message is one netlink message.
type message struct {
	header unix.NlMsghdr
	body   []byte
}

// messages are those in one datagram.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			h := unix.NlMsghdr{
				Len:   binary.NativeEndian.Uint32(b),
				Type:  binary.NativeEndian.Uint16(b[4:]),
				Flags: binary.NativeEndian.Uint16(b[6:]),
				Seq:   binary.NativeEndian.Uint32(b[8:]),
				Pid:   binary.NativeEndian.Uint32(b[12:]),
			}
			if int(h.Len) < unix.SizeofNlMsghdr || int(h.Len) > len(b) {
				return
			}
			if !yield(message{h, b[unix.SizeofNlMsghdr:h.Len]}) {
				return
			}
			b = b[min(align(int(h.Len)), len(b)):]
		}
	}
}

// refusal is the error in an NLMSG_ERROR or NLMSG_DONE message, nil for an acknowledgement.
func (m message) refusal() error {
	if len(m.body) < 4 {
		return nil
	}
	code := int32(binary.NativeEndian.Uint32(m.body))
	if code == 0 {
		return nil
	}
	e := &netlinkError{errno: unix.Errno(-code)}
	if m.header.Flags&unix.NLM_F_ACK_TLVS != 0 {
		rest := m.body[4:]
		if m.header.Type == unix.NLMSG_ERROR { // the request's header, and the request unless it was capped
			skip := unix.SizeofNlMsghdr
			if m.header.Flags&unix.NLM_F_CAPPED == 0 && len(rest) >= 4 {
				skip = align(int(binary.NativeEndian.Uint32(rest)))
			}
			rest = rest[min(skip, len(rest)):]
		}
		for kind, value := range attributes(rest) {
			if kind == unix.NLMSGERR_ATTR_MSG {
				e.text = text(value)
			}
		}
	}
	return e
}
