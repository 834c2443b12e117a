package tracer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// socket is a netlink socket: of which protocol, and in which network namespace.
type socket struct {
	protocol int
	space    uint64 // inode
}

// spaces knows network namespaces by name.
type spaces struct {
	host  uint64
	names map[uint64]string
}

func newSpaces() *spaces {
	return &spaces{host: inode("/proc/thread-self/ns/net"), names: map[uint64]string{}}
}

func spaceOf(process, tid int) uint64 {
	return inode(fmt.Sprintf("/proc/%d/task/%d/ns/net", process, tid))
}

func inode(path string) uint64 {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0
	}
	return s.Ino
}

// name of a namespace: "host", its name in /run/netns, or "new" before it has one.
func (s *spaces) name(space uint64) string {
	if space == s.host {
		return "host"
	}
	if name, ok := s.names[space]; ok {
		return name
	}
	entries, err := filepath.Glob("/run/netns/*")
	if err == nil {
		for _, path := range entries {
			if inode(path) == space {
				s.names[space] = filepath.Base(path)
				return s.names[space]
			}
		}
	}
	return "new"
}

// message says what is sent to a netlink socket; "" where it is sent elsewhere, or asks only.
func (t *tracer) message(th *thread, parts [][2]uint64) string {
	s, ok := t.sockets[place{th.process, int32(th.args[0])}]
	if !ok {
		return ""
	}
	var b []byte
	for _, p := range parts {
		b = append(b, th.read(p[0], p[1])...)
	}
	var words []string
	for m := range messages(b) {
		word := ""
		switch s.protocol {
		case unix.NETLINK_ROUTE:
			word = m.route()
		case unix.NETLINK_NETFILTER:
			word = m.netfilter()
		case unix.NETLINK_GENERIC:
			word = m.generic()
		}
		if word != "" {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("netlink %s: %s", t.spaces.name(s.space), strings.Join(words, ", "))
}

// tear marks the first message of what a thread has received as part of an interrupted dump, where the observer wants that.
func (t *tracer) tear(th *thread, length int64) error {
	s, ok := t.sockets[place{th.process, int32(th.args[0])}]
	if t.torn == nil || th.number != unix.SYS_RECVMSG || !ok || s.protocol != unix.NETLINK_ROUTE || length < unix.SizeofNlMsghdr {
		return nil
	}
	parts := th.vector(th.args[1] + 16)
	if len(parts) == 0 {
		return nil
	}
	const at = 6 // of the flags, in struct nlmsghdr
	b := th.read(parts[0][0]+at, 2)
	if len(b) < 2 {
		return nil
	}
	flags := binary.NativeEndian.Uint16(b)
	if flags&unix.NLM_F_MULTI == 0 || !t.torn() {
		return nil
	}
	binary.NativeEndian.PutUint16(b, flags|unix.NLM_F_DUMP_INTR)
	_, err := unix.PtracePokeData(th.tid, uintptr(parts[0][0]+at), b)
	return gone(err)
}

type message struct {
	kind, flags uint16
	body        []byte
}

func messages(b []byte) func(yield func(message) bool) {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			length := int(binary.NativeEndian.Uint32(b))
			if length < unix.SizeofNlMsghdr || length > len(b) {
				return
			}
			m := message{kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]), body: b[unix.SizeofNlMsghdr:length]}
			if !yield(m) {
				return
			}
			b = b[min((length+3)&^3, len(b)):]
		}
	}
}

// attribute finds one among those that follow a header (netlink(7)).
func (m message) attribute(header int, kind uint16) []byte {
	b := m.body[min(header, len(m.body)):]
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			return nil
		}
		const nested = unix.NLA_F_NESTED
		if binary.NativeEndian.Uint16(b[2:])&^nested == kind {
			return b[unix.SizeofRtAttr:length]
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return nil
}

// route is a message of rtnetlink(7). Of each three kinds the last asks.
func (m message) route() string {
	const newLink, get = unix.RTM_NEWLINK, 2
	if m.kind < newLink || (m.kind-newLink)%4 == get {
		return ""
	}
	verb := []string{"new", "delete", "", "set"}[(m.kind-newLink)%4]
	header := func(i int) byte {
		if i < len(m.body) {
			return m.body[i]
		}
		return 0
	}
	switch (m.kind - newLink) / 4 {
	case 0:
		what := []string{verb, "link"}
		for _, kind := range []uint16{unix.IFLA_IFNAME, unix.IFLA_IFALIAS} {
			if a := m.attribute(unix.SizeofIfInfomsg, kind); a != nil {
				what = append(what, fmt.Sprintf("%q", word(a)))
			}
		}
		return strings.Join(what, " ")
	case 1: // struct ifaddrmsg has the prefix's length second
		return fmt.Sprintf("%s address %s/%d", verb, address(m.attribute(unix.SizeofIfAddrmsg, unix.IFA_ADDRESS)), header(1))
	case 2: // struct rtmsg has the destination's length second, and the table fifth
		return fmt.Sprintf("%s route %s/%d in %d", verb, address(m.attribute(unix.SizeofRtMsg, unix.RTA_DST)), header(1), header(4))
	case 3:
		const destination, mac = 1, 2 // NDA_DST, NDA_LLADDR
		return fmt.Sprintf("%s neighbour %s %x", verb, address(m.attribute(unix.SizeofNdMsg, destination)), m.attribute(unix.SizeofNdMsg, mac))
	case 4:
		const priority = 6 // FRA_PRIORITY, of struct fib_rule_hdr
		return fmt.Sprintf("%s rule %x", verb, m.attribute(unix.SizeofRtMsg, priority))
	case 5:
		const kind, size = 1, 20 // TCA_KIND, of struct tcmsg
		return fmt.Sprintf("%s qdisc %s", verb, word(m.attribute(size, kind)))
	default:
		return fmt.Sprintf("%s kind %d", verb, m.kind)
	}
}

func address(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return "any"
	}
	return a.String()
}

// netfilter is a message to nftables (linux/netfilter/nf_tables.h): a transaction begins with one of its own. What is in it depends on
// which rules came together. Or it is one to conntrack (linux/netfilter/nfnetlink_conntrack.h).
func (m message) netfilter() string {
	const begin, deleteFlow = 16, unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // NFNL_MSG_BATCH_BEGIN, IPCTNL_MSG_CT_DELETE
	switch m.kind {
	case begin:
		return "nftables"
	case deleteFlow:
		return "forget flow"
	}
	return ""
}

// generic is a message of a generic netlink family; 0 asks, in those that topo talks to (linux/wireguard.h).
func (m message) generic() string {
	const control = 16 // GENL_ID_CTRL
	if m.kind == control || len(m.body) == 0 || m.body[0] == 0 {
		return ""
	}
	return fmt.Sprintf("generic command %d", m.body[0])
}
