package container

import (
	"context"
	"errors"
	"log"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// ending is how a run ended; the zero value: nobody knows.
type ending struct {
	known  bool
	code   int    // 128+n for signal n
	signal string // "SIGKILL"; "" for an exit
	oom    bool   // memory was short: an engine says so, or its control group did
}

func endingOf(s unix.WaitStatus) ending {
	e := ending{known: true, code: exitCode(s)}
	if s.Signaled() {
		e.signal = unix.SignalName(s.Signal())
	}
	return e
}

// watch follows a running process to its end. exit waits for that.
func (n *node) watch(out recorder, exit func(context.Context) ending, cleanup func() error) {
	ended := make(chan struct{})
	n.mu.Lock()
	n.ended = ended
	p := n.record.Image.Over(n.process)
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var checks sync.WaitGroup
	if p.Health != nil {
		checks.Go(func() { n.check(ctx, p) })
	}
	go func() {
		defer close(ended)
		how := exit(ctx)
		finished := time.Now().UTC()
		cancel()
		checks.Wait()
		n.complain(cleanup())
		n.complain(out.finish())
		n.finish(how, finished)
	}()
}

// adopt takes over a process that an earlier supervisor started.
func (n *node) adopt(p kernel.Process, rec record) error {
	n.process, n.record = p, rec
	switch rec.Status {
	case kernel.Running:
	case kernel.Restarting:
		go n.restartLater()
		return nil
	case kernel.Lost: // a start that was cut short
		if rec.orphaned() && p.Runtime != kernel.RuntimeDocker {
			if err := n.endRuntimes(rec.ContainerID); err != nil {
				return err
			}
		}
		if p.Restart.Again(false, rec.Restarts) {
			n.finish(ending{}, time.Time{})
		}
		return nil
	default:
		return nil
	}
	if p.Runtime == kernel.RuntimeDocker {
		return n.adoptDocker(rec)
	}
	fd, err := rec.open()
	if errors.Is(err, unix.ESRCH) {
		err := sweepNumber(rec.MountNS)
		n.finish(ending{}, time.Time{})
		return err
	}
	if err != nil {
		return err
	}
	out, err := openOutput(n.layout, n.name, n.limits)
	if err != nil {
		return err
	}
	cleanup := func() error {
		fd.close()
		return sweepNumber(rec.MountNS)
	}
	n.watch(out, func(ctx context.Context) ending {
		if err := fd.wait(ctx); err != nil {
			n.complain(err)
			return ending{}
		}
		if status, ok := fd.waitStatus(); ok {
			return endingOf(status)
		}
		return ending{}
	}, cleanup)
	return nil
}

// end cleans up after a main process that has ended.
func (s launched) end() error {
	if s.mountNS == nil {
		return nil
	}
	defer s.mountNS.Close()
	return sweep(s.mountNS)
}

// complain writes what nobody waits for into the supervisor's log.
func (n *node) complain(err error) {
	if err != nil {
		log.Printf("%s: %v", n.name, err)
	}
}
