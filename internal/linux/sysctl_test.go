package linux

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestSysctl(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "ip", "link", "add", "em1.101", "type", "bridge")
	before := testhost.Machine(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	inside := kernel.SysctlKey{Netns: "web", Key: "net.ipv4.ip_forward"}
	host := kernel.SysctlKey{Key: "net.ipv4.ip_forward"}
	dotted := kernel.SysctlKey{Key: "net/ipv4/conf/em1.101/route_localnet"}
	row := kernel.SysctlKey{Netns: "web", Key: "net.ipv4.ip_local_port_range"}
	nothing := kernel.SysctlKey{Netns: "web", Key: "net.ipv4.nothing"}
	nowhere := kernel.SysctlKey{Netns: "none", Key: "net.ipv4.ip_forward"}

	do(t, h,
		kernel.SysctlSet{SysctlKey: inside, Value: "1"},
		kernel.SysctlSet{SysctlKey: row, Value: "2000 3000"},
		kernel.SysctlSet{SysctlKey: dotted, Value: "1", Project: project, Record: true},
		kernel.SysctlSet{SysctlKey: dotted, Value: "1", Project: project, Record: true})
	if v := testhost.Run(t, "ip", "netns", "exec", "web", "sysctl", "-n", "net.ipv4.ip_forward"); v != "1\n" {
		t.Errorf("inside: %q", v)
	}
	s := snapshot(t, h, inside, host, row, nothing, nowhere)
	for k, want := range map[kernel.SysctlKey]string{inside: "1", host: "0", row: "2000 3000", dotted: "1"} {
		if got, ok := s.Sysctls[k]; !ok || got != want {
			t.Errorf("%v is %q", k, got)
		}
	}
	if len(s.Sysctls) != 4 {
		t.Errorf("read %v", s.Sysctls)
	}
	record := kernel.SysctlRecord{SysctlKey: dotted, Project: project, Before: "0"}
	if len(s.Records) != 1 || s.Records[0] != record {
		t.Errorf("records %+v", s.Records)
	}
	refused(t, h, unix.ENOENT, kernel.SysctlSet{SysctlKey: nothing, Value: "1"})
	refused(t, h, unix.ENOENT, kernel.SysctlSet{SysctlKey: nowhere, Value: "1"})
	refused(t, h, unix.EINVAL, kernel.SysctlSet{SysctlKey: inside, Value: "x"})
	for _, key := range []string{"kernel.hostname", "net/../kernel/hostname", "net//ipv4/ip_forward", ""} {
		refused(t, h, unix.EINVAL, kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Key: key}, Value: "1"})
	}
	do(t, h, kernel.SysctlRestore{SysctlKey: dotted, Project: project}, kernel.SysctlRestore{SysctlKey: dotted, Project: project},
		kernel.NetnsDelete{Name: "web"})
	settle(t, h)
	unchanged(t, before)
}

// The record outlives what it is about.
func TestSysctlOfWhatIsGone(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	before := testhost.Machine(t)
	link := kernel.SysctlKey{Key: "net.ipv4.conf.br0.route_localnet"}
	netns := kernel.SysctlKey{Netns: "web", Key: "net.ipv4.ip_forward"}
	do(t, h, kernel.BridgeAdd{Name: "br0"}, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group},
		kernel.SysctlSet{SysctlKey: link, Value: "1", Project: project, Record: true},
		kernel.SysctlSet{SysctlKey: netns, Value: "1", Project: project, Record: true},
		kernel.LinkDelete{Name: "br0"}, kernel.NetnsDelete{Name: "web"})
	if r := snapshot(t, h).Records; len(r) != 2 {
		t.Errorf("records %+v", r)
	}
	do(t, h, kernel.SysctlRestore{SysctlKey: link, Project: project}, kernel.SysctlRestore{SysctlKey: netns, Project: project})
	settle(t, h)
	unchanged(t, before)
}

// Every interface's own setting is what it was.
func TestForwarding(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	for _, l := range []string{"own.1", "own2", "none"} {
		testhost.Run(t, "ip", "link", "add", l, "type", "bridge")
	}
	for _, file := range []string{
		"/proc/sys/net/ipv4/conf/own.1/forwarding", "/proc/sys/net/ipv4/conf/own2/forwarding", "/proc/sys/net/ipv6/conf/own2/forwarding",
		"/proc/sys/net/ipv4/conf/default/forwarding", "/proc/sys/net/ipv4/conf/own2/accept_redirects",
	} {
		if err := os.WriteFile(file, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/own.1/accept_redirects", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	before := testhost.Machine(t)
	do(t, h, kernel.ForwardingOn{Family: kernel.IPv4}, kernel.ForwardingOn{Family: kernel.IPv6}, kernel.ForwardingOn{Family: kernel.IPv4})
	for _, f := range snapshot(t, h).Forwards {
		if !f.On || !f.Recorded {
			t.Errorf("%+v", f)
		}
	}
	if v := testhost.Run(t, "sysctl", "-n", "net.ipv4.ip_forward", "net.ipv4.conf.none.forwarding", "net.ipv6.conf.none.forwarding"); v != "1\n1\n1\n" {
		t.Errorf("after turning it on: %q", v)
	}
	// An interface that came and one that went meanwhile.
	do(t, h, kernel.BridgeAdd{Name: "new"})
	again := open(t) // another run of topo
	do(t, again, kernel.ForwardingRestore{Family: kernel.IPv4}, kernel.ForwardingRestore{Family: kernel.IPv6})
	do(t, again, kernel.ForwardingRestore{Family: kernel.IPv4}, kernel.LinkDelete{Name: "new"})
	unchanged(t, before)
	for _, f := range snapshot(t, h).Forwards {
		if f.On || f.Recorded {
			t.Errorf("%+v", f)
		}
	}
}

// What the owner of the machine turned on stays on.
func TestForwardingOfOthers(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "sysctl", "-w", "net.ipv4.ip_forward=1")
	before := testhost.Machine(t)
	do(t, h, kernel.ForwardingOn{Family: kernel.IPv4})
	if f := snapshot(t, h).Forwards[0]; !f.On || f.Recorded {
		t.Errorf("%+v", f)
	}
	do(t, h, kernel.ForwardingRestore{Family: kernel.IPv4})
	unchanged(t, before)
}

// Killed between the record and the switch, or after somebody turned it off: the first record counts.
func TestForwardingRecordIsTheFirst(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "ip", "link", "add", "own", "type", "bridge")
	testhost.Run(t, "sysctl", "-w", "net.ipv4.conf.own.forwarding=1")
	before := testhost.Machine(t)
	do(t, h, kernel.ForwardingOn{Family: kernel.IPv4})
	testhost.Run(t, "sysctl", "-w", "net.ipv4.ip_forward=0")
	do(t, h, kernel.ForwardingOn{Family: kernel.IPv4})
	do(t, h, kernel.ForwardingRestore{Family: kernel.IPv4})
	unchanged(t, before)
	if !strings.Contains(before, "conf/own/forwarding:1") {
		t.Error("the machine's text does not show forwarding")
	}
}

// The kernel tries a lock of its own for the host's forwarding and begins the call anew while somebody has it. Beside the deletion of
// the links of 500 namespaces, a quarter of the processor time of a down went there.
func TestForwardingIsSwitchedWhileNoChangeIsUnderWay(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	changes, switches, send := 0, 0, h.conn.send
	h.conn.send = func(fd int, request []byte) error {
		if short(request[6:])&unix.NLM_F_ACK != 0 {
			changes++
			if h.rtnl.TryLock() {
				t.Error("forwarding could be switched during a change")
				h.rtnl.Unlock()
			}
		}
		return send(fd, request)
	}
	h.Trace(func(change string) {
		if strings.Contains(change, "forward") {
			switches++
			if h.rtnl.TryRLock() {
				t.Errorf("a change could begin during %s", change)
				h.rtnl.RUnlock()
			}
		}
	})
	do(t, h, kernel.ForwardingOn{Family: kernel.IPv4})
	do(t, h, bridge("br0")...)
	do(t, h, kernel.ForwardingRestore{Family: kernel.IPv4})
	do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
	do(t, h, kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Netns: "web", Key: "net.ipv4.ip_forward"}, Value: "1"})
	if changes == 0 || switches < 3 {
		t.Errorf("%d changes, forwarding was switched %d times", changes, switches)
	}
}

// What netlink says of forwarding is what the parameter's file has.
func TestForwardingIsThatOfTheFile(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	keys := []string{"net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding", "net/ipv6/conf/all/forwarding"}
	for _, netns := range []string{"", "web"} {
		for _, value := range []string{"1", "0", "1"} {
			for _, key := range keys {
				do(t, h, kernel.SysctlSet{SysctlKey: kernel.SysctlKey{Netns: netns, Key: key}, Value: value})
				var file string
				var told bool
				err := h.in(netns, func(c *conn) (err error) {
					file, told, err = c.forwarding(key)
					return err
				})
				if err != nil || !told || file != value {
					t.Errorf("%s of %q is %q (told: %t, %v), and was set to %s", key, netns, file, told, err, value)
				}
			}
		}
	}
}
