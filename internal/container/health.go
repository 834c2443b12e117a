package container

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// check runs a process's health check until ctx ends, as Docker does (moby, daemon/health.go): the first
// after one interval, each next one an interval after the last has ended. While the start period
// lasts and no check has passed, the interval is the start interval, and failures don't count.
func (n *node) check(ctx context.Context, p kernel.Process) {
	h := p.Health
	failures := 0
	for {
		_, rec, _ := n.state()
		starting := rec.Health == kernel.Starting && time.Since(rec.StartedAt) < h.StartPeriod
		pause := h.Interval
		if starting {
			pause = h.StartInterval
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		output, err := n.probe(ctx, p, rec)
		n.thrift.after()
		if ctx.Err() != nil {
			return
		}
		health := rec.Health
		switch {
		case err == nil:
			failures, health = 0, kernel.Healthy
		case rec.Health == kernel.Starting && time.Since(rec.StartedAt) < h.StartPeriod:
		default:
			if failures++; failures >= h.Retries {
				health = kernel.Unhealthy
			}
		}
		if err != nil && output == "" {
			output = err.Error()
		}
		n.complain(n.update(func(r *record) { r.Health, r.HealthLog = health, output }))
	}
}

// probe runs the check once; the error says how it failed. One that takes longer than the timeout
// is killed, and has failed.
func (n *node) probe(ctx context.Context, p kernel.Process, rec record) (output string, err error) {
	h := p.Health
	limited, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	var out shortBuffer
	r := ExecRequest{Project: n.project, Node: n.name, Argv: h.Argv, Stdout: &out, Stderr: &out, Signals: make(chan os.Signal), patience: patience}
	code, err := 0, error(nil)
	if p.Container {
		code, err = execIn(limited, n.layout, p, rec, r)
	} else {
		code, err = n.probePlain(limited, p, rec, r)
	}
	switch {
	case limited.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("the check took longer than %v", h.Timeout)
	case err == nil && code != 0:
		err = fmt.Errorf("the check exited with code %d", code)
	}
	return out.text(), err
}

// patience is how long a child that a check left may hold its output open.
const patience = time.Second

// probePlain is execPlain with children that the reaper waits for. The whole process group is killed at the timeout.
func (n *node) probePlain(ctx context.Context, p kernel.Process, rec record, r ExecRequest) (int, error) {
	var cmd *exec.Cmd
	var exit chan runc.Exit
	err := onThread(func() error {
		err := joinPlace(rec.identity)
		if err != nil {
			return err
		}
		if cmd, err = r.plainCommand(p, n.path); err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = r.Stdout, r.Stderr
		cmd.SysProcAttr.Setsid = true
		cmd.WaitDelay = r.patience
		if exit, err = n.reaper.Start(cmd); err != nil {
			return commandError(r.Argv[0], err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })()
	return n.reaper.Wait(cmd, exit)
}

// shortBuffer keeps the beginning of what is written, as much as Docker shows of a check.
type shortBuffer struct{ bytes.Buffer }

const checkOutput = 4096 // bytes

// Write keeps what there is room for, and takes all.
func (b *shortBuffer) Write(p []byte) (int, error) {
	if room := checkOutput - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *shortBuffer) text() string { return strings.ToValidUTF8(strings.TrimSpace(b.String()), "") }
