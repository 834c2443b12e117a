package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/container/dockerapi"
	"topo/internal/kernel"
)

// engineWatch is what a supervisor hears of the engines that its project has containers in.
type engineWatch struct {
	mu        sync.Mutex
	addresses map[string]bool
	// started is told of each node whose container somebody has started, and "" when that may have been any.
	started func(node string)
}

// follow has the supervisor hear of containers of its project that somebody starts by the engine at this address.
func (l *launcher) follow(address string) {
	l.engines.mu.Lock()
	defer l.engines.mu.Unlock()
	if l.engines.addresses[address] {
		return
	}
	if l.engines.addresses == nil {
		l.engines.addresses = map[string]bool{}
	}
	l.engines.addresses[address] = true
	go func() {
		const pause = time.Second // while the engine is away
		for ; ; time.Sleep(pause) {
			ctx := context.Background()
			if c, err := l.dockers.at(ctx, address); err == nil {
				_ = c.Started(ctx, l.project, l.engines.started) // it ends when the engine does
			}
		}
	}()
}

// attach takes over a container that was started by the engine's own means. Its processes are in the node's network
// namespace, unless they were started at the same moment as the sandbox: then they are started again.
func (n *node) attach(ctx context.Context) error {
	n.work.Lock()
	defer n.work.Unlock()
	p, rec, _ := n.state()
	switch {
	case p.Runtime != kernel.RuntimeDocker, rec.ContainerID == "", rec.Status == kernel.Running && rec.alive():
		return nil
	case rec.Status == kernel.Running: // its end is about to be noted
		n.awaitEnd()
		_, rec, _ = n.state()
	}
	c, err := n.dockers.at(ctx, rec.Runtime)
	if err != nil {
		return err
	}
	s, there, err := c.State(ctx, rec.ContainerID)
	if err != nil || !there || !s.Running {
		return err
	}
	if p.Netns != "" {
		if in, err := inNetns(s.PID, p.Netns); err == nil && !in {
			if _, err := n.ready(ctx, c, p, rec.ContainerID); err != nil {
				return err
			}
			if err := c.Restart(ctx, rec.ContainerID); err != nil {
				return fmt.Errorf("restarting it in its network namespace: %w", err)
			}
		}
	}
	return n.goOn(ctx, c, p, rec)
}

// goOn watches a container that runs, started by somebody else.
func (n *node) goOn(ctx context.Context, c *dockerapi.Client, p kernel.Process, rec record) error {
	p = rec.Image.Over(p)
	fresh := record{
		Runtime: rec.Runtime, ContainerID: rec.ContainerID, Image: rec.Image,
		Status: kernel.Running, StartedAt: time.Now().UTC(), Restarts: rec.Restarts, Backoff: rec.Backoff, Added: rec.Added,
	}
	if p.Health != nil {
		fresh.Health = kernel.Starting
	}
	ended, err := n.take(ctx, c, p, &fresh)
	if err != nil {
		return err
	}
	out, err := n.openDockerLog(fresh, false)
	if err != nil {
		return err
	}
	if err := n.update(func(r *record) { *r = fresh }); err != nil {
		return errors.Join(err, out.close())
	}
	n.watch(out, ended, func() error { return nil })
	return nil
}

// adoptDocker takes over a container that an earlier supervisor started. An engine that is away doesn't matter while the
// process lives; one that has ended it asks how.
func (n *node) adoptDocker(rec record) error {
	fd, err := rec.open()
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	out, err := n.openDockerLog(rec, false)
	if err != nil {
		return err
	}
	n.watch(out, func(ctx context.Context) ending { return n.dockerEnd(ctx, rec, fd) }, func() error { return nil })
	return nil
}

// gonePID: what was to be read of a process was not there, since it has ended.
func gonePID(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) }
