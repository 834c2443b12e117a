package kernel

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"
)

// An Op is one edit of a host. The set is closed: internal/linux carries out
// those of the network, internal/container those of processes. An Op prints as
// the ip(8), bridge(8), iptables(8) or sysctl(8) line that does the same.
//
// Each is idempotent in this sense only: deleting what is absent succeeds, making
// what exists fails with EEXIST.
type Op interface {
	fmt.Stringer
	op()
}

// OpError is the failure of one edit, in the kernel's words.
type OpError struct {
	Op  Op
	Err error
}

func (e *OpError) Error() string { return e.Op.String() + ": " + e.Err.Error() }
func (e *OpError) Unwrap() error { return e.Err }

type (
	// NetnsAdd makes a network namespace: a new one, lo marked with Alias and Group and set
	// up, then bound to /run/netns/NAME, in this order, so that it is never visible unmarked.
	NetnsAdd struct {
		Name  string
		Alias string
		Group uint32
	}
	// NetnsDelete unmounts and removes /run/netns/NAME. The kernel takes down what is inside
	// when the last process has left it, and after this op returned.
	NetnsDelete struct{ Name string }

	// BridgeAdd makes a bridge in the host's namespace, down. Zero values leave the kernel's default.
	BridgeAdd struct {
		Name         string
		MAC          string
		MTU          int
		Group        uint32
		STP          bool
		ForwardDelay time.Duration
	}
	// BridgeSet changes the parameters of a bridge; nil leaves one alone.
	BridgeSet struct {
		Name         string
		STP          *bool
		ForwardDelay *time.Duration
	}
	// PortSet sets the parameters of a bridge port, all of them.
	PortSet struct {
		Name     string
		Isolated bool
		Hairpin  bool
	}
	// VethAdd makes both ends of a veth, each in its namespace at once, in one message.
	VethAdd struct{ A, B VethEnd }
	// LinkSet changes attributes of a link, in one message; nil leaves one alone.
	// Master "" detaches it from its bridge.
	LinkSet struct {
		Netns  string
		Name   string
		MTU    *int
		MAC    *string
		Up     *bool
		Master *string
		Group  *uint32
		Alias  *string
	}
	// LinkDelete removes a link (of a veth: both ends).
	LinkDelete struct{ Netns, Name string }
	// GroupDelete removes all links of a group in the host's namespace in one message. Names are
	// those that the plan saw in it: where others have joined since, it fails and deletes nothing.
	GroupDelete struct {
		Group uint32
		Names []string
	}

	// AddrAdd adds an address. IPv6 ones skip duplicate address detection (nodad).
	AddrAdd struct {
		Netns  string
		Link   string
		Prefix netip.Prefix
	}
	// AddrDelete removes an address.
	AddrDelete struct {
		Netns  string
		Link   string
		Prefix netip.Prefix
	}
	// RouteReplace makes or replaces the route with its destination, metric and table.
	// Via is invalid for one directly on the link. Its protocol is [Protocol].
	RouteReplace struct {
		Netns  string
		Dst    netip.Prefix
		Via    netip.Addr
		Link   string
		Metric int
		Table  int
	}
	// RouteDelete removes a route.
	RouteDelete struct {
		Netns  string
		Dst    netip.Prefix
		Via    netip.Addr
		Link   string
		Metric int
		Table  int
	}

	// SysctlSet writes a kernel parameter. With Record, the value from before is kept (once,
	// durably, before the write), for SysctlRestore.
	SysctlSet struct {
		SysctlKey
		Value   string
		Project string
		Record  bool
	}
	// SysctlRestore writes back the recorded value and forgets the record.
	SysctlRestore struct {
		SysctlKey
		Project string
	}
	// ForwardingOn makes the host forward packets of a family, after recording what that
	// changes (each interface's forwarding; IPv4: accept_redirects, too).
	ForwardingOn struct{ Family Family }
	// ForwardingRestore puts all of that back.
	ForwardingRestore struct{ Family Family }

	// Iptables is one line of iptables(8): a rule or chain added or removed. Ops that stand in a
	// row and share Family and Table are one iptables-restore transaction.
	Iptables struct {
		Family Family
		Table  string
		Args   string // "-A TOPO-USER -j RETURN", quoted as iptables-save does
	}

	// FileWrite writes a file, made whole and renamed into place when new, in place otherwise
	// (processes have the inode bound over their own). Missing folders are made.
	FileWrite struct {
		Path    string
		Content string
	}
	// FileDelete removes a file, and its folder when that is empty then.
	FileDelete struct{ Path string }

	// SupervisorStart starts a project's supervisor.
	SupervisorStart struct{ Project string }
	// SupervisorStop ends it; processes are stopped before.
	SupervisorStop struct{ Project string }
	// ProcessStart starts a process; it returns once that runs (or could not be started).
	ProcessStart struct{ Process Process }
	// ProcessStop stops it: its stop signal, the grace period, SIGKILL; then forgets it.
	ProcessStop struct{ Project, Node string }
	// ProcessWait waits until a node's process meets a condition, and fails when it no longer can.
	ProcessWait struct {
		Project, Node string
		Condition     Condition
		// Optional: that it no longer can be met is no failure (depends_on with required: false).
		Optional bool
	}
)

// VethEnd is one end of a veth as it is made.
type VethEnd struct {
	Netns  string // "" = the host's own
	Name   string
	MAC    string // "" = the kernel's choice
	MTU    int    // bytes; 0 = the kernel's default, 1500
	Group  uint32
	Up     bool
	Master string // bridge, in the host's namespace only
	Alias  string // written in a message of its own: RTM_NEWLINK ignores IFLA_IFALIAS on creation
}

func (NetnsAdd) op()          {}
func (NetnsDelete) op()       {}
func (BridgeAdd) op()         {}
func (BridgeSet) op()         {}
func (PortSet) op()           {}
func (VethAdd) op()           {}
func (LinkSet) op()           {}
func (LinkDelete) op()        {}
func (GroupDelete) op()       {}
func (AddrAdd) op()           {}
func (AddrDelete) op()        {}
func (RouteReplace) op()      {}
func (RouteDelete) op()       {}
func (SysctlSet) op()         {}
func (SysctlRestore) op()     {}
func (ForwardingOn) op()      {}
func (ForwardingRestore) op() {}
func (Iptables) op()          {}
func (FileWrite) op()         {}
func (FileDelete) op()        {}
func (SupervisorStart) op()   {}
func (SupervisorStop) op()    {}
func (ProcessStart) op()      {}
func (ProcessStop) op()       {}
func (ProcessWait) op()       {}

func (o NetnsAdd) String() string {
	return fmt.Sprintf("ip netns add %s && ip -n %s link set dev lo up group %d alias %s", o.Name, o.Name, o.Group, quote(o.Alias))
}
func (o NetnsDelete) String() string { return "ip netns delete " + o.Name }

func (o BridgeAdd) String() string {
	var b line
	b.add("ip link add", o.Name)
	b.add("group", strconv.FormatUint(uint64(o.Group), 10))
	b.opt("address", o.MAC)
	b.num("mtu", o.MTU)
	b.add("type bridge")
	if o.STP {
		b.add("stp_state 1")
	}
	if o.ForwardDelay != 0 {
		b.add("forward_delay", centiseconds(o.ForwardDelay))
	}
	return b.String()
}

func (o BridgeSet) String() string {
	var b line
	b.add("ip link set", o.Name, "type bridge")
	if o.STP != nil {
		b.add("stp_state", onOff(*o.STP, "1", "0"))
	}
	if o.ForwardDelay != nil {
		b.add("forward_delay", centiseconds(*o.ForwardDelay))
	}
	return b.String()
}

func (o PortSet) String() string {
	return fmt.Sprintf("bridge link set dev %s isolated %s hairpin %s", o.Name, onOff(o.Isolated, "on", "off"), onOff(o.Hairpin, "on", "off"))
}

func (o VethAdd) String() string {
	near, far := o.A, o.B
	if near.Master == "" && far.Master != "" {
		near, far = far, near
	}
	var b line
	b.add(ip(near.Netns), "link add", near.words())
	// The kernel sets the far end up, and makes it a port, only when both are there.
	later := VethEnd{Netns: far.Netns, Name: far.Name, Master: far.Master, Alias: far.Alias, Up: far.Up}
	far.Up, far.Master = false, ""
	b.add("type veth peer name", far.words())
	switch {
	case near.Netns == far.Netns:
	case far.Netns == "":
		b.add("netns 1")
	default:
		b.add("netns", far.Netns)
	}
	near.Up, near.Master = false, ""
	for _, e := range []VethEnd{near, later} {
		if e.Alias == "" && e.Master == "" && !e.Up {
			continue
		}
		b.add("&&", ip(e.Netns), "link set", e.Name)
		b.opt("master", e.Master)
		if e.Alias != "" {
			b.add("alias", quote(e.Alias))
		}
		if e.Up {
			b.add("up")
		}
	}
	return b.String()
}

func (e VethEnd) words() string {
	var b line
	b.add(e.Name)
	b.opt("address", e.MAC)
	b.num("mtu", e.MTU)
	b.opt("master", e.Master)
	b.add("group", strconv.FormatUint(uint64(e.Group), 10))
	if e.Up {
		b.add("up")
	}
	return b.String()
}

func (o LinkSet) String() string {
	var b line
	b.add(ip(o.Netns), "link set", o.Name)
	if o.MTU != nil {
		b.add("mtu", strconv.Itoa(*o.MTU))
	}
	if o.MAC != nil {
		b.add("address", *o.MAC)
	}
	if o.Master != nil {
		if *o.Master == "" {
			b.add("nomaster")
		}
		b.opt("master", *o.Master)
	}
	if o.Group != nil {
		b.add("group", strconv.FormatUint(uint64(*o.Group), 10))
	}
	if o.Alias != nil {
		b.add("alias", quote(*o.Alias))
	}
	if o.Up != nil {
		b.add(onOff(*o.Up, "up", "down"))
	}
	return b.String()
}

func (o LinkDelete) String() string  { return ip(o.Netns) + " link delete " + o.Name }
func (o GroupDelete) String() string { return fmt.Sprintf("ip link delete group %d", o.Group) }

func (o AddrAdd) String() string {
	s := fmt.Sprintf("%s address add %s dev %s", ip(o.Netns), o.Prefix, o.Link)
	if o.Prefix.Addr().Is6() {
		s += " nodad"
	}
	return s
}

func (o AddrDelete) String() string {
	return fmt.Sprintf("%s address delete %s dev %s", ip(o.Netns), o.Prefix, o.Link)
}

func (o RouteReplace) String() string {
	return routeLine(o.Netns, "replace", RouteDelete(o)) + fmt.Sprintf(" proto %d", Protocol)
}
func (o RouteDelete) String() string { return routeLine(o.Netns, "delete", o) }

func routeLine(netns, verb string, o RouteDelete) string {
	var b line
	b.add(ip(netns))
	if o.Dst.Addr().Is6() {
		b.add("-6")
	}
	dst := o.Dst.String()
	if o.Dst.Bits() == 0 {
		dst = "default"
	}
	b.add("route", verb, dst)
	if o.Via.IsValid() {
		b.add("via", o.Via.String())
	}
	b.opt("dev", o.Link)
	b.num("metric", o.Metric)
	if o.Table != TableMain {
		b.num("table", o.Table)
	}
	return b.String()
}

func (o SysctlSet) String() string {
	return inNetns(o.Netns) + "sysctl -w " + quote(o.Key+"="+o.Value)
}

func (o SysctlRestore) String() string {
	return inNetns(o.Netns) + "sysctl -w " + o.Key + "=<before>"
}

func forwardingKey(f Family) string {
	if f == IPv6 {
		return "net.ipv6.conf.all.forwarding"
	}
	return "net.ipv4.ip_forward"
}
func (o ForwardingOn) String() string { return "sysctl -w " + forwardingKey(o.Family) + "=1" }
func (o ForwardingRestore) String() string {
	return "sysctl -w " + forwardingKey(o.Family) + "=<before>"
}

func (o Iptables) String() string {
	cmd := "iptables"
	if o.Family == IPv6 {
		cmd = "ip6tables"
	}
	return fmt.Sprintf("%s -t %s %s", cmd, o.Table, o.Args)
}

func (o FileWrite) String() string {
	return fmt.Sprintf("mkdir -p %s && printf %%s %s > %s", quote(path.Dir(o.Path)), quote(o.Content), quote(o.Path))
}
func (o FileDelete) String() string { return "rm -f " + quote(o.Path) }

func (o SupervisorStart) String() string { return "# start the supervisor of " + o.Project }
func (o SupervisorStop) String() string  { return "# stop the supervisor of " + o.Project }

func (o ProcessStart) String() string {
	words := make([]string, len(o.Process.Argv))
	for i, w := range o.Process.Argv {
		words[i] = quote(w)
	}
	return "# start " + o.Process.Node + ": " + inNetns(o.Process.Netns) + strings.Join(words, " ")
}
func (o ProcessStop) String() string { return "# stop " + o.Node }
func (o ProcessWait) String() string {
	return fmt.Sprintf("# wait for %s: %s", o.Node, o.Condition)
}

// line joins the words of a command.
type line struct{ words []string }

func (l *line) add(words ...string) { l.words = append(l.words, words...) }
func (l *line) opt(word, value string) {
	if value != "" {
		l.add(word, value)
	}
}

func (l *line) num(word string, n int) {
	if n != 0 {
		l.add(word, strconv.Itoa(n))
	}
}
func (l *line) String() string { return strings.Join(l.words, " ") }

func ip(netns string) string {
	if netns == "" {
		return "ip"
	}
	return "ip -n " + netns
}

func inNetns(netns string) string {
	if netns == "" {
		return ""
	}
	return "ip netns exec " + netns + " "
}

func onOff(b bool, on, off string) string {
	if b {
		return on
	}
	return off
}

func centiseconds(d time.Duration) string {
	return strconv.FormatInt(int64(d/(10*time.Millisecond)), 10)
}

// quote makes one word of s for a POSIX shell.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
