package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// unknownCode is the exit code of what ended, nobody knows how, and is restarting or was stopped.
const unknownCode = -1

// finish records the end of a run; at is zero when it was not seen. It begins the wait for the next one, if the policy
// has one follow.
func (n *node) finish(how ending, at time.Time) {
	n.complain(n.update(func(r *record) { r.finish(n.process, how, at) }))
	if _, rec, _ := n.state(); rec.Status == kernel.Restarting {
		go n.restartLater()
	}
}

func (r *record) finish(p kernel.Process, how ending, at time.Time) {
	*r = r.lost()
	r.FinishedAt = at
	if how.known {
		r.Status, r.ExitCode, r.Signal = kernel.Exited, how.code, how.signal
	}
	if r.ContainerID != "" {
		r.OOMKilled = how.oom || oomKilled(r.group())
	}
	again := p.Restart.Again(how.known && how.code == 0, r.Restarts)
	if !how.known && (r.Halted || again) {
		r.ExitCode = unknownCode
	}
	switch {
	case r.Halted:
		r.Status = kernel.Stopped
	case again:
		if at.IsZero() {
			at = time.Now()
		}
		r.Status = kernel.Restarting
		r.Backoff = kernel.NextBackoff(r.Backoff, at.Sub(r.StartedAt))
		r.RestartAt = at.Add(r.Backoff).UTC()
	}
}

// restartLater starts a process again when its back-off is over, unless something else has become of it until then.
func (n *node) restartLater() {
	for {
		_, rec, changed := n.state()
		if rec.Status != kernel.Restarting {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Until(rec.RestartAt)):
			n.complain(n.restart(context.Background()))
			n.thrift.after()
			return
		}
	}
}

// restart is a policy's. One that fails counts as a run that failed at once.
func (n *node) restart(ctx context.Context) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, rec, _ := n.state()
	if rec.Status != kernel.Restarting {
		return nil
	}
	rec.Restarts++
	err := n.tidy(ctx, p, rec)
	if err == nil {
		err = n.launch(ctx, p, rec)
	}
	if err == nil {
		return nil
	}
	at := time.Now().UTC()
	saved := n.update(func(r *record) {
		r.Restarts, r.Backoff, r.StartedAt = rec.Restarts, rec.Backoff, at
		r.finish(p, ending{known: true, code: launchCode(err)}, at)
		r.Error = err.Error()
	})
	go n.restartLater()
	return errors.Join(fmt.Errorf("restarting: %w", err), saved)
}

// tidy removes what a run that has ended left, but for what it wrote and printed; work is held.
func (n *node) tidy(ctx context.Context, p kernel.Process, rec record) error {
	p.StopGrace = 0 // of a start that was cut short, something may be there
	end := halt
	if p.Runtime == kernel.RuntimeDocker {
		end = haltDocker // the next run is of the same container
	}
	if err := end(ctx, n.layout, p, rec); err != nil {
		return err
	}
	n.awaitEnd()
	return nil
}

var errNoProcess = errors.New("no process was started")

// halt ends the process because a person wants it so.
func (n *node) halt(ctx context.Context, grace time.Duration) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, rec, err := n.markHalted()
	if err != nil || rec.Status != kernel.Running {
		return err
	}
	if grace >= 0 {
		p.StopGrace = grace
	}
	if err := haltMain(ctx, rec.Image.Over(p), rec.identity); err != nil {
		return fmt.Errorf("stopping %s: %w", n.name, err)
	}
	n.awaitEnd()
	return nil
}

// markHalted has the policy do nothing more for what runs, or waits for its next run.
func (n *node) markHalted() (kernel.Process, record, error) {
	if p, _, _ := n.state(); p.Node == "" {
		return p, record{}, errNoProcess
	}
	err := n.update(func(r *record) {
		switch r.Status {
		case kernel.Running:
			r.Halted = true
		case kernel.Restarting:
			r.Status = kernel.Stopped
		}
	})
	p, rec, _ := n.state()
	return p, rec, err
}

// resume starts once more what has ended.
func (n *node) resume(ctx context.Context) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, rec, _ := n.state()
	switch {
	case p.Node == "":
		return errNoProcess
	case rec.Status == kernel.Running:
		return nil
	}
	if err := n.tidy(ctx, p, rec); err != nil {
		return err
	}
	if err := n.makeNode(n.name); err != nil {
		return err
	}
	return n.run(ctx, p)
}

// signal sends one to the main process. It does not wait for a stop that is under way: it may be what that waits for.
func (n *node) signal(ctx context.Context, name string) error {
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return err
	}
	p, rec, _ := n.state()
	stop, err := stopSignal(rec.Image.Over(p))
	if err != nil {
		return err
	}
	if sig == unix.SIGKILL || sig == stop {
		if p, rec, err = n.markHalted(); err != nil {
			return err
		}
	}
	if p.Node == "" {
		return errNoProcess
	}
	if rec.Status != kernel.Running {
		return nil
	}
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	fd, err := rec.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer fd.close()
	if err := fd.signal(sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("sending signal %d: %w", sig, err)
	}
	if sig != unix.SIGKILL {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// adjust changes what only the supervisor goes by.
func (n *node) adjust(to kernel.Process) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, _, _ := n.state()
	if p.Node == "" {
		return errNoProcess
	}
	p = p.Adjusted(to)
	if err := writeJSON(n.processFile(n.name), p); err != nil {
		return err
	}
	n.mu.Lock()
	n.process = p
	n.mu.Unlock()
	return n.update(func(r *record) {
		if r.Status != kernel.Restarting || p.Restart.Again(r.ExitCode == 0, r.Restarts) {
			return
		}
		r.Status = kernel.Exited
		if r.ExitCode == unknownCode {
			*r = r.lost()
		}
	})
}
