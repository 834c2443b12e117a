package reliability_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// TestSupervisorThatIsBeingStarted: topo is killed when the supervisor that it has started is about to become one, and that takes its
// time. What comes next, down or up, waits for it.
func TestSupervisorThatIsBeingStarted(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "processes")
	standing := h.broughtUp()
	var c crashes
	runs, held := howMany(2, 20), 0
	for n := range runs {
		p := point{by: "topo", what: "execute topo-supervisor", victim: "topo", after: true}
		supervisor := 0
		h.trace(func(call tracer.Call) tracer.Action {
			if len(call.Args) == 0 || call.Args[0] != "topo-supervisor" || !strings.HasPrefix(call.What, "execute") || !call.After {
				return tracer.Continue
			}
			supervisor = call.Process
			return tracer.Kill
		}, "up")
		if supervisor == 0 {
			t.Fatal("no supervisor was started")
		}
		if err := unix.Kill(supervisor, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat("/run/topo/projects/run/supervisor.json"); err != nil { // else it was faster
			held++
		}
		goesOn := time.AfterFunc(2*time.Second, func() { _ = unix.Kill(supervisor, unix.SIGCONT) }) // long after what comes next has begun
		if n%2 == 1 {
			h.converges(&c, p, "up", standing)
		}
		h.leavesNothing(&c, p, "up")
		if goesOn.Stop() {
			t.Error("a supervisor that is being started was not waited for")
			if err := unix.Kill(supervisor, unix.SIGCONT); err != nil && err != unix.ESRCH {
				t.Fatal(err)
			}
			h.leavesNothing(&c, p, "up")
		}
	}
	if held == 0 {
		t.Errorf("in none of %d runs the supervisor was held up", runs)
	}
	t.Logf("figure: a supervisor that is being started: %d kills, %d stuck, %d with residue", runs, c.stuck, c.residue)
}
