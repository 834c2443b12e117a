package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// ociRuntime is a program that runs containers: crun, runc or another with their command line.
type ociRuntime struct {
	path string
	root string // where it keeps its state
}

// findRuntimes gives those to try, in order: the stated one only, or crun (fast), then runc.
func findRuntimes(stated, root string) ([]ociRuntime, error) {
	names := []string{stated}
	if stated == "" {
		names = []string{"crun", "runc"}
	}
	var found []ociRuntime
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, ociRuntime{path, root})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("finding an OCI runtime: no %s in PATH", strings.Join(names, " and no "))
	}
	return found, nil
}

// isCrun: its annotations and its quirks are to be minded.
func (rt ociRuntime) isCrun() bool { return strings.Contains(filepath.Base(rt.path), "crun") }

// apart starts OCI runtimes in mount namespaces of their own. crun mounts a copy of its own program in /tmp for a moment
// (ensure_cloned_binary in its src/libcrun/cloned_binary.c): on the host that would stay where it is killed just then. What makes a
// container has such a namespace already, and the mounts in there are the container's.
type apart struct{ runc.ProcessMonitor }

func (a apart) Start(c *exec.Cmd) (chan runc.Exit, error) { return a.ProcessMonitor.Start(inMounts(c)) }

func (a apart) StartLocked(c *exec.Cmd) (chan runc.Exit, error) {
	return a.ProcessMonitor.StartLocked(inMounts(c))
}

func inMounts(c *exec.Cmd) *exec.Cmd {
	if slices.Contains(c.Args, "create") {
		return c
	}
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Unshareflags |= unix.CLONE_NEWNS
	return c
}

var startApart = sync.OnceFunc(func() { runc.Monitor = apart{runc.Monitor} })

// client calls the runtime, with its errors in a log of its own: its stderr is the container's.
func (rt ociRuntime) client(log string) *runc.Runc {
	startApart()
	r := &runc.Runc{Command: rt.path, Root: rt.root, Log: log, LogFormat: runc.JSON}
	if rt.isCrun() && !hasCgroups() {
		r.ExtraArgs = []string{"--cgroup-manager=disabled"}
	}
	return r
}

// failure makes a runtime's error readable: its last logged error instead of "exit status 1", as a
// CommandError when it is about the program that was to be run.
func (rt ociRuntime) failure(argv0, log string, err error) error {
	if err == nil {
		return nil
	}
	message := lastError(log)
	if message == "" {
		return fmt.Errorf("running %s: %w", rt.path, err)
	}
	// The wordings of crun and runc; Docker tells them apart in this way, too (moby, daemon/start.go).
	switch {
	case strings.Contains(message, "not found in $PATH"),
		strings.Contains(message, argv0) && strings.Contains(strings.ToLower(message), "no such file or directory"):
		return &CommandError{argv0, 127, errNotFound}
	case strings.Contains(message, "exec") && strings.Contains(strings.ToLower(message), "permission denied"),
		strings.Contains(message, "open executable: Operation not permitted"), // a folder, says crun
		strings.Contains(message, argv0) && strings.Contains(strings.ToLower(message), "permission denied"):
		return &CommandError{argv0, 126, errNotAllowed}
	}
	return fmt.Errorf("running %s: %s", rt.path, message)
}

// lastError is the last error in a runtime's log.
func lastError(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	var last string
	for line := range strings.Lines(string(data)) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	return last
}

// start lets a container that was made run its program, and returns when it does: when its main process,
// until then the runtime's, has become another one or has ended without an error of the runtime's.
// An init must be ready, too: the first process of a PID namespace loses a signal that it doesn't handle yet.
func (rt ociRuntime) start(ctx context.Context, main identity, id, argv0 string, init bool, log string) error {
	proc := "/proc/" + strconv.Itoa(main.PID)
	exe := proc + "/exe"
	before, err := os.Readlink(exe)
	if err != nil {
		return fmt.Errorf("finding container %s: %w", id, err)
	}
	if err := rt.client(log).Start(ctx, id); err != nil {
		return rt.failure(argv0, log, err)
	}
	const pause = 200 * time.Microsecond // against an execve(2) that is under way
	for main.alive() {
		// The new program comes before its arguments: until these are there, execve(2) is under way.
		now, err := os.Readlink(exe)
		argv, aerr := os.ReadFile(proc + "/cmdline")
		if err == nil && aerr == nil && now != before && len(argv) > 0 && (!init || handles(main.PID, unix.SIGTERM)) {
			return nil
		}
		time.Sleep(pause)
	}
	if lastError(log) != "" {
		return rt.failure(argv0, log, errors.New("it ended at once"))
	}
	return nil
}

// handles reports whether a process has a handler for a signal: SigCgt of proc_pid_status(5).
func handles(pid int, sig unix.Signal) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(status), "SigCgt:")
	word, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
	return err == nil && mask&(1<<(sig-1)) != 0
}

// remove deletes a container, killing what is left of it; one that is not there is fine.
func (rt ociRuntime) remove(ctx context.Context, id, log string) error {
	if _, err := os.Stat(filepath.Join(rt.root, id)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := rt.client(log).Delete(ctx, id, &runc.DeleteOpts{Force: true}); err != nil {
		return fmt.Errorf("deleting container %s: %w", id, rt.failure("", log, err))
	}
	return nil
}
