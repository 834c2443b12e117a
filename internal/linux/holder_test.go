package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"topo/internal/testhost"
)

// stranger is a process that has taken a project's lock and says nothing of it in the file.
func stranger(t *testing.T) (pid int, end func()) {
	t.Helper()
	if err := makeDir(locksDir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("flock", "--no-fork", LockFile(project), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "locked\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd.Process.Pid, func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}
}

// A topo that was killed left its words in the lock's file, and whoever came next was told that he waited for a process that was gone.
// A process of that number that doesn't have the lock is not named either.
func TestOnlyWhoHasTheLockIsNamed(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	pid, end := stranger(t)
	defer end()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		"", "{", // begun
		fmt.Sprintf(`{"pid": %d, "command": "topo up", "project": "p", "since": "2026-01-02T03:04:05Z"}`, gone.Process.Pid),
		fmt.Sprintf(`{"pid": %d, "command": "topo up", "project": "p", "since": "2026-01-02T03:04:05Z"}`, os.Getpid()),
	} {
		if err := os.WriteFile(LockFile(project), []byte(words), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LockProject(t.Context(), project, Wait{})
		var held *LockedError
		if !errors.As(err, &held) || held.PID != pid || held.Command != "cat" || !held.Since.IsZero() {
			t.Errorf("with %q in the file: %v", words, err)
		}
	}
}

func TestWhoWaitsIsToldForWhomOnce(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	pid, end := stranger(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := make(chan *LockedError, 100)
	locked := make(chan error, 1)
	go func() {
		unlock, err := LockProject(ctx, project, Wait{Limit: -1, Tell: func(held *LockedError) { told <- held }})
		if err == nil {
			err = unlock()
		}
		locked <- err
	}()
	select {
	case held := <-told:
		if held.PID != pid || !strings.Contains(held.Error(), fmt.Sprintf("is locked by process %d (cat)", pid)) {
			t.Errorf("told: %v", held)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody is told")
	}
	end()
	if err := <-locked; err != nil {
		t.Error(err)
	}
	if len(told) > 0 {
		t.Errorf("told again: %v", <-told)
	}
}

// Who gives up is told who had the lock, whatever ends the waiting.
func TestWhoGivesUpIsToldForWhom(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	pid, end := stranger(t)
	defer end()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := LockProject(ctx, project, Wait{Limit: -1, Tell: func(*LockedError) { cancel() }})
	var held *LockedError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &held) || held.PID != pid {
		t.Errorf("error %v", err)
	}
}

func TestLockedErrorReads(t *testing.T) {
	t.Parallel()
	now := time.Now()
	yesterday := now.AddDate(0, 0, -1)
	for _, c := range []struct {
		err  LockedError
		want string
	}{
		{LockedError{Name: "lab"}, "lab is locked by another process"},
		{LockedError{Name: "lab", PID: 7}, "lab is locked by process 7"},
		{LockedError{Name: "lab", PID: 7, Command: "topo up", Project: "lab", Since: now}, "lab is locked by process 7 (topo up) since " + now.Format(time.TimeOnly)},
		{LockedError{Name: "lab", PID: 7, Command: "topo up", Since: yesterday}, "lab is locked by process 7 (topo up) since " + yesterday.Format(time.DateTime)},
		{
			LockedError{Name: hostLock, PID: 7, Command: "topo up -f x", Project: "x", Since: now},
			"what all projects share is being changed by process 7 (topo up -f x) for x since " + now.Format(time.TimeOnly),
		},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
