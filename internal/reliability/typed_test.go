package reliability_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"topo/internal/testhost"
	"topo/internal/topogen"
)

// everything: the kernel has it, as that of scripts/run-in-vm does; otherwise topologies are drawn that any kernel can have.
var everything = os.Getenv("TOPO_TEST_FULL_KERNEL") != ""

// plan is what plan --json prints, as far as it is asked for here.
type plan struct {
	Changes []struct {
		ID       string
		Action   string
		Commands []string
		After    map[string]string
	}
}

// planned asks topo for its plan.
func (h *host) planned() plan {
	h.Helper()
	out, err := testhost.Try(h.T, os.Getenv(binaryVariable), "plan", "-f", h.file, "--json") // its warnings go to stderr
	if err != nil {
		h.Fatal(err)
	}
	var p plan
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		h.Fatalf("reading the plan: %v\n%s", err, out)
	}
	return p
}

// script is the lines of a plan, for a shell that ends with the first that fails.
func (p plan) script() string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, c := range p.Changes {
		b.WriteString(": " + c.ID + "\n" + strings.Join(c.Commands, "\n") + "\n")
	}
	return b.String()
}

// typed carries out a plan as a person would who types its lines.
func (h *host) typed(p plan) {
	h.Helper()
	if len(p.Changes) == 0 {
		h.Fatal("there is nothing to do")
	}
	path := filepath.Join(h.TempDir(), "by-hand.sh")
	if err := os.WriteFile(path, []byte(p.script()), 0o600); err != nil {
		h.Fatal(err)
	}
	if out, err := testhost.Try(h.T, "sh", "-x", path); err != nil {
		h.Fatalf("typing the lines: %v\n%s", err, out)
	}
}

// sameByHand: the lines of the plan, typed on a machine that has nothing of topo, make what topo makes.
func (h *host) sameByHand() {
	h.Helper()
	h.must("up")
	made := h.standing()
	h.must("down", "-v")
	if diff := h.residue(); diff != "" {
		h.Fatalf("down leaves (-before +after):\n%s", diff)
	}
	h.typed(h.planned())
	if diff := testhost.Await(made, h.standing); diff != "" {
		h.Errorf("the lines of the plan make another machine (-topo +by hand):\n%s", diff)
	}
}

// forget takes down what was made by hand. What the machine was before, nobody has written down: forwarding is the test's to turn off,
// and the folder of hosts files to remove.
func (h *host) forget() {
	h.Helper()
	if p := h.planned(); len(p.Changes) > 0 {
		h.Errorf("after all lines were typed there is still to do: %v", p.Changes)
	}
	h.must("down", "-v")
	testhost.Run(h.T, "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")
	if err := os.Remove("/etc/netns"); err != nil && !os.IsNotExist(err) {
		h.Fatal(err)
	}
	if diff := h.residue(); diff != "" {
		h.Fatalf("down leaves (-before +after):\n%s", diff)
	}
}

// TestPrintedCommands: plan --commands prints what up does. Processes are no matter of a line, and not among this.
func TestPrintedCommands(t *testing.T) { printedCommands(t, "network") }

// TestVMPrintedCommands is the same of what needs a kernel with everything.
func TestVMPrintedCommands(t *testing.T) { printedCommands(t, "kernel") }

func printedCommands(t *testing.T, topologies ...string) {
	for _, topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			newHost(t, topology).sameByHand()
			t.Logf("figure: printed commands, %s: the same machine", topology)
		})
	}
}

func TestPrintedCommandsOfRandomTopologies(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	runs := 3
	if *whole {
		runs = 200
	}
	for n := range runs {
		h.drawn(n, topogen.Options{Plain: !everything})
		h.sameByHand()
		h.forget()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("figure: printed commands: %d random topologies, each the same machine", runs)
}

// drawn makes a random topology the machine's file: the n-th of the seed.
func (h *host) drawn(n int, o topogen.Options) {
	h.Helper()
	file := rapid.Custom(func(r *rapid.T) *topogen.File { return topogen.Draw(r, "random", o) })
	text := file.Example(int(*seed%(1<<31)) + n).YAML() //nolint:gosec // it fits
	h.file = filepath.Join(h.TempDir(), "topology.yaml")
	if err := os.WriteFile(h.file, text, 0o600); err != nil {
		h.Fatal(err)
	}
	h.Logf("topology %d:\n%s", n, text)
}
