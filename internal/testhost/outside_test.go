package testhost

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// child makes tests below run only as part of another one, which looks at their result.
var child = flag.String("child", "", "run the example that is to fail or skip")

func TestMachineIsItsOwn(t *testing.T) {
	t.Parallel()
	if Outside(t) {
		return
	}
	if links := strings.TrimSpace(Run(t, "ip", "-o", "link")); strings.Count(links, "\n") != 0 || !strings.Contains(links, "LOOPBACK,UP") {
		t.Errorf("links: %s", links)
	}
	if got := Run(t, "ls", "/run", "/var/lib/topo", "/sys/class/net"); got != "/run:\n\n/sys/class/net:\nlo\n\n/var/lib/topo:\n" {
		t.Errorf("files: %q", got)
	}
	if os.Getppid() != 1 {
		t.Errorf("parent is %d, not the machine's init", os.Getppid())
	}
	if id := Run(t, "cat", "/etc/machine-id"); id != HostID+"\n" {
		t.Errorf("machine-id %q", id)
	}
	Run(t, "ip", "netns", "add", "x")
	Run(t, "ip", "netns", "exec", "x", "true")
	Run(t, "mkdir", "-p", "/etc/netns/x")
	Run(t, "ip", "link", "add", "b0", "type", "bridge")
	Run(t, "ls", "/sys/class/net/b0/bridge")
	Run(t, "test", "-e", "/sys/fs/cgroup")
}

func TestOtherMachineSeesNothing(t *testing.T) {
	t.Parallel()
	if Outside(t) {
		if _, err := os.Stat("/etc/netns/x"); err == nil {
			t.Error("/etc/netns/x is on the real machine")
		}
		return
	}
	if _, err := os.Stat("/etc/netns"); err == nil {
		t.Error("/etc/netns exists")
	}
}

func TestSubtestHasAMachine(t *testing.T) {
	t.Run("a name/with levels", func(t *testing.T) {
		if Outside(t) {
			return
		}
		t.Run("inner", func(t *testing.T) {
			if Outside(t) {
				t.Error("a subtest of a test with a machine is on it already")
			}
		})
	})
}

func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	if Outside(t) {
		return
	}
	Run(t, "sh", "-c", "sh -c 'true & true &' &")
	Poll(t, func() error {
		_, err := Try(t, "sh", "-c", `! grep -l '^State:.*Z' /proc/[0-9]*/status`)
		return err
	})
}

// The results of inner tests, seen from outside.
func TestResults(t *testing.T) {
	for _, c := range []struct {
		child, want string
		fails       bool
	}{
		{"pass", "--- PASS: TestChild", false},
		{"fail", ": wrong", true},
		{"skip", ": no such thing here", false},
		{"panic", "panic: oh", true},
		{"exit", "did not run to its end", true},
		{"hang", "panic: test timed out", true},
	} {
		t.Run(c.child, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestChild$", "-test.v", "-test.timeout=5s", "-child="+c.child)
			out, err := cmd.CombinedOutput()
			if !strings.Contains(string(out), c.want) || (err != nil) != c.fails {
				t.Errorf("%v, and its output lacks %q:\n%s", err, c.want, out)
			}
		})
	}
}

func TestChild(t *testing.T) {
	if *child == "" {
		t.Skip("run by TestResults")
	}
	if Outside(t) {
		return
	}
	switch *child {
	case "fail":
		t.Error("wrong")
	case "skip":
		t.Skip("no such thing here")
	case "panic":
		panic("oh")
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	}
}

func TestMachineTextShowsEachChange(t *testing.T) {
	t.Parallel()
	if Outside(t) {
		return
	}
	Run(t, "ip", "link", "add", "b0", "type", "bridge")
	Run(t, "ip", "netns", "add", "there")
	before := Machine(t)
	pid := filepath.Join(t.TempDir(), "pid") // in /tmp, which is the real machine's
	for _, c := range []struct{ name, do, undo string }{
		{"link", "ip link add v type veth peer name w", "ip link del v"},
		{"address", "ip addr add 10.0.0.1/24 dev b0", "ip addr del 10.0.0.1/24 dev b0"},
		{"route", "ip route add blackhole 10.9.0.0/16", "ip route del blackhole 10.9.0.0/16"},
		{"rule", "ip rule add from 10.1.1.1 table 7", "ip rule del from 10.1.1.1 table 7"},
		{"iptables", "iptables -A FORWARD -j DROP", "iptables -D FORWARD -j DROP"},
		{"ip6tables", "ip6tables -t nat -N X", "ip6tables -t nat -X X"},
		{"legacy", "iptables-legacy -P INPUT DROP", "iptables-legacy -P INPUT ACCEPT"},
		{"sysctl", "sysctl -w net.ipv4.conf.b0.forwarding=1", "sysctl -w net.ipv4.conf.b0.forwarding=0"},
		{"netns", "ip netns add n1", "ip netns del n1"},
		{"inside", "ip -n there link add b1 type bridge", "ip -n there link del b1"},
		{"file", "mkdir -p /etc/netns/n && echo a >/etc/netns/n/hosts", "rm -r /etc/netns"},
		{"mount", "mkdir /run/m && mount -t tmpfs x /run/m", "umount /run/m && rmdir /run/m"},
		{"process", "sleep 1000 >/dev/null 2>&1 & echo $! >" + pid, "kill $(cat " + pid + ")"},
	} {
		Run(t, "sh", "-c", c.do)
		if Machine(t) == before {
			t.Errorf("%s: the text is the same after %s", c.name, c.do)
		}
		Run(t, "sh", "-c", c.undo)
		Poll(t, func() error { return diff(before, Machine(t)) })
	}
}

func TestLegacy(t *testing.T) {
	t.Parallel()
	if Outside(t) {
		return
	}
	Legacy(t)
	Run(t, "iptables", "-N", "OLD")
	if rules := Run(t, "iptables-legacy-save"); !strings.Contains(rules, ":OLD") {
		t.Errorf("not in the legacy tables:\n%s", rules)
	}
}

func TestRemoteIsOnTheWire(t *testing.T) {
	t.Parallel()
	if Outside(t) {
		return
	}
	r := Remote(t, "lan0", "203.0.113.1/24", "203.0.113.9/24")
	Run(t, "ping", "-c1", "-W2", "203.0.113.9")
	r.Run("ping", "-c1", "-W2", "203.0.113.1")
	Remote(t, "lan1", "2001:db8::1/64", "2001:db8::9/64").Run("ping", "-c1", "-W2", "2001:db8::1")
}

func BenchmarkOnAMachine(b *testing.B) {
	if Outside(b) {
		return
	}
	if networkID() == "" || os.Getppid() != 1 {
		b.Fatal("not on a machine")
	}
	for b.Loop() {
		filepath.Clean("/a/..")
	}
}
