package examples_test

import (
	"fmt"
	"strings"
	"testing"

	"topo/internal/testhost"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "lifecycle.yaml")
	for _, then := range []string{"running (1 restart)", "running (2 restarts)", "exited (137, SIGKILL, 2 restarts)"} {
		l.sh("kill -KILL " + l.pid("worker"))
		l.await("worker", then)
	}
	l.plans("a worker that has given up", "~ process/worker")
	if log := l.topo("logs", "worker"); strings.Count(log, "trying") != 3 {
		t.Errorf("the worker printed %q", log)
	}

	// What dies on its own comes again, on the same links.
	links := func() string {
		return l.sh("ip -n lifecycle-store -o link show eth0; ip -n lifecycle-store -o -4 address show eth0")
	}
	before := links()
	l.sh("kill -KILL " + l.pid("store"))
	l.await("store", "running (1 restart)")
	if got := links(); got != before {
		t.Errorf("the restart changed links:\n%s\n%s", before, got)
	}
	reached := func() {
		t.Helper()
		testhost.Poll(t, func() error {
			if out, code := l.try("exec", "web", "bash", "-c", "echo > /dev/tcp/store/8000"); code != 0 {
				return fmt.Errorf("exit code %d: %s", code, out)
			}
			return nil
		})
	}
	reached()

	// What is stopped stays so, and its links stay; start finds them.
	l.topo("stop", "-t", "1")
	l.await("store", "stopped (137, SIGKILL, 1 restart)") // python leaves SIGTERM to the kernel, which spares PID 1
	l.await("job", "exited (0)")
	if got := links(); got != before {
		t.Errorf("the stop changed links:\n%s\n%s", before, got)
	}
	l.topo("start", "store", "web")
	reached()
	l.topo("stop", "-t", "0", "web")
	l.plans("the stop", "~ process/web", "~ process/worker")
	l.up()
	reached()

	// The store's restart takes web along.
	web := l.pid("web")
	l.topo("restart", "-t", "0", "store")
	if l.pid("web") == web {
		t.Error("web was not restarted with the store")
	}
	reached()
	l.down()
}

// await waits until topo ps shows a node so.
func (l *lab) await(node, status string) {
	l.Helper()
	testhost.Poll(l.T, func() error {
		if out := l.topo("ps", node); !strings.Contains(out, " "+status) {
			return fmt.Errorf("it is not %q: %s", status, out)
		}
		return nil
	})
}
