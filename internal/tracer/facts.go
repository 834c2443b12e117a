package tracer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A fact is the smallest part of a change: one attribute of one thing, so that it is the same whether a program says several in one
// message, or each in one of its own. It stands with the namespace that it is in, which may get its name later.
type fact struct {
	space uint64
	text  string
	other uint64 // a namespace that text speaks of, at its end; 0 = none

	by   place // that it was sent by, of a message
	send int   // the number of the call
}

// books are what the facts of a run need and become.
type books struct {
	wanted  bool
	made    []fact
	handles map[uint64]*netlink.Handle
	sends   int
	last    map[place]int // the number of each socket's last call
}

func newBooks(wanted bool) *books {
	return &books{wanted: wanted, handles: map[uint64]*netlink.Handle{}, last: map[place]int{}}
}

// enter enters the facts of a call that has been carried out.
func (b *books) enter(th *thread) {
	by := place{th.process, int32(th.args[0])}
	b.sends++
	b.last[by] = b.sends
	for _, f := range th.facts {
		f.by, f.send = by, b.sends
		b.made = append(b.made, f)
	}
}

// hear reads the kernel's answer to a message: what it refuses has not been done. So it is with a transaction of nf_tables that
// met another: who sent it sends it again.
func (t *tracer) hear(th *thread, length int64) {
	by := place{th.process, int32(th.args[0])}
	send, ok := t.books.last[by]
	if _, known := t.sockets[by]; !t.books.wanted || !ok || !known {
		return
	}
	var parts [][2]uint64
	switch th.number {
	case unix.SYS_RECVMSG:
		parts = th.vector(th.args[1] + 16)
	case unix.SYS_RECVFROM:
		parts = [][2]uint64{{th.args[1], th.args[2]}}
	default:
		return
	}
	if len(parts) == 0 {
		return
	}
	for m := range messages(th.read(parts[0][0], min(parts[0][1], uint64(length)))) {
		if m.kind == unix.NLMSG_ERROR && u32(m.body) != 0 {
			t.books.made = slices.DeleteFunc(t.books.made, func(f fact) bool { return f.send == send && f.by == by })
		}
	}
}

func (b *books) close() {
	for _, h := range b.handles {
		h.Close()
	}
}

// lookInto opens a socket of the tracer's own in a thread's namespace.
func (b *books) lookInto(space uint64, tid int) {
	if b.handles[space] != nil {
		return
	}
	ns, err := netns.GetFromPath(fmt.Sprintf("/proc/%d/ns/net", tid))
	if err != nil {
		return
	}
	defer ns.Close()
	if h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE); err == nil {
		b.handles[space] = h
	}
}

// link is the name of the one with an index.
func (b *books) link(space uint64, index uint32) string {
	if index == 0 {
		return "-"
	}
	if h := b.handles[space]; h != nil {
		if l, err := h.LinkByIndex(int(index)); err == nil {
			return l.Attrs().Name
		}
	}
	return fmt.Sprintf("link %d", index)
}

// rename makes a link's facts those of its new name, where the run has made it. A name that it had for a while is none of the machine's.
func (b *books) rename(space uint64, from, to string) {
	made := false
	for i, f := range b.made {
		if rest, ok := strings.CutPrefix(f.text, from+" "); ok && f.space == space {
			made = made || strings.HasPrefix(rest, "made")
			b.made[i].text = to + " " + rest
		}
	}
	if !made {
		b.made = append(b.made, fact{space: space, text: from + " is called " + to})
	}
}

// told gives the facts, sorted, with names for the namespaces.
func (t *tracer) told() []string {
	var out []string
	for _, f := range t.books.made {
		text := t.spaces.name(f.space) + ": " + f.text
		if f.other != 0 {
			text += " " + t.spaces.name(f.other)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// factsOf are those of a call that a thread enters; what says it in words.
func (t *tracer) factsOf(th *thread, what string) []fact {
	if !t.books.wanted {
		return nil
	}
	here := spaceOf(th.process, th.tid)
	switch {
	case strings.HasPrefix(what, "netlink "):
	case strings.HasPrefix(what, "write /proc/sys/"), strings.HasPrefix(what, "ioctl "), strings.HasPrefix(what, "make a network"),
		strings.HasPrefix(what, "mount /run/netns/"):
		return []fact{{space: here, text: what}}
	default:
		return nil
	}
	s := t.sockets[place{th.process, int32(th.args[0])}]
	var parts [][2]uint64
	switch th.number {
	case unix.SYS_SENDMSG:
		parts = th.vector(th.args[1] + 16)
	default:
		parts = [][2]uint64{{th.args[1], th.args[2]}}
	}
	var b []byte
	for _, p := range parts {
		b = append(b, th.read(p[0], p[1])...)
	}
	var out []fact
	for m := range messages(b) {
		switch s.protocol {
		case unix.NETLINK_ROUTE:
			out = append(out, t.routeFacts(th, s.space, m)...)
		case unix.NETLINK_NETFILTER:
			out = append(out, tableFacts(s.space, m)...)
		default:
			if text := m.generic(); text != "" {
				out = append(out, fact{space: s.space, text: text})
			}
		}
	}
	return out
}

// attributesOf are those of a row, by kind, without the flags of the kind.
func attributesOf(b []byte) map[uint16][]byte {
	out := map[uint16][]byte{}
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			break
		}
		out[binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK] = b[unix.SizeofRtAttr:length]
		b = b[min((length+3)&^3, len(b)):]
	}
	return out
}

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func (t *tracer) routeFacts(th *thread, space uint64, m message) []fact {
	if m.route() == "" {
		return nil
	}
	verb := []string{"new", "delete", "", "set"}[(m.kind-unix.RTM_NEWLINK)%4]
	after := func(header int) map[uint16][]byte { return attributesOf(m.body[min(header, len(m.body)):]) }
	one := func(format string, args ...any) []fact {
		return []fact{{space: space, text: verb + " " + fmt.Sprintf(format, args...)}}
	}
	switch (m.kind - unix.RTM_NEWLINK) / 4 {
	case 0:
		return t.linkFacts(th, space, m.body, verb, m.flags&unix.NLM_F_CREATE != 0)
	case 1:
		a := after(unix.SizeofIfAddrmsg)
		return one("address %s/%d on %s", address(a[unix.IFA_LOCAL]), m.body[1], t.books.link(space, u32(m.body[4:])))
	case 2:
		return t.wayFacts(space, m, verb, after(unix.SizeofRtMsg))
	case 3:
		const destination, mac = 1, 2 // NDA_DST, NDA_LLADDR
		a := after(unix.SizeofNdMsg)
		return one("neighbour %s %x on %s", address(a[destination]), a[mac], t.books.link(space, u32(m.body[4:])))
	case 4:
		const priority, table = 6, 15
		a := after(unix.SizeofRtMsg)
		number := u32(a[table])
		if number == 0 {
			number = uint32(m.body[4])
		}
		return one("rule family %d from %s to %s priority %d table %d", m.body[0], address(a[unix.RTA_SRC]), address(a[unix.RTA_DST]), u32(a[priority]), number)
	case 5:
		const kind, size = 1, 20 // TCA_KIND, of struct tcmsg
		return one("qdisc %s on %s handle %x under %x", word(after(size)[kind]), t.books.link(space, u32(m.body[4:])), u32(m.body[8:]), u32(m.body[12:]))
	default:
		return one("kind %d", m.kind)
	}
}

// wayFacts are those of a route (struct rtmsg). The kernel makes a route to the network of each address, and takes it with the
// address: who says so besides changes nothing.
func (t *tracer) wayFacts(space uint64, m message, verb string, a map[uint16][]byte) []fact {
	const (
		bits, table, protocol, kind = 1, 4, 5, 7
		metric6                     = 1024 // IP6_RT_PRIO_USER, of a route that is made without a metric
	)
	if m.body[protocol] == unix.RTPROT_KERNEL {
		return nil
	}
	number, metric, to := u32(a[unix.RTA_TABLE]), u32(a[unix.RTA_PRIORITY]), "default"
	if number == 0 {
		number = uint32(m.body[table])
	}
	if m.body[0] == unix.AF_INET6 && metric == metric6 {
		metric = 0
	}
	if m.body[bits] != 0 {
		to = fmt.Sprintf("%s/%d", address(a[unix.RTA_DST]), m.body[bits])
	}
	text := fmt.Sprintf("%s route family %d to %s via %s by %s in %d metric %d", verb, m.body[0], to,
		address(a[unix.RTA_GATEWAY]), t.books.link(space, u32(a[unix.RTA_OIF])), number, metric)
	if verb == "new" {
		text += fmt.Sprintf(" type %d", m.body[kind])
	}
	return []fact{{space: space, text: text}}
}

// linkFacts are those of a message about a link, and of one about its other end inside.
func (t *tracer) linkFacts(th *thread, space uint64, body []byte, verb string, create bool) []fact {
	if len(body) < unix.SizeofIfInfomsg {
		return nil
	}
	a := attributesOf(body[unix.SizeofIfInfomsg:])
	info := attributesOf(a[unix.IFLA_LINKINFO])
	index := u32(body[4:])
	name := word(a[unix.IFLA_IFNAME])
	create = create && verb == "new" && index == 0
	was := name
	if index != 0 {
		was = t.books.link(space, index)
		if name == "" {
			name = was
		}
	}
	at := space
	if fd, ok := a[unix.IFLA_NET_NS_FD]; ok {
		at = inode(fmt.Sprintf("/proc/%d/fd/%d", th.process, u32(fd)))
	}
	if pid, ok := a[unix.IFLA_NET_NS_PID]; ok {
		at = inode(fmt.Sprintf("/proc/%d/ns/net", u32(pid)))
	}
	var out []fact
	say := func(format string, args ...any) {
		out = append(out, fact{space: at, text: name + " " + strings.TrimSpace(fmt.Sprintf(format, args...))})
	}
	kind := word(info[nl.IFLA_INFO_KIND])
	switch {
	case verb == "delete":
		if name == "" {
			name = fmt.Sprintf("of group %d", u32(a[unix.IFLA_GROUP]))
		}
		return []fact{{space: space, text: "delete link " + name}}
	case create:
		say("made %s", kind)
	case at != space:
		out = append(out, fact{space: space, text: was + " goes, as " + name + ", to", other: at})
	case name != was:
		t.books.rename(space, was, name)
	}
	for attribute, value := range a {
		switch attribute {
		case unix.IFLA_MTU:
			say("mtu %d", u32(value))
		case unix.IFLA_GROUP:
			say("group %d", u32(value))
		case unix.IFLA_ADDRESS:
			say("mac %x", value)
		case unix.IFLA_IFALIAS:
			say("alias %s", word(value))
		case unix.IFLA_MASTER:
			say("master %s", t.books.link(at, u32(value)))
		case unix.IFLA_PROTINFO, unix.IFLA_AF_SPEC:
			say("attribute %d: %s", attribute, contents(value))
		}
	}
	if u32(body[12:])&unix.IFF_UP != 0 { // ifi_change
		say("up %t", u32(body[8:])&unix.IFF_UP != 0)
	}
	const peer = 1 // VETH_INFO_PEER
	data := attributesOf(info[nl.IFLA_INFO_DATA])
	if kind == "veth" && create {
		out = append(out, t.linkFacts(th, space, data[peer], verb, true)...)
	} else if !create {
		for number, value := range data {
			say("%s parameter %d: %x", kind, number, value)
		}
	}
	return out
}

// contents are attributes in the order of their kinds.
func contents(b []byte) string {
	a := attributesOf(b)
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(a)) {
		words = append(words, fmt.Sprintf("%d=%x", kind, a[kind]))
	}
	return strings.Join(words, " ")
}

// tableFacts are rules and chains of nf_tables as iptables-nft makes them. Its tables and the chains that the kernel calls come with
// whatever is first put into them.
func tableFacts(space uint64, m message) []fact {
	const (
		newChain, deleteChain, newRule, deleteRule = 3, 5, 6, 8
		chainTable, chainName, chainHook           = 1, 3, 4
		ruleTable, ruleChain, ruleExpressions      = 1, 2, 4
		ruleUserdata                               = 7
		header                                     = 4 // struct nfgenmsg
	)
	if m.kind>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.body) < header {
		return nil
	}
	a := attributesOf(m.body[header:])
	family := m.body[0]
	switch verb := m.kind & 0xff; verb {
	case newChain, deleteChain:
		if a[chainHook] != nil {
			return nil
		}
		return []fact{{space: space, text: fmt.Sprintf("nftables %d chain %d %s %s", verb, family, word(a[chainTable]), word(a[chainName]))}}
	case newRule, deleteRule:
		sum := sha256.Sum256(append(slices.Clone(a[ruleExpressions]), a[ruleUserdata]...))
		return []fact{{space: space, text: fmt.Sprintf("nftables %d rule %d %s %s %x", verb, family, word(a[ruleTable]), word(a[ruleChain]), sum[:4])}}
	}
	return nil
}
