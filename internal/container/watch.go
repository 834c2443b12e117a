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

// watch follows a running process to its end. exit waits and gives the code, if that can be known.
func (n *node) watch(out *output, exit func(context.Context) (code int, known bool), cleanup func() error) {
	ended := make(chan struct{})
	n.mu.Lock()
	n.ended = ended
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	var checks sync.WaitGroup
	if n.process.Health != nil {
		checks.Go(func() { n.check(ctx) })
	}
	go func() {
		defer close(ended)
		code, known := exit(ctx)
		finished := time.Now().UTC()
		cancel()
		checks.Wait()
		n.complain(cleanup())
		n.complain(out.finish(lastWords))
		n.complain(n.update(func(r *record) {
			*r = r.lost()
			if known {
				r.Status, r.ExitCode = kernel.Exited, code
			}
			r.FinishedAt = finished
		}))
	}()
}

// lastWords is how long the output of a process that has ended may take to be read. All who can
// write it have been killed, so it is a matter of microseconds.
const lastWords = 2 * time.Second

// adopt takes over a process that an earlier supervisor started.
func (n *node) adopt(p kernel.Process, rec record) error {
	n.process, n.record = rec.Image.Over(p), rec
	if rec.Status != kernel.Running {
		return nil
	}
	fd, err := rec.open()
	if errors.Is(err, unix.ESRCH) {
		return errors.Join(sweepNumber(rec.MountNS), n.update(func(r *record) { *r = r.lost() }))
	}
	if err != nil {
		return err
	}
	out, err := openOutput(n.layout, n.name)
	if err != nil {
		return err
	}
	cleanup := func() error {
		fd.close()
		return sweepNumber(rec.MountNS)
	}
	n.watch(out, func(ctx context.Context) (int, bool) {
		if err := fd.wait(ctx); err != nil {
			n.complain(err)
			return 0, false
		}
		return fd.exitCode()
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
