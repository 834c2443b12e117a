package linux

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestVethIsWholeAtOnce(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	do(t, h, kernel.VethAdd{
		A: kernel.VethEnd{Netns: "web", Name: "eth0", MAC: "02:00:00:00:00:0a", MTU: 1400, Group: group, Up: true, Alias: mark("link/web:eth0")},
		B: kernel.VethEnd{Name: "veth0", MAC: "02:00:00:00:00:0b", MTU: 1400, Group: group, Up: true, Master: "br0", Alias: mark("port/web:eth0")},
	})
	for _, c := range []struct {
		argv []string
		want []string
	}{
		{[]string{"ip", "-d", "link", "show", "veth0"}, []string{"02:00:00:00:00:0b", "mtu 1400", "master br0", "group 1952486132", ",UP", "alias topo:lab:port/web:eth0", "link-netns web"}},
		{[]string{"ip", "-n", "web", "-d", "link", "show", "eth0"}, []string{"02:00:00:00:00:0a", "mtu 1400", "group 1952486132", ",UP", "alias topo:lab:link/web:eth0"}},
	} {
		out := testhost.Run(t, c.argv...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s lacks %q:\n%s", strings.Join(c.argv, " "), w, out)
			}
		}
	}
	s := snapshot(t, h)
	near := linkOf(t, s.Host, "veth0")
	if near.Kind != "veth" || near.MTU != 1400 || near.MAC != "02:00:00:00:00:0b" || near.Group != group || !near.Up || near.Master != "br0" ||
		near.Alias != mark("port/web:eth0") || near.Peer != (kernel.End{Netns: "web", Name: "eth0"}) || near.Port == nil || near.Bridge != nil {
		t.Errorf("near end read as %+v", near)
	}
	far := linkOf(t, netnsOf(t, s, "web"), "eth0")
	if far.Peer != (kernel.End{Name: "veth0"}) || far.Oper != "up" || far.Port != nil {
		t.Errorf("far end read as %+v", far)
	}
}

// Bridges are both in the host's namespace: one end gets its master after its creation.
func TestVethBetweenBridgesAndNodes(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	do(t, h, kernel.BridgeAdd{Name: "br1", Group: group})
	do(t, h, kernel.VethAdd{A: kernel.VethEnd{Name: "p0", Master: "br0", Up: true}, B: kernel.VethEnd{Name: "p1", Master: "br1", Up: true}})
	for _, name := range []string{"a", "b"} {
		do(t, h, kernel.NetnsAdd{Name: name, Alias: mark("netns/" + name), Group: group})
	}
	// Interfaces of the same name, and of the same index, in all namespaces.
	do(t, h, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0"}, B: kernel.VethEnd{Netns: "b", Name: "eth0"}})
	do(t, h, kernel.VethAdd{A: kernel.VethEnd{Netns: "b", Name: "eth1"}, B: kernel.VethEnd{Netns: "a", Name: "eth1"}})
	do(t, h, kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "in0"}, B: kernel.VethEnd{Netns: "a", Name: "in1"}})
	s := snapshot(t, h)
	for _, c := range []struct {
		netns, link string
		master      string
		peer        kernel.End
	}{
		{"", "p0", "br0", kernel.End{Name: "p1"}},
		{"", "p1", "br1", kernel.End{Name: "p0"}},
		{"a", "eth0", "", kernel.End{Netns: "b", Name: "eth0"}},
		{"b", "eth0", "", kernel.End{Netns: "a", Name: "eth0"}},
		{"a", "eth1", "", kernel.End{Netns: "b", Name: "eth1"}},
		{"b", "eth1", "", kernel.End{Netns: "a", Name: "eth1"}},
		{"a", "in0", "", kernel.End{Netns: "a", Name: "in1"}},
		{"a", "in1", "", kernel.End{Netns: "a", Name: "in0"}},
	} {
		l := linkOf(t, netnsOf(t, s, c.netns), c.link)
		if l.Master != c.master || l.Peer != c.peer {
			t.Errorf("%s in %q: master %q, peer %+v", c.link, c.netns, l.Master, l.Peer)
		}
	}
}

// A peer in a namespace that was not read is none, even if one that was read has a link of that index.
func TestPeerElsewhere(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	testhost.Run(t, "ip", "netns", "add", "theirs")
	testhost.Run(t, "ip", "link", "add", "v0", "index", "100", "type", "veth", "peer", "name", "eth0", "index", "200", "netns", "theirs")
	testhost.Run(t, "ip", "-n", "web", "link", "add", "eth0", "index", "200", "type", "veth", "peer", "name", "x", "index", "100", "netns", "theirs")
	s := snapshot(t, h)
	if p := linkOf(t, s.Host, "v0").Peer; p != (kernel.End{}) {
		t.Errorf("peer of v0 is %+v", p)
	}
	if p := linkOf(t, netnsOf(t, s, "web"), "eth0").Peer; p != (kernel.End{}) {
		t.Errorf("peer of eth0 is %+v", p)
	}
	if n := netnsOf(t, s, "theirs"); len(n.Links) != 0 {
		t.Errorf("a foreign namespace was read: %+v", n)
	}
}

func TestVethRefusals(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	v := kernel.VethAdd{A: kernel.VethEnd{Name: "v0"}, B: kernel.VethEnd{Name: "v1"}}
	do(t, h, v)
	refused(t, h, unix.EEXIST, v)
	refused(t, h, unix.ENOENT, kernel.VethAdd{A: kernel.VethEnd{Name: "v2"}, B: kernel.VethEnd{Netns: "none", Name: "v3"}})
	refused(t, h, unix.ENODEV, kernel.VethAdd{A: kernel.VethEnd{Name: "v2", Master: "none"}, B: kernel.VethEnd{Name: "v3"}})
	e := refused(t, h, unix.EINVAL, kernel.VethAdd{A: kernel.VethEnd{Name: "v2", MTU: 7}, B: kernel.VethEnd{Name: "v3"}})
	if !strings.Contains(e.Error(), "mtu") {
		t.Errorf("the kernel's explanation is missing: %v", e)
	}
	if links := testhost.Run(t, "ip", "-o", "link"); strings.Count(links, "\n") != 3 {
		t.Errorf("something was left: %s", links)
	}
}

func TestLinkSet(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	do(t, h, kernel.VethAdd{A: kernel.VethEnd{Name: "v0"}, B: kernel.VethEnd{Name: "v1"}})
	var sent []string
	h.Trace(func(s string) { sent = append(sent, s) })
	set := kernel.LinkSet{Name: "v0", MTU: ptr(1300), MAC: ptr("02:00:00:00:00:33"), Up: ptr(true), Master: ptr("br0"), Group: ptr(group), Alias: ptr("topo:lab:x/y")}
	do(t, h, set)
	if len(sent) != 1 {
		t.Errorf("sent %q", sent)
	}
	got := linkOf(t, snapshot(t, h).Host, "v0")
	if got.MTU != 1300 || got.MAC != "02:00:00:00:00:33" || !got.Up || got.Master != "br0" || got.Group != group || got.Alias != "topo:lab:x/y" {
		t.Errorf("is %+v", got)
	}
	do(t, h, kernel.LinkSet{Name: "v0", Up: ptr(false), Master: ptr(""), Group: ptr(uint32(0)), Alias: ptr("")})
	got = linkOf(t, snapshot(t, h).Host, "v0")
	if got.MTU != 1300 || got.Up || got.Master != "" || got.Group != 0 || got.Alias != "" || got.Port != nil {
		t.Errorf("is %+v", got)
	}
	do(t, h, kernel.LinkSet{Name: "v0", Alias: ptr(strings.Repeat("x", 255))})
	refused(t, h, unix.ENODEV, kernel.LinkSet{Name: "none", MTU: ptr(1300)})
	do(t, h, kernel.LinkDelete{Name: "v0"}, kernel.LinkDelete{Name: "v0"}, kernel.LinkDelete{Netns: "none", Name: "v0"})
}

// times reports whether a bridge has an STP state and a forward delay.
func times(b *kernel.BridgeAttrs, stp bool, delay time.Duration) bool {
	return b != nil && b.STP == stp && b.ForwardDelay == delay
}

func TestBridge(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	before := testhost.Machine(t)
	do(t, h, kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500, Group: group, STP: true, ForwardDelay: 4 * time.Second})
	got := linkOf(t, snapshot(t, h).Host, "br0")
	if got.Kind != "bridge" || got.Up || got.MAC != "02:00:00:00:00:01" || got.MTU != 1500 || got.Group != group || !times(got.Bridge, true, 4*time.Second) {
		t.Errorf("is %+v %+v", got, got.Bridge)
	}
	do(t, h, kernel.BridgeSet{Name: "br0", STP: ptr(false), ForwardDelay: ptr(3 * time.Second)})
	if got := linkOf(t, snapshot(t, h).Host, "br0"); !times(got.Bridge, false, 3*time.Second) {
		t.Errorf("is %+v", got.Bridge)
	}
	do(t, h, kernel.BridgeSet{Name: "br0", STP: ptr(true)})
	if got := linkOf(t, snapshot(t, h).Host, "br0"); !times(got.Bridge, true, 3*time.Second) {
		t.Errorf("is %+v", got.Bridge)
	}

	// Neither the MAC address nor the MTU follow the ports.
	do(t, h, kernel.VethAdd{A: kernel.VethEnd{Name: "v0", MAC: "02:00:00:00:00:00", MTU: 1300, Master: "br0"}, B: kernel.VethEnd{Name: "v1"}})
	if got := linkOf(t, snapshot(t, h).Host, "br0"); got.MAC != "02:00:00:00:00:01" || got.MTU != 1500 {
		t.Errorf("followed its port: %+v", got)
	}
	do(t, h, kernel.PortSet{Name: "v0", Isolated: ptr(true)})
	if got := linkOf(t, snapshot(t, h).Host, "v0"); !got.Port.Isolated {
		t.Error("port is not isolated")
	}
	do(t, h, kernel.PortSet{Name: "v0", Isolated: ptr(false)})
	if got := linkOf(t, snapshot(t, h).Host, "v0"); got.Port.Isolated || got.Port.State != "disabled" {
		t.Errorf("port is %+v", got.Port)
	}
	refused(t, h, unix.EEXIST, kernel.BridgeAdd{Name: "br0"})
	refused(t, h, unix.ENODEV, kernel.BridgeSet{Name: "none", STP: ptr(true)})
	do(t, h, kernel.LinkDelete{Name: "v0"}, kernel.LinkDelete{Name: "br0"})
	unchanged(t, before)
}

func TestGroupDelete(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "ip", "link", "add", "keep", "type", "bridge")
	before := testhost.Machine(t)
	do(t, h, bridge("br0")...)
	do(t, h,
		kernel.VethAdd{A: kernel.VethEnd{Name: "v0", Group: group, Master: "br0"}, B: kernel.VethEnd{Name: "w0", Group: group}},
		kernel.VethAdd{A: kernel.VethEnd{Name: "v1", Group: group}, B: kernel.VethEnd{Name: "w1"}})
	refused(t, h, unix.EBUSY, kernel.GroupDelete{Group: group, Names: []string{"br0", "v0", "w0"}})
	if len(snapshot(t, h).Host.Links) != 7 {
		t.Fatal("a refused deletion deleted something")
	}
	refused(t, h, unix.EINVAL, kernel.GroupDelete{Group: 0, Names: []string{"keep"}})
	do(t, h, kernel.GroupDelete{Group: group, Names: []string{"br0", "v0", "w0", "v1", "gone"}})
	do(t, h, kernel.GroupDelete{Group: group, Names: []string{"br0"}})
	unchanged(t, before)
}

// A program that makes links is killed at any moment; nothing of it may be without group or mark.
func TestKilledCreatorLeavesItsMark(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	const rounds = 30
	for i := range rounds {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestCreateForever$")
		cmd.Env = append(cmd.Environ(), "TOPO_CREATE=1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testhost.Poll(t, func() error {
			if len(snapshot(t, h).Host.Links) > 1 {
				return nil
			}
			return errors.New("nothing was made")
		})
		time.Sleep(time.Duration(i) * 100 * time.Microsecond) // another moment each time
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // says that it was killed
		s := snapshot(t, h)
		for _, n := range append(s.Netns, s.Host) {
			if n.Name != "" && n.Mark.Project != project && !n.Unfinished {
				t.Fatalf("namespace %s is without a mark", n.Name)
			}
			for _, l := range n.Links {
				if l.Kind != "loopback" && l.Group != group {
					t.Fatalf("link %s in %q is without a group", l.Name, n.Name)
				}
			}
		}
		for _, n := range s.Netns {
			do(t, h, kernel.NetnsDelete{Name: n.Name})
		}
		settle(t, h)
		var names []string
		for _, l := range snapshot(t, h).Host.Links {
			names = append(names, l.Name)
		}
		do(t, h, kernel.GroupDelete{Group: group, Names: names})
	}
}

func TestCreateForever(t *testing.T) {
	if testing.Short() || !creating() {
		t.Skip("run by TestKilledCreatorLeavesItsMark")
	}
	h := open(t)
	for i := range 100000 {
		name := "n" + itoa(i)
		do(t, h, kernel.NetnsAdd{Name: name, Alias: mark("netns/" + name), Group: group},
			kernel.VethAdd{A: kernel.VethEnd{Name: "v" + itoa(i), Group: group, Alias: mark("port/x")}, B: kernel.VethEnd{Netns: name, Name: "eth0", Group: group, Alias: mark("link/x")}},
			kernel.BridgeAdd{Name: "b" + itoa(i), Group: group})
	}
}

// One that had no alias yet, and has no MAC address, was nobody's after a kill: a group says whose it is only of what has a wanted name.
func TestKilledCreatorOfATunLeavesItsMark(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	add := kernel.LinkAdd{Name: "tun9", Kind: "tun", Group: group, Up: true, Alias: mark("link/host:tun9"), Params: []kernel.Param{{Name: "mode", Value: "tun"}}}
	if !doKilled(t, 1, add) {
		t.Fatal("it was not killed")
	}
	if l := linkOf(t, snapshot(t, h).Host, "tun9"); l.Alias != add.Alias {
		t.Errorf("alias %q", l.Alias)
	}
}

// What a VXLAN had learnt stayed, as if it had been stated.
func TestRemoteOfALearntAddress(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	const mac = "02:00:00:00:00:07"
	do(t, h, kernel.LinkAdd{Name: "vx0", Kind: "vxlan", Group: group, Params: []kernel.Param{{Name: "id", Value: "7"}, {Name: "port", Value: "4789"}}})
	testhost.Run(t, "bridge", "fdb", "add", mac, "dev", "vx0", "dst", "192.0.2.1", "self", "dynamic")
	want := kernel.VXLANRemote{MAC: mac, Remote: "192.0.2.2"}
	do(t, h, kernel.RemoteAdd{Link: "vx0", VXLANRemote: want})
	if got := linkOf(t, snapshot(t, h).Host, "vx0").Remotes; len(got) != 1 || got[0] != want {
		t.Errorf("remotes %v", got)
	}
}
