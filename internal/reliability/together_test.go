package reliability_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// crowd is how many topos run at once.
func crowd() int {
	if *whole {
		return 32
	}
	return 8
}

// patience is more than any of these runs takes. What takes longer hangs.
const patience = 3 * time.Minute

// ran is what came of one of several topos.
type ran struct {
	out  string
	code int
}

// atOnce runs n topos at the same time. None may take longer than patience.
func (h *host) atOnce(n int, args func(i int) []string) []ran {
	h.Helper()
	results := make([]ran, n)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			cmd := exec.CommandContext(h.Context(), os.Getenv(binaryVariable), args(i)...)
			limit := time.AfterFunc(patience, func() {
				h.Errorf("%s hangs", cmd)
				_ = cmd.Cancel() // it may just have ended
			})
			defer limit.Stop()
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				h.Error(err)
				return
			}
			results[i] = ran{string(out), cmd.ProcessState.ExitCode()}
		})
	}
	all.Wait()
	return results
}

// allMust runs topo once for each of the files, all at the same time; each must succeed.
func (h *host) allMust(files []string, args ...string) {
	h.Helper()
	for i, r := range h.atOnce(len(files), func(i int) []string {
		return append([]string{args[0], "-f", files[i]}, args[1:]...)
	}) {
		if r.code != 0 {
			h.Errorf("topo %s of %s among others: exit code %d\n%s", args[0], filepath.Base(files[i]), r.code, r.out)
		}
	}
	if h.Failed() {
		h.FailNow()
	}
}

// TestProjectsTogether brings many projects up and down at once, that all leave it to topo to choose subnets, names and ports.
func TestProjectsTogether(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	n := crowd()
	files := h.projects(n)
	h.allMust(files, "up", "--lock-timeout", "2m")
	h.chosen(n)
	h.allMust(files, "plan", "--detailed-exitcode")

	// Every other one goes and comes while the rest is asked for what is there already.
	odd, even := every(files, 1), every(files, 0)
	var both sync.WaitGroup
	both.Go(func() { h.allMust(odd, "down") })
	both.Go(func() { h.allMust(even, "up") })
	both.Wait()
	h.chosen(len(even))
	h.allMust(odd, "up")
	h.chosen(n)
	h.allMust(files, "down")
	if diff := h.residue(); diff != "" {
		t.Errorf("%d projects leave (-before +after):\n%s", n, diff)
	}
	t.Logf("figure: projects together: %d at once, up, half down, up, down: no duplicate, nothing left", n)
}

// projects writes the files of n projects that leave it to topo to choose subnets, names and ports.
func (h *host) projects(n int) []string {
	h.Helper()
	files := make([]string, n)
	dir := h.TempDir()
	for i := range files {
		files[i] = filepath.Join(dir, fmt.Sprintf("p%d.yaml", i))
		text := fmt.Sprintf("name: p%d\nbridges: {app: {}}\nnamespaces:\n  web: {bridges: [app], ports: [\"80\"]}\n  db: {bridges: [app]}\n", i)
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			h.Fatal(err)
		}
	}
	return files
}

// every gives those of odd (1) or even (0) number.
func every(files []string, rest int) []string {
	var chosen []string
	for i, f := range files {
		if i%2 == rest {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

var (
	bridgeAddress = regexp.MustCompile(`(?m)^\d+: (\S+) .*inet (\S+)`)
	published     = regexp.MustCompile(`--dport (\d+) .*-j DNAT --to-destination (\S+)`)
)

// chosen checks that n projects have n bridges, with n subnets, and n host ports that lead to n nodes.
func (h *host) chosen(n int) {
	h.Helper()
	subnets, bridges := map[string]bool{}, map[string]bool{}
	for _, m := range bridgeAddress.FindAllStringSubmatch(testhost.Run(h.T, "ip", "-4", "-o", "address"), -1) {
		if m[1] == "lo" || strings.HasPrefix(m[1], "em") {
			continue
		}
		bridges[m[1]], subnets[m[2]] = true, true
	}
	if len(bridges) != n || len(subnets) != n {
		h.Fatalf("%d projects have %d bridges with %d subnets: %v, %v", n, len(bridges), len(subnets),
			slices.Sorted(maps.Keys(bridges)), slices.Sorted(maps.Keys(subnets)))
	}
	leads := map[string]string{}
	for _, m := range published.FindAllStringSubmatch(testhost.Run(h.T, "iptables-save", "-t", "nat"), -1) {
		if to, ok := leads[m[1]]; ok && to != m[2] {
			h.Fatalf("host port %s leads to %s and to %s", m[1], to, m[2])
		}
		leads[m[1]] = m[2]
	}
	nodes := map[string]bool{}
	for _, to := range leads {
		nodes[to] = true
	}
	if len(leads) != n || len(nodes) != n {
		h.Fatalf("%d projects publish %d ports to %d nodes: %v", n, len(leads), len(nodes), leads)
	}
}

// during runs topo and calls do once, before its n-th call (from 0) that changes the machine, while it stands still. It
// gives what topo printed, and whether the run came so far.
func (h *host) during(n int, do func(), args ...string) (r tracer.Result, met bool) {
	h.Helper()
	calls := 0
	r = h.trace(func(c tracer.Call) tracer.Action {
		if c.After || c.By != "topo" {
			return tracer.Continue
		}
		if calls == n {
			met = true
			var beside sync.WaitGroup
			beside.Go(do) // the observer's thread waits for all that it starts, by wait(2)
			beside.Wait()
		}
		calls++
		return tracer.Continue
	}, args...)
	return r, met
}

// midway is a call of which there are a good many before and after, in the up of the network topology. The lock is held by then.
const midway = 40

// TestOneProjectTogether has many topos at one project. Those that may not wait say who is at work, the others come one after
// the other.
func TestOneProjectTogether(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	n := crowd()
	says := regexp.MustCompile(`net is locked by process [1-9]\d* \(.* up .*\) since \d\d:\d\d:\d\d`)
	r, met := h.during(midway, func() {
		for _, r := range h.atOnce(n-1, func(i int) []string {
			return h.args([]string{[]string{"up", "down"}[i%2], "--lock-timeout", "0"})
		}) {
			if r.code != 5 || !says.MatchString(r.out) {
				t.Errorf("a second topo: exit code %d, not 5, or it doesn't say who has the lock:\n%s", r.code, r.out)
			}
		}
	}, "up")
	if !met || r.Code != 0 {
		t.Fatalf("up, while others try, met %t: %+v", met, r)
	}
	h.must("plan", "--detailed-exitcode")
	h.must("down", "-v")

	done, refused := 0, 0
	for _, r := range h.atOnce(n, func(int) []string { return h.args([]string{"up", "--lock-timeout", "0"}) }) {
		switch r.code {
		case 0:
			done++
		case 5:
			refused++
		default:
			t.Errorf("one of %d: exit code %d\n%s", n, r.code, r.out)
		}
	}
	if done == 0 {
		t.Errorf("none of %d got the lock", n)
	}
	for _, verb := range []string{"down", "up", "up"} {
		for _, r := range h.atOnce(n, func(int) []string { return h.args([]string{verb, "--lock-timeout", "3m"}) }) {
			if r.code != 0 {
				t.Errorf("one of %d that wait, %s: exit code %d\n%s", n, verb, r.code, r.out)
			}
		}
	}
	h.must("plan", "--detailed-exitcode")
	h.must("down", "-v")
	if diff := h.residue(); diff != "" {
		t.Errorf("%d at once leave (-before +after):\n%s", n, diff)
	}
	t.Logf("figure: one project together: %d refused while one works, naming it; of %d at once %d done, %d refused; 3×%d that wait all done", n-1, n, done, refused, n)
}

// TestDownDuringUp asks for a down in the middle of an up, and for an up in the middle of a down.
func TestDownDuringUp(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	for _, pair := range [][2]string{{"up", "down"}, {"down", "up"}} {
		second := make(chan ran, 1)
		r, met := h.during(midway/4, func() {
			go func() {
				second <- h.atOnce(1, func(int) []string { return h.args([]string{pair[1], "--lock-timeout", "1m"}) })[0]
			}()
		}, pair[0])
		if !met || r.Code != 0 {
			t.Fatalf("%s, met %t: %+v", pair[0], met, r)
		}
		if s := <-second; s.code != 0 {
			t.Fatalf("%s during %s: exit code %d\n%s", pair[1], pair[0], s.code, s.out)
		}
		if pair[1] == "down" {
			if diff := h.residue(); diff != "" {
				t.Fatalf("down during up leaves (-before +after):\n%s", diff)
			}
			h.must("up")
		}
	}
	h.must("plan", "--detailed-exitcode")
	h.must("down", "-v")
	if diff := h.residue(); diff != "" {
		t.Errorf("left (-before +after):\n%s", diff)
	}
	t.Log("figure: down during up, up during down: 2 runs, each waited and did its work")
}

// TestEditsTogether has many topos at one project, each with a file of its own. They come one after the other: the machine is as one of
// the files has it, whole, and nothing is there of the others.
func TestEditsTogether(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	n := crowd()
	files := make([]string, n)
	dir := t.TempDir()
	for i := range files {
		files[i] = filepath.Join(dir, fmt.Sprintf("edit%d.yaml", i))
		text := fmt.Sprintf("name: one\nbridges: {app: {}}\nnamespaces:\n  node%d: {bridges: [app], ports: [\"%d:80\"]}\n", i, 8000+i)
		if err := os.WriteFile(files[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.allMust(files, "up", "--lock-timeout", patience.String())
	asked := 0
	for i, r := range h.atOnce(n, func(i int) []string { return []string{"plan", "-f", files[i], "--detailed-exitcode"} }) {
		switch r.code {
		case 0:
			asked++
		case 2:
		default:
			t.Errorf("a plan of %s: exit code %d\n%s", filepath.Base(files[i]), r.code, r.out)
		}
	}
	if asked != 1 {
		t.Errorf("the machine is as %d of %d files have it", asked, n)
	}
	h.chosen(1)
	h.allMust(files[:1], "down")
	if diff := h.residue(); diff != "" {
		t.Errorf("left (-before +after):\n%s", diff)
	}
	t.Logf("figure: edits together: %d files of one project at once: all done, one whole file is what stays, nothing left", n)
}
