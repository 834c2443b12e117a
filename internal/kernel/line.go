package kernel

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The lines of ip(8), bridge(8), tc(8), wg(8), iptables(8) and sysctl(8) that do what the ops do, for a POSIX shell.

func (o NetnsAdd) String() string {
	return fmt.Sprintf("ip netns add %s && ip netns exec %[1]s sysctl -w net.ipv6.conf.default.accept_ra=0 && ip -n %[1]s link set dev lo up group %d alias %s",
		o.Name, o.Group, quote(o.Alias))
}
func (o NetnsDelete) String() string { return "ip netns delete " + o.Name }

func (o BridgeAdd) String() string {
	var b line
	b.add(ip(o.Netns), "link add", o.Name)
	b.add("group", strconv.FormatUint(uint64(o.Group), 10))
	b.opt("address", o.MAC)
	b.num("mtu", o.FirstMTU())
	b.add("type bridge")
	if o.STP {
		b.add("stp_state 1")
	}
	if o.ForwardDelay != 0 {
		b.add("forward_delay", centiseconds(o.ForwardDelay))
	}
	if o.MTU != 0 {
		b.add("&&", LinkSet{Netns: o.Netns, Name: o.Name, MTU: &o.MTU}.String())
	}
	if o.Netns == "" { // a namespace of topo's begins so
		b.add("&& sysctl -w", AcceptRAKey("", o.Name).Key+"=0")
	}
	return b.String()
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

func (o SysctlSet) String() string {
	return inNetns(o.Netns) + "sysctl -w " + quote(o.Key+"="+o.Value)
}

func (o SysctlRestore) String() string {
	return inNetns(o.Netns) + "sysctl -w " + o.Key + "=<before>"
}

// ForwardingKey is the host's parameter that has it forward packets of a family.
func ForwardingKey(f Family) SysctlKey {
	if f == IPv6 {
		return SysctlKey{Key: "net.ipv6.conf.all.forwarding"}
	}
	return SysctlKey{Key: "net.ipv4.ip_forward"}
}

func (o ForwardingOn) String() string { return "sysctl -w " + ForwardingKey(o.Family).Key + "=1" }
func (o ForwardingRestore) String() string {
	return "sysctl -w " + ForwardingKey(o.Family).Key + "=<before>"
}

func (o Iptables) String() string {
	cmd := "iptables"
	if o.Family == IPv6 {
		cmd = "ip6tables"
	}
	return fmt.Sprintf("%s -t %s %s", cmd, o.Table, o.Args)
}

func (o FileWrite) String() string {
	return fmt.Sprintf("mkdir -p %s && printf %%s %s > %s", quote(path.Dir(o.Path)), quote(o.Content.String()), quote(o.Path))
}
func (o FileDelete) String() string { return "rm -f " + quote(o.Path) }

func (o SupervisorStart) String() string { return "# start the supervisor of " + o.Project }
func (o SupervisorStop) String() string  { return "# stop the supervisor of " + o.Project }

func (o ProcessStart) String() string {
	words := make([]string, len(o.Process.Argv))
	for i, w := range o.Process.Argv {
		words[i] = Printable(quote(w)) // a comment ends with its line
	}
	if o.Process.Image != "" {
		words = append([]string{o.Process.Image}, words...)
	}
	return "# start " + o.Process.Node + ": " + inNetns(o.Process.Netns) + strings.Join(words, " ")
}

func (o ImagePull) String() string {
	if o.Platform != "" {
		return "# pull image " + o.Reference + " for " + o.Platform
	}
	return "# pull image " + o.Reference
}
func (o ProcessStop) String() string { return "# stop " + o.Node }

func (o ProcessUpdate) String() string {
	return fmt.Sprintf("# limit %s: %s", o.Node, o.Limits)
}

func (o ProcessWait) String() string {
	return fmt.Sprintf("# wait for %s: %s", o.Node, o.Condition)
}
func (o ProcessHalt) String() string   { return "# stop " + o.Node + ", and remember it" }
func (o ProcessResume) String() string { return "# start " + o.Node + " again" }
func (o ProcessSignal) String() string { return "# send " + o.Signal + " to " + o.Node }
func (o ProcessAdjust) String() string { return "# tell the supervisor how to treat " + o.Process.Node }

func (o VolumeCreate) String() string { return "# make volume " + o.Name }
func (o VolumeSet) String() string    { return "# label volume " + o.Name }
func (o VolumeDelete) String() string { return "# remove volume " + o.Name + " with all that is in it" }

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

// Printable is a text for one line of a terminal: a newline, and what else would make it do something, is written as Go
// escapes it.
func Printable(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
