package examples_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// A running system is changed: only what changed is touched.
func TestChangeRunning(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "change-running-a.yaml")
	client := dialRedis(t, "172.31.4.2:6379")
	client.says("SET colour red", "+OK")
	pids := map[string]string{}
	for _, node := range []string{"store", "web", "bystander"} {
		pids[node] = l.pid(node)
	}
	addresses := func(node string) string { return l.sh("ip -n change-running-" + node + " -o -4 address show dev eth0") }
	before := addresses("store") + addresses("web") + addresses("bystander")

	l.file = "change-running-b.yaml"
	for _, change := range l.changes() {
		if strings.Contains(change, "process/") && change != "± process/web" {
			t.Errorf("the plan touches another process: %s", change)
		}
		if strings.HasPrefix(change, "-") {
			t.Errorf("the plan removes something: %s", change)
		}
	}
	l.up()
	l.settled()

	if pids["store"] != l.pid("store") || pids["bystander"] != l.pid("bystander") {
		t.Error("a process that was not changed was restarted")
	}
	if pids["web"] == l.pid("web") {
		t.Error("web runs on with its old environment")
	}
	if after := addresses("store") + addresses("web") + addresses("bystander"); after != before {
		t.Errorf("addresses changed:\n%s\n%s", before, after)
	}
	client.says("GET colour", "$3") // on the connection from before
	client.line("red")
	if env := l.topo("exec", "web", "env"); !strings.Contains(env, "GREETING=welcome\n") {
		t.Errorf("web has another greeting:\n%s", env)
	}
	l.shows("ip -n change-running-store -brief address", "eth1@", "172.31.5.2/24")
	published := dialRedis(t, "127.0.0.1:6379")
	published.says("GET colour", "$3")
	published.line("red")
	published.Close()

	// And back: the second network goes, the port is closed, the connection lives.
	l.file = "change-running-a.yaml"
	l.up()
	l.settled()
	client.says("GET colour", "$3")
	client.line("red")
	if c, err := net.DialTimeout("tcp", "127.0.0.1:6379", 2*time.Second); err == nil {
		c.Close()
		t.Error("the port is still published")
	}
	client.Close()
	l.down()
}

// What is edited of a router's process replaces that, and a connection through the router goes on; what is edited of its network
// replaces nothing.
func TestRouterEdit(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "router-edit.yaml")
	var client *redisClient
	inside(t, "router-edit-client", func() { client = dialRedis(t, "10.61.2.2:6379") })
	client.says("SET colour red", "+OK")
	others := func() string {
		return l.pid("store") + l.sh("ip netns list-id; ip -n router-edit-router -o link show eth0")
	}
	before, pid := others(), l.pid("router")

	const router = "    environment: {VERSION: one}\n"
	for _, edit := range []struct {
		yaml     string
		replaces bool
	}{
		{"    environment: {VERSION: two}\n", true},
		{router + "    working_dir: /tmp\n", true},
		{router + "    volumes: [\"/etc:/mnt:ro\"]\n", true},
		{router + "    ulimits: {nofile: 500}\n", true},
		{router, true},
		{router + "    mem_limit: 64m\n", false},
		{router + "    extra_hosts: [printer=192.0.2.7]\n", false},
		{router + "    routes: [{to: 192.0.2.0/24, via: 10.61.2.2}]\n", false},
		{router + "    links: [\"store:cache\"]\n", false},
	} {
		l.file = "router-edit.yaml"
		if edit.yaml != router {
			l.edited(router, edit.yaml)
		}
		l.up()
		l.settled()
		now := l.pid("router")
		if (now != pid) != edit.replaces {
			t.Errorf("after %q the router's process is %s, it was %s", edit.yaml, now, pid)
		}
		pid = now
		if after := others(); after != before {
			t.Errorf("%q changes more than the router:\n%s\n%s", edit.yaml, before, after)
		}
		client.says("GET colour", "$3") // on the connection from before
		client.line("red")
	}
	client.Close()
	l.down()
}

// inside calls f in a network namespace.
func inside(t *testing.T, netns string, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	open := func(path string) int {
		ns, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ns.Close() })
		return int(ns.Fd())
	}
	home, there := open("/proc/thread-self/ns/net"), open("/run/netns/"+netns)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(home, unix.CLONE_NEWNET); err != nil {
			runtime.LockOSThread() // the thread ends with the test: it is nobody else's home
			t.Error(err)
		}
	}()
	f()
}

// redisClient speaks the little of Redis's protocol that fits on one line.
type redisClient struct {
	net.Conn
	t *testing.T
}

func dialRedis(t *testing.T, address string) *redisClient {
	t.Helper()
	c := &redisClient{t: t}
	testhost.Poll(t, func() (err error) {
		c.Conn, err = net.DialTimeout("tcp", address, 2*time.Second)
		return err
	})
	return c
}

func (c *redisClient) says(command, want string) {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprint(c, command+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
	c.line(want)
}

// line reads one line of an answer, byte by byte, to leave the next one in place.
func (c *redisClient) line(want string) {
	c.t.Helper()
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := c.Read(b); err != nil {
			c.t.Fatalf("reading an answer after %q: %v", line, err)
		}
	}
	if got := strings.TrimRight(string(line), "\r\n"); got != want {
		c.t.Errorf("redis answered %q, want %q", got, want)
	}
}
