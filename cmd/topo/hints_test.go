package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"topo/executor"
	"topo/internal/container"
	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
)

func TestHints(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no programs
	start := kernel.ProcessStart{Process: kernel.Process{Container: true}}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"no iptables", fmt.Errorf("planning: %w", &planner.ShortError{Needs: []kernel.Need{kernel.NeedIP6tables}}), "apt-get install iptables"},
		{"a read-only folder", fmt.Errorf("locking: %w", syscall.EROFS), "remount,rw"},
		{"no runtime", fmt.Errorf("up: %w", &executor.StepError{Op: start, Err: errors.New("x")}), "apt-get install crun"},
		{"a feature", &linux.FeatureError{Option: "CONFIG_VETH"}, "CONFIG_VETH"},
		{"no credentials", fmt.Errorf("up: %w", &transport.Error{StatusCode: 401}), "docker login"},
		{"no engine", fmt.Errorf("planning: %w", &container.UnreachableError{Address: "unix:///x", Err: syscall.ENOENT}), "systemctl start docker"},
		{"no right to ask the engine", &container.UnreachableError{Address: "unix:///x", Err: syscall.EACCES}, "sudo"},
		{"an engine of another machine", &container.ElsewhereError{DockerHost: "tcp://x"}, "Unset DOCKER_HOST"},
		{"not up", &notUpError{"lab"}, "topo ls"},
		{"a difference", &executor.VerifyError{Plan: &planner.Plan{}}, "topo plan"},
		{"locked", &linux.LockedError{Name: "lab", PID: 7}, "--lock-timeout"},
		{"locked tables", fmt.Errorf("up: %w", &executor.StepError{Err: &linux.TablesLockedError{PID: 7}}), "Wait until that program is done"},
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
