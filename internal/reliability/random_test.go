package reliability_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"topo/internal/testhost"
)

// TestRandomKills kills topo at moments of chance, of up and of down, and every third time all that it started with it: containers'
// runtimes, the supervisor. Then up ends clean, or down leaves the machine as it was before.
func TestRandomKills(t *testing.T) {
	for _, topology := range []string{"network", "processes"} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, topology)
			runs := 8
			if *whole {
				runs = 500 // of each
			}
			began := time.Now()
			h.must("up")
			up := time.Since(began)
			standing := h.standing()
			h.must("down", "-v")
			var c crashes
			for c.runs = range runs {
				verb := []string{"up", "down"}[h.random.IntN(2)]
				args := []string{verb}
				if verb == "down" {
					h.must("up")
					args = []string{"down", "-v"}
				}
				all := c.runs%3 == 2
				after := time.Duration(h.random.Int64N(int64(up)))
				h.killAfter(after, all, args...)
				p := point{what: after.String(), victim: "topo", by: "the clock"}
				if h.random.IntN(2) == 0 {
					h.converges(&c, p, verb, standing)
				}
				h.leavesNothing(&c, p, verb)
			}
			t.Logf("figure: random kills, %s: %d runs, %d stuck, %d with residue", topology, runs, c.stuck, c.residue)
		})
	}
}

// killAfter runs topo, and kills it some time later, or all processes of the machine that are topo's or of its containers.
func (h *host) killAfter(wait time.Duration, all bool, args ...string) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), wait)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv(binaryVariable), h.args(args)...)
	if all {
		cmd.Cancel = func() error {
			// The processes of a container, and what else topo has left, are those whose root or name tells of topo.
			_ = exec.Command("pkill", "-KILL", "-f", "topo-supervisor|crun|runc|sleep infinity").Run() // none may be there
			return cmd.Process.Kill()
		}
	}
	_ = cmd.Run() // it was killed, or was faster
}
