package container

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"topo/internal/image"
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

// start starts a process; one that has ended makes room for it. docker is where the engine listens that is to run it, if one is.
func (n *node) start(ctx context.Context, p kernel.Process, docker string) error {
	n.work.Lock()
	defer n.work.Unlock()
	if _, rec, _ := n.state(); rec.Status == kernel.Running {
		return fmt.Errorf("process %d: %w", rec.PID, unix.EEXIST)
	}
	if err := n.forget(ctx); err != nil {
		return err
	}
	rec, err := n.note(ctx, &p, docker)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.process, n.record = p, rec
	n.mu.Unlock()
	return n.run(ctx, p)
}

// note writes down what is to be started, which image that is, and what is mounted. From then on all of these are in use.
// docker is where the engine listens that is to run it.
func (n *node) note(ctx context.Context, p *kernel.Process, docker string) (record, error) {
	var from origin
	if p.Image != "" {
		if p.Runtime != kernel.RuntimeDocker {
			release, err := image.Open(n.dataDir).Use(ctx)
			if err != nil {
				return record{}, err
			}
			defer release()
		}
		var err error
		if from, err = n.findOrigin(ctx, p, docker); err != nil {
			return record{}, err
		}
	}
	if len(from.config.Over(*p).Argv) == 0 {
		return record{}, errors.New("no command")
	}
	added, err := n.added(p, from.config)
	if err != nil {
		return record{}, err
	}
	if err := n.makeNode(n.name); err != nil {
		return record{}, err
	}
	rec := record{Status: kernel.Lost, Starter: n.self, Image: from.config, Added: added, Runtime: docker}
	if err := writeJSON(n.stateFile(n.name), rec); err != nil {
		return record{}, err
	}
	return rec, writeJSON(n.processFile(n.name), *p) // the last: without it there is no process
}

// run is the first run after a person's start: when it can't be, that is told, and not tried again.
func (n *node) run(ctx context.Context, p kernel.Process) error {
	err := n.launch(ctx, p, record{})
	if err == nil {
		return nil
	}
	return errors.Join(err, n.update(func(r *record) {
		*r = r.lost()
		r.Status, r.ExitCode, r.Error, r.FinishedAt = kernel.Exited, launchCode(err), err.Error(), time.Now().UTC()
	}))
}

// launchCode is the exit code of what could not be started.
func launchCode(err error) int {
	var command *CommandError
	if errors.As(err, &command) {
		return command.Code
	}
	return 128 // Docker's, for a container that could not be made
}

// launch runs the process and sets everything up that watches it. Of the runs before, the new one inherits the
// count and the back-off.
func (n *node) launch(ctx context.Context, p kernel.Process, before record) error {
	_, noted, _ := n.state()
	p, from, err := n.filledIn(ctx, p, noted)
	if err != nil {
		return err
	}
	if err := n.volumes().claim(p, noted.Added); err != nil {
		return err
	}
	save := func(r record) error {
		r.Restarts, r.Backoff, r.Added = before.Restarts, before.Backoff, noted.Added
		r.Status, r.Starter = kernel.Lost, n.self // what it is if this supervisor dies now
		return n.update(func(now *record) { *now = r })
	}
	launch := n.launchHere
	if p.Runtime == kernel.RuntimeDocker {
		launch = n.launchDocker
	}
	started, out, err := launch(ctx, p, from, save)
	if err == nil {
		started.StartedAt = time.Now().UTC()
		if p.Health != nil {
			started.Health = kernel.Starting
		}
		err = save(started.record)
	}
	if err == nil && started.run != nil {
		err = started.run(ctx)
	}
	if err == nil {
		err = n.update(func(r *record) { r.Status, r.Starter = kernel.Running, identity{} })
	}
	if err != nil {
		_, rec, _ := n.state()
		rec.identity = started.identity
		p.StopGrace = 0
		if out != nil {
			err = errors.Join(err, out.close())
		}
		return errors.Join(err, halt(context.WithoutCancel(ctx), n.layout, p, rec))
	}
	ended := started.ended
	if ended == nil {
		ended = func(context.Context) ending { return endingOf(unix.WaitStatus((<-started.exit).Status)) }
	}
	n.watch(out, ended, started.end)
	return nil
}

// filledIn is the process with all that its image and other nodes' add.
func (n *node) filledIn(ctx context.Context, p kernel.Process, noted record) (kernel.Process, origin, error) {
	from, err := n.findOrigin(ctx, &p, noted.Runtime)
	if err != nil {
		return p, from, err
	}
	p = from.config.Over(p)
	p.Mounts = putOver(p.Mounts, noted.Added...)
	return p, from, nil
}

// launchHere starts a process, with FIFOs for what it prints.
func (n *node) launchHere(ctx context.Context, p kernel.Process, from origin, save func(record) error) (launched, recorder, error) {
	io, err := makeStdio(n.layout, p)
	if err != nil {
		return launched{}, nil, err
	}
	defer io.Close()
	out, err := openOutput(n.layout, n.name, n.limits)
	if err != nil {
		return launched{}, nil, err
	}
	var started launched
	if p.Container {
		started, err = n.launchContainer(ctx, p, from, io, save)
	} else {
		started, err = n.launchPlain(p, io, save)
	}
	return started, out, err
}

// findOrigin finds a process's image, and notes in the process which it is. docker is where the engine listens that has it.
func (n *node) findOrigin(ctx context.Context, p *kernel.Process, docker string) (origin, error) {
	if p.Runtime != kernel.RuntimeDocker {
		return findOrigin(image.Open(n.dataDir), p)
	}
	c, err := n.dockers.at(ctx, docker)
	if err != nil {
		return origin{}, err
	}
	return dockerOrigin(ctx, c, New(n.config), p)
}

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
	n.awaitEnd()
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

// awaitEnd returns when no process runs, and its end is recorded; whoever calls has seen to its end.
func (n *node) awaitEnd() {
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	<-ended
}

// limits are those of the log as they are now.
func (n *node) limits() kernel.LogLimits {
	p, _, _ := n.state()
	return p.Log
}

var _ runc.IO = stdio{}
