package reliability_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// TestRandomKills kills topo at moments of chance, of up and of down, and its containers, runtimes and supervisor with it, or them
// alone. Then up ends clean, or down leaves the machine as it was before.
func TestRandomKills(t *testing.T) {
	for _, topology := range []string{"network", "processes"} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, topology)
			runs := howMany(9, 500) // of each
			took := map[string]time.Duration{}
			for _, verb := range []string{"up", "down"} {
				began := time.Now()
				h.must(verb)
				took[verb] = time.Since(began)
			}
			standing := h.broughtUp()
			var c crashes
			var before int // kills that came before topo was through
			for n := range runs {
				c.runs++
				verb := []string{"up", "down"}[h.random.IntN(2)]
				args := []string{verb}
				if verb == "down" {
					h.must("up")
					args = []string{"down", "-v"}
				}
				p := point{what: time.Duration(h.random.Int64N(int64(took[verb]))).String(), victim: victims[n%len(victims)], by: "the clock"}
				if h.killAfter(p, args...) {
					before++
				}
				if h.random.IntN(2) == 0 {
					h.converges(&c, p, verb, standing)
				}
				h.leavesNothing(&c, p, verb)
				if n%50 == 49 {
					h.Logf("so far %d runs, %d stuck, %d with residue, %d machines that differ", c.runs, c.stuck, c.residue, c.others)
				}
			}
			t.Logf("figure: random kills, %s: %d runs, %d of them killed before the end, %d stuck, %d with residue, %d machines that differ",
				topology, runs, before, c.stuck, c.residue, c.others)
			if before < runs/3 {
				t.Errorf("of %d kills %d came before topo was through", runs, before)
			}
		})
	}
}

// victims are whom a kill meets: topo, topo with all processes that it has started, now or before (runtimes,
// iptables-restore, the supervisor, the containers), or these without topo.
var victims = []string{"topo", "everything", "everything but topo"}

// killAfter runs topo, and kills some time later. It reports whether topo was still running.
func (h *host) killAfter(p point, args ...string) bool {
	h.Helper()
	cmd := exec.CommandContext(h.Context(), os.Getenv(binaryVariable), h.args(args)...)
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it was killed, or was faster, or fails without its helpers
	}()
	wait, err := time.ParseDuration(p.what)
	if err != nil {
		h.Fatal(err)
	}
	running := true
	select {
	case <-ended:
		running = false
	case <-time.After(wait):
	}
	if p.victim != "topo" {
		killOthers(h.T, cmd.Process.Pid)
	}
	if p.victim != "everything but topo" && running {
		_ = cmd.Process.Kill() // it may have ended this moment
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		h.Fatalf("%s of %s: topo hangs", p, args[0])
	}
	return running
}

// killOthers kills all processes of the test's machine but its first, the test, and one more, and waits for their end: what is
// read of a container that is dying says that it runs.
func killOthers(t *testing.T, spare int) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var killed []string
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == 1 || pid == os.Getpid() || pid == spare {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		}
		killed = append(killed, dir)
	}
	for _, dir := range killed { // the machine's first process reaps them
		testhost.Poll(t, func() error {
			if _, err := os.Stat(dir); err == nil {
				return fmt.Errorf("%s is still there", dir)
			}
			return nil
		})
	}
}
