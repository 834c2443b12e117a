package container

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// node is the process of one node in its supervisor's eyes.
type node struct {
	*launcher
	name string

	// One start or stop at a time.
	work sync.Mutex

	mu      sync.Mutex
	process kernel.Process
	record  record
	changed chan struct{} // closed at each change of record
	ended   chan struct{} // closed when a process that runs has ended, and that is recorded
}

func newNode(l *launcher, name string) *node {
	ended := make(chan struct{})
	close(ended)
	return &node{launcher: l, name: name, changed: make(chan struct{}), ended: ended}
}

// state gives the record and a channel that is closed when there is another.
func (n *node) state() (kernel.Process, record, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process, n.record, n.changed
}

// update changes the record, on disk first.
func (n *node) update(f func(*record)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.record
	f(&next)
	err := writeJSON(n.stateFile(n.name), next)
	n.record = next
	close(n.changed)
	n.changed = make(chan struct{})
	return err
}

// start starts a process; one that has ended makes room for it.
func (n *node) start(ctx context.Context, p kernel.Process) error {
	n.work.Lock()
	defer n.work.Unlock()
	if _, rec, _ := n.state(); rec.Status == kernel.Running {
		return fmt.Errorf("process %d: %w", rec.PID, unix.EEXIST)
	}
	if err := n.forget(ctx); err != nil {
		return err
	}
	if len(p.Argv) == 0 {
		return errors.New("no command")
	}
	if err := n.makeNode(n.name); err != nil {
		return err
	}
	if err := writeJSON(n.processFile(n.name), p); err != nil {
		return err
	}
	n.mu.Lock()
	n.process, n.record = p, record{}
	n.mu.Unlock()
	if err := n.launch(ctx, p); err != nil {
		code := 128 // Docker's code for a container that could not be made
		var command *CommandError
		if errors.As(err, &command) {
			code = command.Code
		}
		return errors.Join(err, n.update(func(r *record) {
			r.Status, r.ExitCode, r.Error, r.FinishedAt = kernel.Exited, code, err.Error(), time.Now().UTC()
		}))
	}
	return nil
}

// launch runs the process and sets everything up that watches it.
func (n *node) launch(ctx context.Context, p kernel.Process) error {
	io, err := makeOutput(n.layout, n.name)
	if err != nil {
		return err
	}
	defer io.Close()
	out, err := openOutput(n.layout, n.name)
	if err != nil {
		return err
	}
	save := func(r record) error {
		r.Status = kernel.Lost // what it is if this supervisor dies now
		return n.update(func(now *record) { *now = r })
	}
	launch := n.launchPlain
	if p.Container {
		launch = func(p kernel.Process, io stdio, save func(record) error) (launched, error) {
			return n.launchContainer(ctx, p, io, save)
		}
	}
	started, err := launch(p, io, save)
	if err == nil {
		started.Status, started.StartedAt = kernel.Running, time.Now().UTC()
		if p.Health != nil {
			started.Health = kernel.Starting
		}
		err = save(started.record)
	}
	if err == nil && started.run != nil {
		err = started.run(ctx)
	}
	if err != nil {
		_, rec, _ := n.state()
		rec.identity = started.identity
		p.StopGrace = 0
		return errors.Join(err, out.close(), halt(context.WithoutCancel(ctx), n.layout, p, rec))
	}
	if err := n.update(func(r *record) { *r = started.record }); err != nil {
		return err
	}
	n.watch(out, func(context.Context) (int, bool) { return (<-started.exit).Status, true }, started.end)
	return nil
}

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

// stop stops the process and forgets it.
func (n *node) stop(ctx context.Context) error {
	n.work.Lock()
	defer n.work.Unlock()
	return n.forget(ctx)
}

// forget removes everything of the node's process; work is held.
func (n *node) forget(ctx context.Context) error {
	p, rec, err := readNode(n.layout, n.name)
	if err != nil {
		return err
	}
	if p.Node != "" {
		if err := halt(ctx, n.layout, p, rec); err != nil {
			return err
		}
	}
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	<-ended
	if err := n.removeNode(n.name); err != nil {
		return fmt.Errorf("removing files of %s: %w", n.name, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process, n.record = kernel.Process{}, record{}
	close(n.changed)
	n.changed = make(chan struct{})
	return nil
}

// adopt takes over a process that an earlier supervisor started.
func (n *node) adopt(p kernel.Process, rec record) error {
	n.process, n.record = p, rec
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

var _ runc.IO = stdio{}
