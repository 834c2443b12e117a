package reliability_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
	"topo/internal/topogen"
	"topo/internal/tracer"
)

// TestThePlanIsTheTruth: each change of the network that up makes is one that a line of the plan makes, and the other way round.
// Both are traced: topo, and a shell that is fed the lines.
//
// What topo does besides is no change of the network: its locks and its state below /run/topo and /var/lib/topo, programs that read
// (iptables-save), its own threads. Three things stand in both in the same way although they are said differently:
//   - a link that is made under a passing name is told by the name that it has at last;
//   - the route to an address's own network is the kernel's, which makes and removes it with the address: topo moves it with a card's others;
//   - tables of nf_tables, and their chains that the kernel calls, come with the first rule that somebody puts in.
func TestThePlanIsTheTruth(t *testing.T) {
	for _, topology := range []string{"network", "random"} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, "network")
			runs, facts := 1, 0
			if topology == "network" {
				facts = h.trueToPlan()
			} else {
				runs = howMany(2, 200)
				for n := range runs {
					h.drawn(n, topogen.Options{Plain: !everything})
					facts += h.trueToPlan()
					h.forget()
				}
			}
			t.Logf("figure: the plan is the truth, %s: %d topologies, %d single changes, each planned and each made once", topology, runs, facts)
		})
	}
}

// trueToPlan compares what up does with what the plan says.
func (h *host) trueToPlan() int {
	h.Helper()
	lines := h.planned()
	made := h.facts(os.Getenv(binaryVariable), "up", "-f", h.file)
	h.must("down", "-v")
	if diff := h.residue(); diff != "" {
		h.Fatalf("down leaves (-before +after):\n%s", diff)
	}
	path := filepath.Join(h.TempDir(), "by-hand.sh")
	if err := os.WriteFile(path, []byte(lines.script()), 0o600); err != nil {
		h.Fatal(err)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		h.Fatal(err)
	}
	said := h.facts(sh, path)
	if diff := cmp.Diff(said, made); diff != "" {
		h.Errorf("up does other things than the plan says (-said +done):\n%s", diff)
	}
	return len(made)
}

// facts are what a program does to the network.
func (h *host) facts(argv ...string) []string {
	h.Helper()
	r, err := tracer.Run(h.Context(), tracer.Program{Args: argv, Facts: true}, func(tracer.Call) tracer.Action { return tracer.Continue })
	if err != nil {
		h.Fatal(err)
	}
	if r.Code != 0 {
		h.Fatalf("%s: exit code %d\n%s", strings.Join(argv, " "), r.Code, tail(r.Output))
	}
	return r.Facts
}
