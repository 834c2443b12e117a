package main

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"topo/internal/linux"
	"topo/planner"
)

func TestHints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"locked", &linux.LockedError{Name: "lab", PID: 7}, "--lock-timeout"},
		{"no iptables", fmt.Errorf("reading rules: %w", &exec.Error{Name: "ip6tables-save", Err: exec.ErrNotFound}), "apt-get install iptables"},
		{"no runtime", &exec.Error{Name: "/usr/bin/crun", Err: exec.ErrNotFound}, "apt-get install crun"},
		{"conflict", &planner.ConflictError{Object: "bridge br0", Ways: []string{"rename it", "remove it"}}, "bridge br0: rename it; or remove it"},
		{"conflicts", fmt.Errorf("planning: %w", planner.Conflicts{{Object: "a", Ways: []string{"x"}}, {Object: "b", Ways: []string{"y"}}}), "a: x\nb: y"},
		{"no file", &missingFileError{"/x"}, "-f FILE"},
		{"no capability", fmt.Errorf("adding link: %w", syscall.EPERM), "root"},
		{"a sentence", &usageError{command: "plan"}, "topo plan --help"},
	} {
		if got := strings.Join(hints(c.err), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q has no %q", c.name, got, c.want)
		}
	}
	if got := hints(fmt.Errorf("x")); got != nil {
		t.Errorf("a hint on nothing: %q", got)
	}
}

// A mistake in topo is a short message, never a stack.
func TestPanicIsAMessage(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	code := run([]string{"topo", "version"}, strings.NewReader(""), panics{}, &stderr)
	if code != 1 || !strings.HasPrefix(stderr.String(), "topo: internal error: oh\n") || strings.Contains(stderr.String(), "goroutine") {
		t.Errorf("%d: %s", code, stderr.String())
	}
}

type panics struct{ io.Writer }

func (panics) Write([]byte) (int, error) { panic("oh") }
