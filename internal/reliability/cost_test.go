package reliability_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// TestCostOfANode counts what one more node costs topo: changes of the machine, requests to netlink, looks at files. These
// don't depend on what else the machine does, as times do. Who makes a node dearer has this test fail, and says so; who makes it
// cheaper writes the new figures down.
func TestCostOfANode(t *testing.T) {
	for name, c := range map[string]struct {
		file func(nodes int) string
		want map[string]map[string]int // by verb; while down waits it opens and looks
	}{
		"star": {star, map[string]map[string]int{
			"up":   {"changes": 19, "messages": 12, "openings": 9, "looks": 19, "namespaces entered": 2, "programs": 0},
			"plan": {"changes": 0, "messages": 6, "openings": 4, "looks": 6, "namespaces entered": 2, "programs": 0},
			"down": {"changes": 8, "messages": 6, "namespaces entered": 2, "programs": 0},
		}},
		"routers in a row": {row, map[string]map[string]int{
			"up":   {"changes": 28, "messages": 15, "openings": 19, "looks": 29, "namespaces entered": 6, "programs": 0},
			"plan": {"changes": 0, "messages": 10, "openings": 6, "looks": 8, "namespaces entered": 2, "programs": 0},
			"down": {"changes": 15, "messages": 12, "namespaces entered": 6, "programs": 0},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, "network")
			const few, many = 10, 50
			cost := func(nodes int) map[string]map[string]int {
				h.file = filepath.Join(t.TempDir(), "lab.yaml")
				if err := os.WriteFile(h.file, []byte(c.file(nodes)), 0o600); err != nil {
					t.Fatal(err)
				}
				costs := map[string]map[string]int{}
				for range 3 { // who waits for the kernel looks more than once: the least counts
					for _, verb := range []string{"up", "plan", "down"} {
						now := h.cost(verb)
						for what, n := range costs[verb] {
							now[what] = min(now[what], n)
						}
						costs[verb] = now
					}
				}
				return costs
			}
			less, more := cost(few), cost(many)
			for verb, want := range c.want {
				for what, want := range want {
					each := float64(more[verb][what]-less[verb][what]) / (many - few)
					if math.Abs(each-float64(want)) > 0.4 {
						t.Errorf("one more node costs %s %.2f %s, not %d", verb, each, what, want)
					}
				}
				t.Logf("figure: cost of a node, %s: %s: %v", name, verb, want)
			}
		})
	}
}

// star has nodes with nothing but an address, at one bridge.
func star(nodes int) string {
	var b strings.Builder
	b.WriteString("name: star\nbridges: {net: {subnet: 10.80.0.0/16}}\nnamespaces:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  n%d: {bridges: [net]}\n", 100+i) // names of one length
	}
	return b.String()
}

// row has routers, each linked to the next one. All links have the same two indices.
func row(nodes int) string {
	var b, links strings.Builder
	b.WriteString("name: row\nnamespaces:\n")
	for i := range nodes {
		fmt.Fprintf(&b, "  n%d: {forwarding: true}\n", 100+i)
		if i > 0 {
			fmt.Fprintf(&links, "  - {endpoints: [{node: n%d, interface: right, address: 10.80.%d.1/24}, {node: n%d, interface: left, address: 10.80.%d.2/24}]}\n", 99+i, i, 100+i, i)
		}
	}
	return b.String() + "links:\n" + links.String()
}

// cost counts what a run changes and starts, with all that it starts, and what it asks itself.
func (h *host) cost(verb string) map[string]int {
	h.Helper()
	counts := map[string]int{}
	r := h.trace(func(c tracer.Call) tracer.Action {
		if !c.After {
			counts["changes"]++
			if strings.HasPrefix(c.What, "execute ") {
				counts["programs"]++
			}
		}
		return tracer.Continue
	}, verb)
	if r.Code != 0 {
		h.Fatalf("topo %s, traced: %+v", verb, r)
	}
	for what, calls := range map[string][]uint64{
		"messages":           {unix.SYS_SENDTO, unix.SYS_SENDMSG},
		"openings":           {unix.SYS_OPENAT, unix.SYS_SOCKET},
		"looks":              {unix.SYS_NEWFSTATAT, unix.SYS_STATFS, unix.SYS_GETDENTS64},
		"namespaces entered": {unix.SYS_SETNS, unix.SYS_UNSHARE},
	} {
		for _, call := range calls {
			counts[what] += r.Calls[call]
		}
	}
	return counts
}
