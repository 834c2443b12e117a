package reliability_test

import (
	"os"
	"strings"
	"testing"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// reading are commands that promise to change nothing.
var reading = [][]string{{"validate"}, {"config"}, {"plan"}, {"ps"}, {"ls"}, {"inspect", "web"}, {"port", "web"}, {"logs"}, {"images"}, {"volume", "ls"}}

// TestReadingChangesNothing: commands that ask make no call that changes the machine, neither on one where topo never was nor
// on one that has what the file says.
func TestReadingChangesNothing(t *testing.T) {
	for _, topology := range []string{"network", "processes"} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, topology)
			runs := h.readsOnly(false)
			h.must("up")
			runs += h.readsOnly(true)
			h.must("down", "-v")
			t.Logf("figure: reading, %s: %d runs, no changing call", topology, runs)
		})
	}
}

func (h *host) readsOnly(up bool) int {
	h.Helper()
	when := map[bool]string{false: "before up", true: "after up"}[up]
	before := h.standing()
	for _, command := range reading {
		var changes []string
		observe := func(c tracer.Call) tracer.Action {
			if !c.After && !apart(c) {
				changes = append(changes, c.By+": "+c.What)
			}
			return tracer.Continue
		}
		r, err := tracer.Run(h.Context(), tracer.Program{Args: append([]string{os.Getenv(binaryVariable), "-f", h.file}, command...)}, observe)
		if err != nil {
			h.Fatal(err)
		}
		if up && r.Code != 0 {
			h.Errorf("after up, topo %s: %+v", strings.Join(command, " "), r)
		}
		if len(changes) > 0 {
			h.Errorf("%s, topo %s changes the machine:\n%s", when, strings.Join(command, " "), strings.Join(changes, "\n"))
		}
	}
	if diff := testhost.Await(before, h.standing); diff != "" {
		h.Errorf("%s, reading changed the machine (-before +after):\n%s", when, diff)
	}
	return len(reading)
}

// apart is what a program that reads does that the tracer takes for a change: it starts a program that reads, with the words of
// its output going to a pipe.
func apart(c tracer.Call) bool {
	return c.What == "start a process" || strings.HasPrefix(c.What, "execute ")
}
