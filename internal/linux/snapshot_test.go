package linux

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestSnapshotIsTheSameTwice(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	for i, name := range []string{"c", "a", "b"} {
		do(t, h, node(name, "br0", "10.0.0."+itoa(i+2)+"/24", "10.0.0.1")...)
	}
	do(t, h, kernel.LinkSet{Name: "br0", Up: ptr(true)})
	settle(t, h)
	testhost.Poll(t, func() error { // link-local addresses come by and by
		first := snapshot(t, h)
		if d := cmp.Diff(first, snapshot(t, open(t)), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			return errors.New(d)
		}
		if got := []string{first.Netns[0].Name, first.Netns[1].Name, first.Netns[2].Name}; strings.Join(got, "") != "abc" {
			t.Errorf("order %v", got)
		}
		return nil
	})
	s := snapshot(t, h)
	if s.HostID != testhost.HostID || s.Hostname != testhost.Hostname {
		t.Errorf("host %q %q", s.HostID, s.Hostname)
	}
}

// Each VXLAN had a dump of all forwarding databases to itself.
func TestReadingDumpsEachTableOnce(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	remotes := map[string]kernel.VXLANRemote{"vx1": {MAC: kernel.NoMAC, Remote: "192.0.2.1"}, "vx2": {MAC: "02:00:00:00:00:02", Remote: "192.0.2.2"}}
	for name, r := range remotes {
		do(t, h,
			kernel.LinkAdd{Name: name, Kind: "vxlan", Group: group, Master: "br0", Params: []kernel.Param{{Name: "id", Value: name[2:]}, {Name: "port", Value: "4789"}}},
			kernel.RemoteAdd{Link: name, VXLANRemote: r}, kernel.FDBReplace{Link: name, FDBEntry: kernel.FDBEntry{MAC: "02:00:00:00:0" + name[2:] + ":aa"}})
	}
	asked := count(h.conn)
	s := snapshot(t, h)
	if want := map[uint16]int{unix.RTM_GETLINK: 1, unix.RTM_GETADDR: 1, unix.RTM_GETROUTE: 2, unix.RTM_GETNEIGH: 1, unix.RTM_GETRULE: 1}; !maps.Equal(asked, want) {
		t.Errorf("messages by kind: %v, not %v", asked, want)
	}
	for name, r := range remotes {
		l := linkOf(t, s.Host, name)
		if len(l.Remotes) != 1 || l.Remotes[0] != r || len(l.FDB) == 0 || l.FDB[0].MAC != "02:00:00:00:0"+name[2:]+":aa" {
			t.Errorf("%s has %v, and the bridge behind it %v", name, l.Remotes, l.FDB)
		}
	}
}

// Another project sees that the namespaces are there, and not what is in them.
func TestSnapshotOfAnotherProject(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	for _, p := range []string{"other", ""} {
		s, err := h.Snapshot(t.Context(), kernel.Query{Project: p})
		if err != nil {
			t.Fatal(err)
		}
		if n := netnsOf(t, s, "web"); n.Mark.Project != project || len(n.Links) != 0 {
			t.Errorf("project %q reads %+v", p, n)
		}
	}
}

func TestSnapshotChangesNothing(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
	testhost.Run(t, "touch", "/run/netns/unfinished")
	settle(t, h)
	h.Trace(func(change string) { t.Errorf("sent %s", change) })
	var before string
	testhost.Poll(t, func() error { // until the kernel has come to rest
		before = testhost.Machine(t)
		if strings.Contains(before, "tentative") {
			return errors.New("an address is tentative")
		}
		if again := testhost.Machine(t); again != before {
			return errors.New("still moving:\n" + firstDifference(before, again))
		}
		return nil
	})
	for range 3 {
		if _, err := h.Snapshot(t.Context(), kernel.Query{Project: project, Listeners: true, Sysctls: []kernel.SysctlKey{{Netns: "web", Key: "net.ipv4.ip_forward"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if after := testhost.Machine(t); after != before {
		t.Errorf("a reading changed the machine:\n%s", firstDifference(before, after))
	}
}

// Reading makes no system call that changes something.
func TestSnapshotBySystemCalls(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
	log := filepath.Join(t.TempDir(), "strace")
	cmd := exec.Command("strace", "-f", "-o", log, "-s", "64",
		"-e", "trace=mount,umount2,unshare,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,rmdir,openat,sendto,sendmsg,ioctl",
		"/proc/self/exe", "-test.run=^TestReadOnce$")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[len(cmd.Args)-2] = self
	cmd.Env = append(os.Environ(), "TOPO_CREATE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	trace, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	reads := 0
	for line := range strings.Lines(string(trace)) {
		switch {
		case strings.Contains(line, "RTM_GETLINK"), strings.Contains(line, "RTM_GETADDR"), strings.Contains(line, "RTM_GETROUTE"):
			reads++
		case unnamedRequest.MatchString(line): // to a socket in another namespace, of which strace does not know the kind
			n, err := strconv.ParseUint(unnamedRequest.FindStringSubmatch(line)[1], 16, 16)
			if err != nil || n%4 != 2 { // rtnetlink(7): NEW, DEL, GET, SET
				t.Errorf("changes something: %s", line)
			}
			reads++
		case strings.Contains(line, "RTM_GET"), strings.Contains(line, "NFT_MSG_GET"), strings.Contains(line, "SIOCG"):
		case strings.Contains(line, "openat") && (strings.Contains(line, "O_RDONLY") || strings.Contains(line, "/dev/null") || strings.Contains(line, "xtables.lock")):
		case strings.Contains(line, "RTM_NEW"), strings.Contains(line, "RTM_DEL"), strings.Contains(line, "RTM_SET"),
			strings.Contains(line, "NFT_MSG_NEW"), strings.Contains(line, "NFT_MSG_DEL"),
			strings.Contains(line, "mount("), strings.Contains(line, "umount2("), strings.Contains(line, "unshare("), strings.Contains(line, "mkdir"),
			strings.Contains(line, "unlink"), strings.Contains(line, "rename"), strings.Contains(line, "rmdir"), strings.Contains(line, "O_WRONLY"), strings.Contains(line, "O_RDWR"):
			t.Errorf("changes something: %s", line)
		}
	}
	if reads < 6 {
		t.Errorf("only %d readings were seen", reads)
	}
}

var unnamedRequest = regexp.MustCompile(`nlmsg_type=0x([0-9a-f]+)`)

func TestReadOnce(t *testing.T) {
	if !creating() {
		t.Skip("run by TestSnapshotBySystemCalls")
	}
	s, err := open(t).Snapshot(t.Context(), kernel.Query{Project: project})
	if err != nil || len(s.Netns) != 1 || len(s.Netns[0].Links) != 2 {
		t.Errorf("%+v, %v", s.Netns, err)
	}
}

func TestListeners(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	var listeners []net.Listener
	for _, a := range []string{"127.0.0.1:8080", "[::1]:8081"} {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners = append(listeners, l)
	}
	p, err := net.ListenPacket("udp4", "0.0.0.0:53")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	connected, err := net.Dial("tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	s, err := open(t).Snapshot(t.Context(), kernel.Query{Listeners: true})
	if err != nil {
		t.Fatal(err)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(string(comm))
	want := []kernel.Listener{
		{Protocol: "tcp", Addr: netip.MustParseAddrPort("127.0.0.1:8080"), PID: os.Getpid(), Command: name},
		{Protocol: "tcp", Addr: netip.MustParseAddrPort("[::1]:8081"), PID: os.Getpid(), Command: name},
		{Protocol: "udp", Addr: netip.MustParseAddrPort("0.0.0.0:53"), PID: os.Getpid(), Command: name},
	}
	if len(s.Listeners) != len(want) {
		t.Fatalf("read %+v with %d listeners open", s.Listeners, len(listeners))
	}
	for i, l := range s.Listeners {
		if l != want[i] {
			t.Errorf("read %+v, want %+v", l, want[i])
		}
	}
}

func TestDoSideBySide(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	h.spaces.limit = 8 // sockets are closed and opened under way
	do(t, h, bridge("br0")...)
	const nodes = 60
	var g errgroup.Group
	g.SetLimit(16)
	for i := range nodes {
		g.Go(func() error {
			return h.Do(t.Context(), node("n"+itoa(i), "br0", "10.0.0."+itoa(i+2)+"/24", "10.0.0.1"))
		})
		g.Go(func() error {
			_, err := h.Snapshot(t.Context(), kernel.Query{Project: project})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	s := snapshot(t, h)
	if len(s.Netns) != nodes {
		t.Fatalf("%d namespaces", len(s.Netns))
	}
	for _, n := range s.Netns {
		if linkOf(t, n, "eth0").Peer.Name != "v"+n.Name {
			t.Errorf("%s: %+v", n.Name, n.Links)
		}
	}
	for i := range nodes {
		g.Go(func() error { return h.Do(t.Context(), []kernel.Op{kernel.NetnsDelete{Name: "n" + itoa(i)}}) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	settle(t, h)
	if links := snapshot(t, h).Host.Links; len(links) != 2 {
		t.Errorf("left: %+v", links)
	}
}
