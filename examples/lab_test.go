// Package examples_test brings each example up on a machine of its own, with the topo that a user would
// run, looks at the result with the system's own tools, breaks it, has it repaired, takes it down, and
// compares the machine with what it was before.
package examples_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

var update = flag.Bool("update", false, "write the goldens anew")

const binaryVariable = testhost.TopoVariable

func TestMain(m *testing.M) { os.Exit(testhost.RunWithTopo(m)) }

// patience is how long anything may take that is waited for: much longer than any of it does.
const patience = time.Minute

// A lab is an example that is up.
type lab struct {
	*testing.T
	file   string
	before string // the machine without it
}

// start brings an example up and checks what holds for every one: a second plan is
// empty, and so is what a second up does.
func start(t *testing.T, file string) *lab {
	t.Helper()
	l := &lab{T: t, file: file, before: testhost.Machine(t)}
	l.up()
	t.Cleanup(func() {
		// A container's processes are not the test's children: where the test failed half way, say what they said.
		if t.Failed() {
			out, err := exec.Command(os.Getenv(binaryVariable), "logs", "-f", file).CombinedOutput()
			t.Logf("topo logs (%v):\n%s", err, out)
		}
	})
	l.settled()
	return l
}

// topo runs topo with the lab's file; it must succeed.
func (l *lab) topo(args ...string) string {
	l.Helper()
	out, code := l.try(args...)
	if code != 0 {
		l.Fatalf("topo %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// try runs topo with the lab's file and gives stdout (with stderr after it, where it failed) and the exit code.
func (l *lab) try(args ...string) (out string, code int) {
	l.Helper()
	args = slices.Insert(slices.Clone(args), 1, "-f", l.file)
	cmd := exec.CommandContext(l.Context(), os.Getenv(binaryVariable), args...)
	stdout, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return string(stdout), 0
	case errors.As(err, &exit):
		return string(stdout) + string(exit.Stderr), exit.ExitCode()
	}
	l.Fatal(err)
	return "", 0
}

func (l *lab) up() { l.Helper(); l.topo("up", "--wait") }

// down takes the lab down, and nothing must be left of it.
func (l *lab) down() {
	l.Helper()
	l.topo("down")
	l.asBefore()
}

// asBefore checks that nothing is left of the lab.
func (l *lab) asBefore() {
	l.Helper()
	diff := testhost.Await(testhost.Steady(l.before), func() []string { return testhost.Steady(testhost.Machine(l.T)) })
	if diff != "" {
		l.Errorf("the machine is not what it was before (-before +after):\n%s", diff)
	}
}

// settled checks that there is nothing to do.
func (l *lab) settled() {
	l.Helper()
	if out, code := l.try("plan", "--detailed-exitcode"); code != 0 {
		l.Fatalf("a second plan is not empty, exit code %d:\n%s", code, out)
	}
}

// changes is the plan, a line each: "~ link/web:eth0". The exit code must fit.
func (l *lab) changes() []string {
	l.Helper()
	out, code := l.try("plan", "--json", "--detailed-exitcode")
	var plan struct {
		Changes []struct{ ID, Action string }
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		l.Fatalf("reading the plan (exit code %d): %v\n%s", code, err, out)
	}
	if want := min(len(plan.Changes), 1) * 2; code != want {
		l.Fatalf("topo plan --detailed-exitcode: %d, want %d for %d changes", code, want, len(plan.Changes))
	}
	runes := map[string]string{"create": "+", "update": "~", "replace": "±", "delete": "-"}
	var lines []string
	for _, c := range plan.Changes {
		lines = append(lines, runes[c.Action]+" "+c.ID)
	}
	slices.Sort(lines)
	return lines
}

// heal breaks the lab with a shell command. The plan must have exactly the wanted changes, and up must
// repair it: the machine is then what it was before it was broken, byte for byte.
func (l *lab) heal(broken string, want ...string) {
	l.Helper()
	before := quiet(testhost.Machine(l.T))
	l.sh(broken)
	l.plans(broken, want...)
	l.up()
	l.settled()
	testhost.Poll(l.T, func() error {
		// Once a bridge is up, the kernel takes up to a second to say so (linkwatch).
		if diff := cmp.Diff(before, quiet(testhost.Machine(l.T))); diff != "" {
			return fmt.Errorf("after %q and its repair the machine differs (-before +after):\n%s", broken, diff)
		}
		return nil
	})
}

// checking is what health checks leave for a moment, and in the log: a process that ends has no command line.
var checking = regexp.MustCompile(`/exec-|/log\.\d+ |crun .* exec|curl --fail|redis-cli|^ *\d+ $`)

// supervisor is the command line of one, behind its pid. A check that a supervisor begins has it, too, between fork and exec.
var supervisor = regexp.MustCompile(`^ *\d+ (topo-supervisor .*)`)

// chosen is which member a bond uses for the moment, and what became of the others.
var chosen = regexp.MustCompile(`active_slave \S+ |bond_slave state \w+ mii_status \w+ link_failure_count \d+`)

// quiet is [steady] without what comes and goes while a lab is up. A bridge that has had a carrier
// since it was made is UNKNOWN, one that lost it once is UP.
func quiet(machine string) []string {
	seen := map[string]bool{}
	lines := slices.DeleteFunc(testhost.Steady(machine), func(line string) bool {
		if m := supervisor.FindStringSubmatch(line); m != nil {
			forked := seen[m[1]]
			seen[m[1]] = true
			return forked
		}
		return checking.MatchString(line)
	})
	for i, line := range lines {
		line = strings.Replace(line, "state UNKNOWN mode DEFAULT", "state UP mode DEFAULT", 1)
		lines[i] = chosen.ReplaceAllString(line, "")
	}
	return lines
}

// plans checks that the plan has exactly these changes.
func (l *lab) plans(after string, want ...string) {
	l.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	if diff := cmp.Diff(want, l.changes()); diff != "" {
		l.Errorf("the plan after %q (-want +got):\n%s", after, diff)
	}
}

// sh runs a shell line that must succeed, and gives what it printed.
func (l *lab) sh(line string) string {
	l.Helper()
	return testhost.Run(l.T, "sh", "-c", line)
}

// fails runs a shell line that must not succeed.
func (l *lab) fails(line string) {
	l.Helper()
	if out, err := testhost.Try(l.T, "sh", "-c", line); err == nil {
		l.Errorf("%q succeeded:\n%s", line, out)
	}
}

// shows runs a shell line, whose output must have all these texts in it.
func (l *lab) shows(line string, texts ...string) {
	l.Helper()
	out := l.sh(line)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			l.Errorf("%q does not show %q:\n%s", line, text, out)
		}
	}
}

// ping is one ping that must be answered.
func ping(address string) string { return "ping -c 1 -W 5 " + address }

// noPing is one ping that nobody is expected to answer: it waits less.
func noPing(address string) string { return "ping -c 1 -W 1 " + address }

// get fetches a page; it retries while nobody listens yet, which is the case in the first
// moment of a process without a health check.
func get(url string) string {
	return "curl --silent --show-error --fail --max-time 10 --retry 60 --retry-connrefused --retry-delay 1 --retry-max-time 60 " + url
}

// noGet fetches a page that must not be reached.
func noGet(url string) string { return "curl --silent --fail --output /dev/null --max-time 1 " + url }

// in runs a shell line in a network namespace.
func in(netns, line string) string { return "ip netns exec " + netns + " " + line }

// edited writes a variant of an example beside nothing else and makes it the lab's file. Relative paths in
// it would lead elsewhere: only examples without any are edited.
func (l *lab) edited(replace ...string) {
	l.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.Fatal(err)
	}
	changed := strings.NewReplacer(replace...).Replace(string(text))
	if changed == string(text) {
		l.Fatalf("%s has nothing of %q", l.file, replace)
	}
	l.file = filepath.Join(l.TempDir(), filepath.Base(l.file))
	if err := os.WriteFile(l.file, []byte(changed), 0o644); err != nil {
		l.Fatal(err)
	}
}
