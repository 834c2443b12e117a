package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

func TestEngine(t *testing.T) {
	t.Parallel()
	for _, engine := range testhost.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			testEngine(t, "engine.yaml", testhost.Engine(t, engine))
		})
	}
}

func testEngine(t *testing.T, example, engine string) {
	t.Helper()
	file, _ := built(t, example, "redis", "web")
	l := start(t, file)
	counts := func(want string) {
		t.Helper()
		if got := l.sh(get("http://127.0.0.1:5000/")); !strings.Contains(got, "viewed "+want+" time") {
			t.Errorf("%q, want %s", got, want)
		}
	}
	counts("1")
	// The kernel has one network for the engine's container and the node.
	inside, node := l.topo("exec", "web", "readlink", "/proc/self/ns/net"), l.sh(in("engine-web", "readlink /proc/self/ns/net"))
	if inside != node {
		t.Errorf("the container is in %s, the node is %s", inside, node)
	}
	l.shows("nsenter --net=/run/netns/engine-web ip -4 -o addr show dev eth0", "172.28.5.3/24")
	if got := l.topo("exec", "web", "sh", "-c", "id -un; cat /proc/sys/kernel/hostname; pwd; echo $REDIS_HOST; cat /etc/hosts"); !strings.HasPrefix(got, "www-data\nweb\n/srv\nredis\n") || !strings.Contains(got, "172.28.5.2 redis") {
		t.Errorf("in the container: %q", got)
	}
	if out, code := l.try("exec", "web", "sh", "-c", "exit 7"); code != 7 {
		t.Errorf("a command that ends with 7: %d %s", code, out)
	}
	if out, code := l.try("exec", "web", "nosuch"); code != 127 || !strings.Contains(out, "running nosuch: command not found") {
		t.Errorf("a command that is not there: %d %s", code, out)
	}
	l.shows(engine+"ps --format '{{.Names}}'", "engine-web\n", "engine-web.sandbox\n")

	// Somebody restarts it, by the engine's own means: another process, in the same network.
	before := l.pid("web")
	l.sh(engine + "restart --time 5 engine-web")
	testhost.Poll(t, func() error { return l.runsAgain("web", before) })
	counts("2")
	l.settled()
	before = l.pid("web")
	l.sh(engine + "restart --time 0 engine-web.sandbox engine-web")
	testhost.Poll(t, func() error { return l.runsAgain("web", before) })
	counts("3")
	l.settled()

	// Somebody kills it, or removes it.
	l.sh(engine + "kill engine-web")
	testhost.Poll(t, func() error { return l.planned("~ process/web") })
	l.up()
	l.settled()
	counts("4")
	l.sh(engine + "kill engine-web; " + engine + "rm --force engine-web")
	testhost.Poll(t, func() error { return l.planned("~ process/web") })
	l.up()
	l.settled()
	counts("5")

	// topo's own commands.
	printed := func(want int) {
		t.Helper()
		testhost.Poll(t, func() error {
			got := l.sh(os.Getenv(binaryVariable) + " logs -f " + l.file + " web 2>&1")
			if n := strings.Count(got, "GET / HTTP"); n != want {
				return fmt.Errorf("the log has %d requests, not %d: %s", n, want, got)
			}
			return nil
		})
	}
	printed(5)
	l.topo("stop", "web")
	l.shows(engine+"ps --all --filter name=engine-web$ --format '{{.Status}}'", "Exited")
	l.topo("start", "web")
	counts("6")
	l.sh("kill -9 $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' /run/topo/projects/engine/supervisor.json)")
	counts("7")
	l.topo("restart", "redis")
	l.settled()
	printed(7) // what it printed while there was no supervisor, too
	l.topo("down", "-v")
	l.sh(os.Getenv(binaryVariable) + " image prune; rm -r /var/lib/topo/images; rmdir /run/topo 2>/dev/null || true")
	if diff := cmp.Diff(testhost.Steady(testhost.WithoutEngine(l.before)), testhost.Steady(testhost.WithoutEngine(testhost.Machine(t)))); diff != "" {
		t.Errorf("the machine is not what it was before (-before +after):\n%s", diff)
	}
	if left := l.sh(engine + "ps --all --quiet"); left != "" {
		t.Errorf("the engine still has %s", left)
	}
}

// runsAgain is nil once a node has another process than it had.
func (l *lab) runsAgain(node, before string) error {
	out, _ := l.try("inspect", node, "--json")
	var doc struct{ PID int }
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		return err
	}
	if doc.PID == 0 || strconv.Itoa(doc.PID) == before {
		return fmt.Errorf("%s has process %d, and had %s", node, doc.PID, before)
	}
	return nil
}

// planned is nil once a plan has exactly one change.
func (l *lab) planned(change string) error {
	if got := l.changes(); !slices.Equal(got, []string{change}) {
		return fmt.Errorf("the plan has %q, not %s", got, change)
	}
	return nil
}
