package linux

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestNetns(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	before := testhost.Machine(t)
	add := kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group}
	do(t, h, add)

	if lo := testhost.Run(t, "ip", "-n", "web", "-d", "link", "show", "lo"); !strings.Contains(lo, "LOOPBACK,UP") ||
		!strings.Contains(lo, "alias topo:lab:netns/web") || !strings.Contains(lo, "group 1952486132") {
		t.Errorf("lo is %s", lo)
	}
	testhost.Run(t, "ip", "netns", "exec", "web", "ping", "-c1", "-W1", "127.0.0.1")
	if p := testhost.Run(t, "findmnt", "-no", "PROPAGATION", "/run/netns"); !strings.Contains(p, "shared") {
		t.Errorf("/run/netns is %s", p)
	}
	got := netnsOf(t, snapshot(t, h), "web")
	if want := (kernel.Mark{Project: project, ID: "netns/web"}); got.Mark != want || got.Group != group || got.Unfinished {
		t.Errorf("read as %+v", got)
	}
	refused(t, h, unix.EEXIST, add)

	do(t, h, kernel.NetnsDelete{Name: "web"}, kernel.NetnsDelete{Name: "web"})
	settle(t, h)
	unchanged(t, before)
}

// The two programs must see each other's namespaces.
func TestNetnsOfIpNetns(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "ip", "netns", "add", "theirs")
	do(t, h, kernel.NetnsAdd{Name: "ours", Alias: mark("netns/ours"), Group: group})
	refused(t, h, unix.EEXIST, kernel.NetnsAdd{Name: "theirs"})
	if n := strings.Count(testhost.Run(t, "cat", "/proc/self/mountinfo"), " /run/netns "); n != 1 {
		t.Errorf("/run/netns is mounted %d times", n)
	}
	testhost.Run(t, "ip", "netns", "delete", "ours")
	do(t, h, kernel.NetnsDelete{Name: "theirs"})
	if left := testhost.Run(t, "ip", "netns"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// A namespace of another kind is somebody else's, and no reason to fail.
func TestNamespaceOfAnotherKind(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "mkdir", "/run/netns")
	testhost.Run(t, "touch", "/run/netns/web")
	testhost.Run(t, "mount", "--bind", "/proc/self/ns/uts", "/run/netns/web")
	before := testhost.Machine(t)
	if n := netnsOf(t, snapshot(t, h), "web"); n.Unfinished || n.Mark != (kernel.Mark{}) {
		t.Errorf("read as %+v", n)
	}
	refused(t, h, unix.ENOENT, kernel.AddrAdd{Netns: "web", Link: "lo", Prefix: prefix("10.0.0.1/32")})
	if after := testhost.Machine(t); after != before {
		t.Errorf("the machine was\n%s\nand is\n%s", before, after)
	}
}

func TestUnfinishedNetns(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "mkdir", "/run/netns")
	testhost.Run(t, "touch", "/run/netns/web", "/run/netns/gone")
	if n := netnsOf(t, snapshot(t, h), "web"); !n.Unfinished || n.Mark != (kernel.Mark{}) {
		t.Errorf("read as %+v", n)
	}
	refused(t, h, unix.ENOENT, kernel.AddrAdd{Netns: "web", Link: "lo", Prefix: prefix("10.0.0.1/32")})
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group}, kernel.NetnsDelete{Name: "gone"})
	if n := netnsOf(t, snapshot(t, h), "web"); n.Unfinished {
		t.Error("still unfinished")
	}
	if _, err := os.Lstat("/run/netns/gone"); !os.IsNotExist(err) {
		t.Errorf("an unfinished one was not deleted: %v", err)
	}

	testhost.Run(t, "sh", "-c", "echo precious >/run/netns/file")
	if n := netnsOf(t, snapshot(t, h), "file"); n.Unfinished {
		t.Error("a file with content is not our unfinished work")
	}
	refused(t, h, unix.EEXIST, kernel.NetnsAdd{Name: "file"})
}

// Somebody deletes a namespace and makes another one of that name: the kept socket is in the old one.
func TestReplacedNetns(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	add := kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group}
	do(t, h, add, kernel.AddrAdd{Netns: "web", Link: "lo", Prefix: prefix("10.0.0.1/32")})
	testhost.Run(t, "ip", "netns", "delete", "web")
	testhost.Run(t, "ip", "netns", "add", "web")
	if n := netnsOf(t, snapshot(t, h), "web"); n.Mark != (kernel.Mark{}) || len(n.Addrs) != 0 {
		t.Errorf("read as %+v", n)
	}
	do(t, h, kernel.AddrAdd{Netns: "web", Link: "lo", Prefix: prefix("10.0.0.1/32")})
	if a := testhost.Run(t, "ip", "-n", "web", "address"); !strings.Contains(a, "10.0.0.1/32") {
		t.Errorf("addresses: %s", a)
	}
}

// With room for two sockets everything still works, one after the other.
func TestFewSockets(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	h.spaces.limit = 2
	names := []string{"a", "b", "c", "d"}
	for range 2 {
		for _, name := range names {
			do(t, h, kernel.NetnsAdd{Name: name, Alias: mark("netns/" + name), Group: group})
		}
		if s := snapshot(t, h); len(s.Netns) != 4 || len(s.Netns[3].Links) != 1 {
			t.Fatalf("read %+v", s.Netns)
		}
		if len(h.spaces.byName) > 2+2*len(names) {
			t.Errorf("%d sockets are kept", len(h.spaces.byName))
		}
		for _, name := range names {
			do(t, h, kernel.NetnsDelete{Name: name})
		}
	}
}

func TestThreadsStayAtHome(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		do(t, h, kernel.NetnsAdd{Name: name, Alias: mark("netns/" + name), Group: group})
	}
	snapshot(t, h, kernel.SysctlKey{Netns: "a", Key: "net.ipv4.ip_forward"})
	threads := testhost.Run(t, "sh", "-c", "readlink /proc/"+itoa(os.Getpid())+"/task/*/ns/net | sort -u")
	if strings.Count(threads, "\n") != 1 {
		t.Errorf("threads of this process are in several namespaces:\n%s", threads)
	}
}
