package linux

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestLock(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	before := testhost.Machine(t)
	unlock, err := LockProject(t.Context(), project, Wait{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockProject(t.Context(), project, Wait{Limit: 50 * time.Millisecond})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Name != project || locked.Command == "" || time.Since(locked.Since) > time.Minute {
		t.Fatalf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := LockProject(ctx, project, Wait{Limit: -1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	host, err := open(t).LockHost(t.Context(), project, Wait{})
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

// A topo was killed while its iptables-restore was at work. The next one read the rules, the program took them away, and up ended
// with "differs from what was asked for".
func TestARestoreThatOutlivesItsTopoHoldsTheLock(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	programs := t.TempDir()
	for name, script := range map[string]string{
		"iptables":         "echo iptables v1.8.9",
		"iptables-restore": "echo > /run/begun; read wait < /run/on",
	} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	testhost.Run(t, "mkfifo", "/run/on")
	h := open(t)
	if _, err := h.LockHost(t.Context(), project, Wait{}); err != nil {
		t.Fatal(err)
	}
	restored := make(chan error, 1)
	go func() {
		restored <- h.Do(t.Context(), []kernel.Op{kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-N TOPO-USER"}})
	}()
	testhost.Poll(t, func() error { _, err := os.Stat("/run/begun"); return err })
	// The topo ends, as far as the lock goes: a killed one doesn't remove the file.
	if err := h.lock.Load().Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t)
	var locked *LockedError
	if _, err := next.LockHost(t.Context(), project, Wait{}); !errors.As(err, &locked) {
		t.Errorf("the next topo has the lock: %v", err)
	} else if locked.PID == os.Getpid() || !strings.Contains(locked.Command, "iptables-restore") {
		t.Errorf("it is not the program that is named: %v", err)
	}
	if err := os.WriteFile("/run/on", []byte("go on\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-restored; err != nil {
		t.Error(err)
	}
	release, err := next.LockHost(t.Context(), project, Wait{Limit: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
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
	if _, err := LockProject(t.Context(), project, Wait{}); !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Errorf("error %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	unlock, err := LockProject(t.Context(), project, Wait{})
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
	if _, err := LockProject(t.Context(), project, Wait{}); err != nil {
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
				unlock, err := LockProject(t.Context(), project, Wait{Limit: -1})
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
