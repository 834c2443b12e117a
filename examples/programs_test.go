package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

// pid is the process of a node, on the host, as topo inspect has it.
func (l *lab) pid(node string) string {
	l.Helper()
	out := l.topo("inspect", node, "--json")
	var doc any
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		l.Fatalf("reading topo inspect: %v\n%s", err, out)
	}
	m := regexp.MustCompile(`"pid": ?([0-9]+)`).FindStringSubmatch(out)
	if m == nil {
		l.Fatalf("topo inspect %s has no pid:\n%s", node, out)
	}
	if _, err := os.Stat("/proc/" + m[1]); err != nil {
		l.Fatalf("%s does not run: %v", node, err)
	}
	return m[1]
}

func TestNginx(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l := start(t, "nginx.yaml")
	page, err := os.ReadFile("nginx/index.html")
	if err != nil {
		t.Fatal(err)
	}
	served := func() {
		t.Helper()
		for where, got := range map[string]string{
			"127.0.0.1":          l.sh(get("http://127.0.0.1/")),
			"the host's address": l.sh(get("http://203.0.113.1/")),
			"another machine":    remote.Run("sh", "-c", get("http://203.0.113.1/")),
		} {
			if got != string(page) {
				t.Errorf("from %s: %q", where, got)
			}
		}
	}
	served()
	l.heal("ip link set nginx-net down", "~ up/net")
	l.heal("ip -n nginx-web link set eth0 mtu 1400", "~ link/web:eth0")
	// Its process dies: the links stay, it alone is started again.
	pid := l.pid("web")
	l.sh("kill -KILL " + pid)
	l.gone(pid)
	l.plans("the death of nginx", "~ process/web")
	l.up()
	l.settled()
	served()
	l.down()
}

// gone waits until a process has left the machine, and topo knows it.
func (l *lab) gone(pid string) {
	l.Helper()
	testhost.Poll(l.T, func() error {
		if out, code := l.try("plan", "--detailed-exitcode"); code != 2 {
			return fmt.Errorf("topo plan: exit code %d: %s", code, out)
		}
		if _, err := os.Stat("/proc/" + pid); err == nil {
			return fmt.Errorf("process %s runs", pid)
		}
		return nil
	})
}

func TestNetworkHost(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l := start(t, "network-host.yaml")
	host := l.sh("ip -o link show | awk '{print $2}'")
	if inside := l.topo("exec", "web", "sh", "-c", "ip -o link show | awk '{print $2}'"); inside != host {
		t.Errorf("the container sees %q, the host has %q", inside, host)
	}
	l.sh(get("http://127.0.0.1/"))
	remote.Run("sh", "-c", get("http://203.0.113.1/"))

	// Two that want one port are refused before anything is touched.
	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	both := strings.ReplaceAll(strings.ReplaceAll(string(text), "  # second", "  second"), "  #   ", "    ")
	if both == string(text) {
		t.Fatal("the example has no second container in its comment any more")
	}
	l.collides(both)
	l.down()
}

// collides checks that a variant of the example is refused, for a port.
func (l *lab) collides(text string) {
	l.Helper()
	f, err := os.CreateTemp(".", "collides-*.yaml") // here, for the paths in it
	if err != nil {
		l.Fatal(err)
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString(text); err != nil {
		l.Fatal(err)
	}
	f.Close()
	variant := &lab{T: l.T, file: f.Name()}
	before := quiet(testhost.Machine(l.T))
	out, code := variant.try("plan", "--detailed-exitcode")
	if code != 1 && code != 3 || !strings.Contains(out, "80/tcp") || !strings.Contains(out, "web") {
		l.Errorf("two that listen on one port: exit code %d, %s", code, out)
	}
	testhost.Poll(l.T, func() error {
		if diff := cmp.Diff(before, quiet(testhost.Machine(l.T))); diff != "" {
			return fmt.Errorf("the refused plan changed the machine (-before +after):\n%s", diff)
		}
		return nil
	})
}

func TestFlaskRedis(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l := start(t, "flask-redis.yaml")
	views := 0
	counts := func(where, page string) {
		t.Helper()
		m := regexp.MustCompile(`viewed (\d+) time`).FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("from %s: %q", where, page)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || n != views+1 {
			t.Errorf("from %s: view %s, want %d", where, m[1], views+1)
		}
		views = n
	}
	everywhere := func() {
		t.Helper()
		counts("inside", l.topo("exec", "web", "sh", "-c", get("http://127.0.0.1:5000/")))
		counts("the other container", l.topo("exec", "redis", "sh", "-c", get("http://web:5000/")))
		counts("127.0.0.1", l.sh(get("http://127.0.0.1:5000/")))
		counts("the host's address", l.sh(get("http://203.0.113.1:5000/")))
		counts("a remote machine", remote.Run("sh", "-c", get("http://203.0.113.1:5000/")))
	}
	everywhere()
	if out := remote.Run("sh", "-c", get("http://203.0.113.1:5000/client")); out != "203.0.113.9\n" {
		t.Errorf("the application sees %q as the remote machine's address", out)
	}
	if env := l.topo("exec", "web", "env"); !strings.Contains(env, "REDIS_HOST=redis\n") {
		t.Errorf("no REDIS_HOST=redis in the container:\n%s", env)
	}
	remote.Run("ip", "route", "add", "172.28.0.0/24", "via", "203.0.113.1")
	for _, target := range []string{"203.0.113.1/6379", "172.28.0.2/6379", "172.28.0.3/5000"} {
		if _, err := remote.Try("timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+target); err == nil {
			t.Errorf("the remote machine connects to %s", target)
		}
	}

	// Somebody breaks it: each way named exactly, and repaired with all processes left alone.
	for _, b := range breakages {
		l.heal(b.by, b.plan...)
	}
	everywhere()
	l.down()
}
