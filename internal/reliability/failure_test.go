package reliability_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// errnos are what calls fail with.
var errnos = []unix.Errno{unix.EBUSY, unix.ENOBUFS, unix.EEXIST, unix.ENODEV, unix.EPERM, unix.ENOSPC}

// failures is what came of failures.
type failures struct {
	points, runs, missed, withstood, lies, stuck, residue int

	volumes map[string]string // of the topology, by their changes: which folder they are
}

// TestEveryFailure fails every call by which up and down change the machine, with every errno. Then what is reported as done is no
// change of a new plan, unless the error at the end names it as one, what is reported as failed or skipped is one; the exit code is 1 where anything is left to do; the next up
// ends clean, and down leaves the machine as it was before.
func TestEveryFailure(t *testing.T) { everyFailure(t, "network", "processes") }

// TestVMEveryFailure is the same of what needs a kernel with everything.
func TestVMEveryFailure(t *testing.T) { everyFailure(t, "kernel") }

func everyFailure(t *testing.T, topologies ...string) {
	for _, topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			h := newHost(t, topology)
			volumes := map[string]string{}
			for _, c := range h.planned().Changes {
				if strings.HasPrefix(c.ID, "volume/") {
					volumes[c.ID] = "/var/lib/topo/volumes/" + c.After["name"]
				}
			}
			calls := func(args ...string) []point {
				return slices.DeleteFunc(h.points(args...), func(p point) bool { return p.after || p.victim != "topo" })
			}
			of := map[string][]point{"up": calls("up")}
			h.must("plan", "--detailed-exitcode")
			standing := h.standing()
			of["down"] = calls("down", "-v")
			for _, verb := range []string{"up", "down"} {
				sample := map[string]int{"up": 5, "down": 3}[verb]
				f := failures{points: len(of[verb]), volumes: volumes}
				for i, p := range h.sample(of[verb], sample) {
					for _, errno := range h.someErrnos() {
						h.failAt(&f, p, verb, errno, standing)
					}
					if i%25 == 24 {
						h.Logf("so far %d runs of %s, %d untrue reports, %d stuck, %d with residue", f.runs, verb, f.lies, f.stuck, f.residue)
					}
				}
				t.Logf("figure: every failure of %s, %s: %d points, %d runs, %d untrue reports, %d stuck, %d with residue (%d withstood, %d points not met again)",
					verb, topology, f.points, f.runs, f.lies, f.stuck, f.residue, f.withstood, f.missed)
				if tooManyMissed(f.missed, f.runs) {
					t.Errorf("%d of %d runs didn't come by the call that was to fail", f.missed, f.runs)
				}
			}
		})
	}
}

// TestFoldersThatStay: an empty folder of topo's own that can't be removed makes no change a failed one that is done.
func TestFoldersThatStay(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	h.must("up")
	standing := h.standing()
	points := slices.DeleteFunc(h.points("down", "-v"), func(p point) bool {
		return p.after || p.victim != "topo" || !strings.HasPrefix(p.what, "remove /run/topo/records") && !strings.HasPrefix(p.what, "remove /etc/netns")
	})
	f := failures{points: len(points)}
	for _, p := range h.sample(points, 2) {
		h.failAt(&f, p, "down", unix.EPERM, standing)
	}
	t.Logf("figure: folders that stay: %d of %d removals failed, %d untrue reports", f.runs, f.points, f.lies)
}

// TestMountsOfARuntime: crun mounts a copy of its own program for a moment. Where it can't unmount that, the mount goes with crun.
func TestMountsOfARuntime(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "processes")
	standing := h.broughtUp()
	points := slices.DeleteFunc(h.points("up"), func(p point) bool {
		return p.after || p.by != "crun" || !strings.HasPrefix(p.what, "unmount /tmp/")
	})
	if len(points) == 0 {
		t.Fatal("crun unmounts nothing")
	}
	f := failures{points: len(points)}
	for _, p := range h.sample(points, 2) {
		h.failAt(&f, p, "up", unix.EBUSY, standing)
	}
	t.Logf("figure: mounts of a runtime: %d of %d stayed, %d with residue", f.runs, f.points, f.residue)
}

// someErrnos is one, or with -full all of them.
func (h *host) someErrnos() []unix.Errno {
	if *whole {
		return errnos
	}
	return []unix.Errno{errnos[h.random.IntN(len(errnos))]}
}

// failAt runs up, or down, with one call that fails.
func (h *host) failAt(f *failures, p point, verb string, errno unix.Errno, standing []string) {
	h.Helper()
	f.runs++
	args := []string{"up", "--progress", "json"}
	if verb == "down" {
		h.must("up")
		args = []string{"down", "-v", "--progress", "json"}
	}
	seen, failed := 0, false
	r := h.trace(func(c tracer.Call) tracer.Action {
		if failed || c.After || c.By != p.by || c.What != p.what {
			return tracer.Continue
		}
		seen++
		if seen <= p.n {
			return tracer.Continue
		}
		failed = true
		return tracer.Fail(errno)
	}, args...)
	where := fmt.Sprintf("%s of %s: %s (%d) fails with %v", verb, p.by, p.what, p.n, errno)
	if !failed {
		f.missed++
		h.Logf("not met again: %s", where)
	}
	if r.Code == 0 {
		f.withstood++
	}
	var words []string
	// What is there already need not be made, and what is gone need not be removed. Where the kernel says so and it isn't, topo's last
	// look at the machine tells what differs, or the next call fails that needs it.
	if p.by == "topo" && errno != unix.EEXIST {
		words = []string{errno.Error()}
		if errno == unix.ENODEV {
			words = append(words, "differs from what was asked for")
		}
	}
	left := func() map[string]bool { return h.left(verb, f.volumes, r) }
	lie := h.untrue(r, left(), words...)
	for end := time.Now().Add(5 * time.Second); lie != "" && time.Now().Before(end); { // the kernel takes what was in a namespace in its own time
		lie = h.untrue(r, left(), words...)
	}
	if lie != "" {
		f.lies++
		h.Errorf("%s: %s\n%s", where, lie, tail(r.Output))
	}
	var c crashes
	if verb == "up" || h.random.IntN(2) == 0 {
		h.converges(&c, p, verb, standing)
	}
	h.leavesNothing(&c, p, verb)
	if c.stuck+c.residue > 0 {
		h.Logf("that was after: %s\n%s", where, tail(r.Output))
	}
	f.stuck += c.stuck
	f.residue += c.residue
}

// left are the changes that a verb still has to make after a run, by a new reading of the machine. What down has left is what up would
// remove for a file without anything, and the volumes, which up never removes. The folder of one that is being removed has another
// name, by which it can't be told whose it was: it is that of the removal that failed.
func (h *host) left(verb string, volumes map[string]string, after tracer.Result) map[string]bool {
	h.Helper()
	left := map[string]bool{}
	if verb == "down" {
		text, err := os.ReadFile(h.file)
		if err != nil {
			h.Fatal(err)
		}
		file := h.file
		defer func() { h.file = file }()
		h.file = filepath.Join(h.TempDir(), "empty.yaml")
		name := regexp.MustCompile(`(?m)^name: .*\n`).Find(text)
		if err := os.WriteFile(h.file, name, 0o600); err != nil {
			h.Fatal(err)
		}
		said := readProgress(after.Output)
		there := func(folder string) bool { _, err := os.Stat(folder); return err == nil }
		half := there("/var/lib/topo/volumes/.gone")
		for id, folder := range volumes {
			if there(folder) || half && said.state[id] == "failed" {
				left[id] = true
			}
		}
	}
	for _, c := range h.planned().Changes {
		left[c.ID] = true
	}
	return left
}

// told is what topo tells of a run, in the lines of --progress json.
type told struct {
	state   map[string]string // of each change: "done", "failed", "skipped"
	errors  map[string]string // of each change that is not done
	summary bool
	final   string // the error at the end
}

func readProgress(output string) told {
	t := told{state: map[string]string{}, errors: map[string]string{}}
	for line := range strings.Lines(output) {
		var e struct {
			Event, ID, Error string
		}
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		switch e.Event {
		case "done", "failed", "skipped":
			t.state[e.ID] = e.Event
			if e.Event != "done" {
				t.errors[e.ID] = e.Error
			}
		case "summary":
			t.summary = true
		case "error":
			t.final = e.Error
		}
	}
	return t
}

// untrue says in what the report of a run that met a failure differs from what a new reading of the machine has left to
// do; "" in nothing. words are the kernel's, one of which the report must have; none where another program heard them.
func (h *host) untrue(r tracer.Result, left map[string]bool, words ...string) string {
	h.Helper()
	switch {
	case r.Signal != 0 || r.Code != 0 && r.Code != 1:
		return fmt.Sprintf("it ends with %d, signal %d", r.Code, r.Signal)
	case strings.Contains(r.Output, "internal error") || strings.Contains(r.Output, "goroutine "):
		return "it panics"
	}
	said := readProgress(r.Output)
	switch {
	case r.Code == 0 && len(left) > 0:
		return fmt.Sprintf("all is well, and there is left to do: %v", left)
	case r.Code == 0 && said.final != "":
		return "exit code 0 and an error"
	case r.Code == 1 && said.final == "":
		return "exit code 1 without an error"
	case r.Code == 1 && len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(r.Output, w) }):
		return "the kernel's words are not told"
	}
	var lies []string
	failed := 0
	for id, state := range said.state {
		switch {
		case state == "done" && left[id] && !strings.Contains(said.final, id):
			lies = append(lies, id+" is told to be done, and is to do")
		case state == "failed" && !left[id] && said.sweptLater(id):
		case state != "done" && !left[id] && (state != "failed" || !said.halfMade(left)):
			lies = append(lies, id+" is told to be "+state+", and is done")
		case state == "failed":
			failed++
			if !strings.Contains(said.errors[id], id) {
				lies = append(lies, "the error doesn't name "+id)
			}
		}
	}
	for id := range left {
		if said.summary && said.state[id] == "" && !said.blames(id) {
			lies = append(lies, id+" is to do, and nothing is told of it")
		}
	}
	if failed == 0 && slices.Contains(states(said), "skipped") {
		lies = append(lies, "something is skipped, and nothing has failed")
	}
	slices.Sort(lies)
	return strings.Join(lies, "\n")
}

// sweptLater: what the removal of a volume that failed has left goes with the next removal of one.
func (t told) sweptLater(id string) bool {
	for other, state := range t.state {
		if strings.HasPrefix(id, "volume/") && strings.HasPrefix(other, "volume/") && other != id && state == "done" {
			return true
		}
	}
	return false
}

// halfMade: of a veth one change makes both ends. Where the first is as it should be, what is to do is the other's.
func (t told) halfMade(left map[string]bool) bool {
	for id := range left {
		if t.state[id] == "" && t.blames(id) {
			return true
		}
	}
	return false
}

// blames: what a change that failed has left half made shows by more than its own ID: the interface is named by its error.
func (t told) blames(id string) bool {
	_, name, ok := strings.Cut(id, ":")
	for _, err := range t.errors {
		if ok && strings.Contains(err, name) {
			return true
		}
	}
	return false
}

func states(t told) []string {
	var out []string
	for _, s := range t.state {
		out = append(out, s)
	}
	return out
}

// tail is what topo printed without the plan, which comes first, and without what went well.
func tail(output string) string {
	var kept []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "  ") || strings.Contains(line, `"event":"started"`) || strings.Contains(line, `"event":"done"`) {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept[max(0, len(kept)-20):], "")
}

// TestInterruptedDumps: the kernel marks a dump that was interrupted by a change, and topo asks again. When each dump is
// interrupted, topo says that the machine can't be read.
func TestInterruptedDumps(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	up := func(interrupted func(n int) bool) (tracer.Result, int) {
		dumps := 0
		r, err := tracer.Run(h.Context(), tracer.Program{
			Args:        []string{os.Getenv(binaryVariable), "up", "-f", h.file, "--progress", "json"},
			Interrupted: func() bool { dumps++; return interrupted(dumps - 1) },
		}, func(tracer.Call) tracer.Action { return tracer.Continue })
		if err != nil {
			h.Fatal(err)
		}
		return r, dumps
	}
	r, dumps := up(func(int) bool { return false })
	if r.Code != 0 || dumps == 0 {
		h.Fatalf("%d dumps: %+v", dumps, r)
	}
	standing := h.standing()
	h.must("down", "-v")
	every := 8
	if *whole {
		every = 1
	}
	runs := 0
	for n := h.random.IntN(every); n < dumps; n += max(every, dumps/6*min(1, every-1)) {
		runs++
		if r, _ := up(func(i int) bool { return i == n }); r.Code != 0 {
			h.Errorf("with dump %d interrupted, up ends with %d:\n%s", n, r.Code, tail(r.Output))
		}
		if diff := testhost.Await(standing, h.standing); diff != "" {
			h.Errorf("with dump %d interrupted, up makes another machine:\n%s", n, diff)
		}
		h.must("down", "-v")
	}
	r, _ = up(func(int) bool { return true })
	if said := readProgress(r.Output); r.Code != 1 || !strings.Contains(said.final, "interrupted") && !strings.Contains(said.final, "chang") {
		h.Errorf("with all dumps interrupted, up ends with %d:\n%s", r.Code, r.Output)
	}
	if diff := h.residue(); diff != "" {
		h.Errorf("what can't be read was changed:\n%s", diff)
	}
	t.Logf("figure: interrupted dumps: %d of %d interrupted once each, none is seen; all: a true error", runs, dumps)
}

// TestFullDisk: there is no room for topo's own files.
func TestFullDisk(t *testing.T) {
	for _, topology := range []string{"network", "processes"} {
		for _, folder := range []string{"/run/topo", "/var/lib/topo"} {
			t.Run(topology+strings.ReplaceAll(folder, "/", "-"), func(t *testing.T) {
				t.Parallel()
				if testhost.Outside(t) {
					return
				}
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				testhost.Run(t, "mount", "-t", "tmpfs", "-o", "mode=0755,size=64m,nr_inodes=1000", "tmpfs", folder)
				h := newHost(t, topology)
				standing := h.broughtUp()
				rooms := []int{1, 2, 3, 4, 6, 8, 12, 16, 24}
				if !*whole {
					rooms = []int{1, 2 + h.random.IntN(6)}
				}
				var f failures
				for _, room := range rooms {
					f.runs++
					testhost.Run(t, "mount", "-o", fmt.Sprintf("remount,nr_inodes=%d", room), folder)
					out, err := exec.CommandContext(t.Context(), os.Getenv(binaryVariable), "up", "-f", h.file, "--progress", "json").CombinedOutput()
					r := tracer.Result{Output: string(out)}
					if err != nil {
						r.Code = 1
						if exit, ok := err.(*exec.ExitError); ok {
							r.Code = exit.ExitCode()
						}
					}
					if r.Code == 0 {
						f.withstood++
					}
					// An overlay on a full disk is one that can't be written to (ovl_make_workdir in fs/overlayfs/super.c).
					if lie := h.untrue(r, h.left("up", nil, r), unix.ENOSPC.Error(), unix.EROFS.Error()); lie != "" {
						f.lies++
						h.Errorf("with room for %d files in %s: %s\n%s", room, folder, lie, tail(r.Output))
					}
					testhost.Run(t, "mount", "-o", "remount,nr_inodes=1000", folder)
					var c crashes
					p := point{by: folder, what: "no room", n: room}
					h.converges(&c, p, "up", standing)
					h.leavesNothing(&c, p, "up")
					f.stuck += c.stuck
					f.residue += c.residue
				}
				t.Logf("figure: full disk, %s, %s: %d runs, %d untrue reports, %d stuck, %d with residue (%d withstood)",
					topology, folder, f.runs, f.lies, f.stuck, f.residue, f.withstood)
			})
		}
	}
}
