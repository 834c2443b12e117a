package reliability_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// point is a moment at which topo can be killed: before or after the n-th call, from 0, of those that do the same.
type point struct {
	by, what string
	n        int
	after    bool
	action   tracer.Action
	victim   string
}

func (p point) String() string {
	when := "before"
	if p.after {
		when = "after"
	}
	return fmt.Sprintf("%s killed %s %s: %s (%d)", p.victim, when, p.by, p.what, p.n)
}

// points are all that a run has: before and after each call that changes the machine topo is killed; and where another
// process makes the call, that one, too, and once both.
func (h *host) points(args ...string) []point {
	h.Helper()
	var points []point
	counts := map[string]int{}
	r := h.trace(func(c tracer.Call) tracer.Action {
		if c.After {
			return tracer.Continue
		}
		key := c.By + c.What
		for _, after := range []bool{false, true} {
			points = append(points, point{c.By, c.What, counts[key], after, tracer.Kill, "topo"})
			if c.By != "topo" {
				points = append(points, point{c.By, c.What, counts[key], after, tracer.KillCaller, c.By}, point{c.By, c.What, counts[key], after, tracer.KillAll, "everything"})
			}
		}
		counts[key]++
		return tracer.Continue
	}, args...)
	if r.Code != 0 {
		h.Fatalf("topo %s, traced: %+v", strings.Join(args, " "), r)
	}
	if len(points) == 0 {
		h.Fatalf("topo %s changed nothing", strings.Join(args, " "))
	}
	return points
}

// killAt runs topo and kills at a point. It reports whether the run came by it.
func (h *host) killAt(p point, args ...string) bool {
	h.Helper()
	seen, killed := 0, false
	h.trace(func(c tracer.Call) tracer.Action {
		if killed || c.By != p.by || c.What != p.what || c.After != p.after {
			return tracer.Continue
		}
		seen++
		if seen <= p.n {
			return tracer.Continue
		}
		killed = true
		return p.action
	}, args...)
	return killed
}

// crashes is what came of crashes.
type crashes struct {
	points, runs, missed, stuck, residue int
	others                               int // machines that up has made another way than at once
}

// TestEveryCrash kills topo before and after every call that changes the machine, in up and in down. From each point up ends
// clean, and from each down leaves the machine as it was before up.
func TestEveryCrash(t *testing.T) { everyCrash(t, "network", "processes") }

// TestVMEveryCrash is the same of what needs a kernel with everything.
func TestVMEveryCrash(t *testing.T) { everyCrash(t, "kernel") }

func everyCrash(t *testing.T, topologies ...string) {
	for _, topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, topology)
			var c crashes
			ofUp := h.points("up")
			h.must("plan", "--detailed-exitcode")
			standing := h.standing()
			ofDown := h.points("down", "-v")
			if diff := h.residue(); diff != "" {
				t.Fatalf("down leaves (-before +after):\n%s", diff)
			}
			c.points = len(ofUp) + len(ofDown)
			h.crash(&c, h.sample(ofUp, 4), h.sample(ofDown, 2), standing)
			t.Logf("figure: every crash, %s: %d points, %d runs, %d stuck, %d with residue (%d points not met again)",
				topology, c.points, c.runs, c.stuck, c.residue, c.missed)
			if tooManyMissed(c.missed, c.runs) {
				t.Errorf("%d of %d runs didn't come by the point where they were to be killed", c.missed, c.runs)
			}
		})
	}
}

// tooManyMissed: which calls a run makes, and how often, differs a little with the order in which changes end that don't wait for each
// other. So a point may be one that no other run comes by; a quarter of them may not.
func tooManyMissed(missed, runs int) bool { return missed > max(1, runs/4) }

// sample is n of the points, or with -full all of them, or as many as -most says; in an order of chance, so that a run that is
// ended early has met all kinds. Of all, what an OCI runtime does within a call comes last: it is many times what topo itself does.
func (h *host) sample(points []point, n int) []point {
	points = slices.Clone(points)
	if *whole {
		points = slices.DeleteFunc(points, func(p point) bool { return !h.inPart(p) })
	}
	n = howMany(n, len(points))
	h.random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	if *whole {
		slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(ofRuntime(a), ofRuntime(b)) })
	}
	return points[:min(n, len(points))]
}

// inPart: a point is in one of the parts of -part, by its name, so in the same one in each run.
func (h *host) inPart(p point) bool {
	var k, n uint32
	if _, err := fmt.Sscanf(*part, "%d/%d", &k, &n); err != nil || k < 1 || k > n {
		h.Fatalf("-part %s is not K/N", *part)
	}
	name := fnv.New32a()
	fmt.Fprint(name, p)
	return name.Sum32()%n == k-1
}

func ofRuntime(p point) int {
	if p.by == "crun" || p.by == "runc" {
		return 1
	}
	return 0
}

// crash kills at each point twice: then there is a down, and an up. What one run ends with is what the next begins with.
func (h *host) crash(c *crashes, ofUp, ofDown []point, standing []string) {
	h.Helper()
	kill := func(points []point, i int, args ...string) point {
		if i >= len(points) {
			h.must(args...)
			return point{by: "nobody", what: "nothing", victim: "nobody"}
		}
		c.runs++
		if !h.killAt(points[i], args...) {
			c.missed++
			h.Logf("not met again: %s of %s", points[i], args[0])
		}
		return points[i]
	}
	const (
		tooMany = 10 // failures: what comes after them says nothing new
		every   = 25 // points there is a word of how far it is
	)
	for i := range max(len(ofUp), len(ofDown)) {
		if i < len(ofUp) {
			h.leavesNothing(c, kill(ofUp, i, "up"), "up")
		}
		h.converges(c, kill(ofUp, i, "up"), "up", standing)
		if i < len(ofDown) {
			h.converges(c, kill(ofDown, i, "down", "-v"), "down", standing)
		}
		h.leavesNothing(c, kill(ofDown, i, "down", "-v"), "down")
		if c.stuck+c.residue+c.others > tooMany {
			h.Fatalf("after %d runs that is enough: %d stuck, %d with residue, %d machines that differ", c.runs, c.stuck, c.residue, c.others)
		}
		if i%every == every-1 {
			h.Logf("so far %d runs, %d stuck, %d with residue, %d machines that differ (%d points not met again)", c.runs, c.stuck, c.residue, c.others, c.missed)
		}
	}
}

// leavesNothing takes down what there is.
func (h *host) leavesNothing(c *crashes, p point, verb string) {
	h.Helper()
	if out, code := h.topo("down", "-v", "--lock-timeout", "10s"); code != 0 {
		c.stuck++
		h.Errorf("%s of %s; down: exit code %d\n%s", p, verb, code, out)
	}
	if diff := h.residue(); diff != "" {
		c.residue++
		h.Errorf("%s of %s, and down leave (-before +after):\n%s", p, verb, diff)
		h.before = h.machine()
	}
}

// converges brings up what there should be.
func (h *host) converges(c *crashes, p point, verb string, standing []string) {
	h.Helper()
	if out, code := h.topo("up", "--lock-timeout", "10s"); code != 0 {
		c.stuck++
		h.Errorf("%s of %s; up: exit code %d\n%s", p, verb, code, out)
		return
	}
	if out, code := h.topo("plan", "--detailed-exitcode"); code != 0 {
		c.stuck++
		h.Errorf("%s of %s; a plan after up has:\n%s", p, verb, out)
	}
	if diff := testhost.Await(standing, h.standing); diff != "" {
		c.others++
		h.Errorf("%s of %s; up makes another machine than at once (-at once +after the crash):\n%s", p, verb, diff)
	}
}
