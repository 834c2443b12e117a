package linux

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"topo/internal/testhost"
)

func TestLock(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	before := testhost.Machine(t)
	unlock, err := LockProject(t.Context(), project, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockProject(t.Context(), project, 50*time.Millisecond)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Name != project || locked.Command == "" || time.Since(locked.Since) > time.Minute {
		t.Fatalf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := LockProject(ctx, project, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	host, err := LockHost(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []func() error{host, unlock} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	unchanged(t, before)
}

// A file without a holder means nothing, and the lock of one who died is free.
func TestStaleLock(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLockForever$")
	cmd.Env = append(cmd.Environ(), "TOPO_CREATE=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "locked") {
		t.Fatalf("%q, %v", line, err)
	}
	var locked *LockedError
	if _, err := LockProject(t.Context(), project, 0); !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Errorf("error %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	unlock, err := LockProject(t.Context(), project, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestLockForever(t *testing.T) {
	if !creating() {
		t.Skip("run by TestStaleLock")
	}
	if _, err := LockProject(t.Context(), project, 0); err != nil {
		t.Fatal(err)
	}
	announce("locked")
	select {}
}

// Files are removed and made anew all the time; still there is never more than one holder.
func TestLockExcludes(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	before := testhost.Machine(t)
	var holders atomic.Int32
	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			for range 20 {
				unlock, err := LockProject(t.Context(), project, -1)
				if err != nil {
					return err
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				holders.Add(-1)
				if err := unlock(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	unchanged(t, before)
}
