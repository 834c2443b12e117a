package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// supervisor looks after the processes of a project: one process, from SupervisorStart to SupervisorStop.
type supervisor struct {
	launcher
	mu    sync.Mutex
	nodes map[string]*node
	calls sync.WaitGroup
	edits sync.RWMutex // held for reading by each request that changes something
}

// superviseMain is the supervisor's main function. It writes "ok" to ready when it can be asked; a line with
// the error otherwise.
func superviseMain(l layout, c Config, ready io.WriteCloser, lock *os.File) int {
	// What programs begin with, whatever topo's user has (nohup(1) ignores SIGHUP): the same file gives the same process. Ignored signals
	// stay so in a new program, caught ones don't (execve(2)); Go catches all but these two, where they are ignored.
	unix.Umask(0o022)
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT)
	defer lock.Close() //nolint:errcheck // that it is open says that there is a supervisor, nothing else
	err := supervise(l, c, ready)
	if err != nil {
		log.Print(err)
		fmt.Fprintln(ready, err)
		return 1
	}
	return 0
}

// lockOut takes the supervisor's lock, for one that is about to be started; only is false where another supervisor runs. That the lock
// is held does not say so yet: one that was killed leaves it for a moment to a child that was about to become another program, and one
// that has just begun can't be found yet.
func lockOut(l layout, lock *os.File) (only bool, err error) {
	const patience, pause = 5 * time.Second, 5 * time.Millisecond
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK {
			return err == nil, err
		}
		if findSupervisor(l).PID != 0 {
			return false, nil
		}
		if time.Now().After(end) {
			return false, err
		}
	}
}

// awaitStart waits until no supervisor is being started. Who started it may have been killed, and it would stand there after a next
// topo had read that there is none.
func awaitStart(ctx context.Context, l layout) error {
	lock, err := os.Open(l.lock())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	const patience, pause = 10 * time.Second, 5 * time.Millisecond
	for end := time.Now().Add(patience); ; {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK || findSupervisor(l).PID != 0 {
			return nil // nobody has it, or one that can be asked
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is locked, and no supervisor of %s can be asked", l.lock(), l.project)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func supervise(l layout, c Config, ready io.WriteCloser) error {
	debug.SetGCPercent(garbage)
	me, err := identify(os.Getpid())
	if err != nil {
		return err
	}
	s := &supervisor{
		launcher: launcher{layout: l, config: c, path: os.Getenv("PATH"), reaper: newReaper(), thrift: &thrift{}, self: me},
		nodes:    map[string]*node{},
	}
	s.engines.started = s.attach
	runc.Monitor = s.reaper
	if err := s.reaper.run(); err != nil {
		return fmt.Errorf("becoming a subreaper: %w", err)
	}
	listener, err := listen(l)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := s.adopt(); err != nil {
		return err
	}
	if err := writeJSON(l.supervisorFile(), me); err != nil {
		return err
	}
	fmt.Fprintln(ready, "ok")
	ready.Close()
	s.thrift.after()
	return s.serve(listener)
}

// adopt takes over what an earlier supervisor left.
func (s *supervisor) adopt() error {
	names, err := s.layout.nodes()
	if err != nil {
		return err
	}
	var engines []string
	for _, name := range names {
		p, rec, err := readNode(s.layout, name)
		if err != nil {
			return fmt.Errorf("adopting %s: %w", name, err)
		}
		if p.Node == "" {
			continue
		}
		if err := s.node(name).adopt(p, rec); err != nil {
			return fmt.Errorf("adopting %s: %w", name, err)
		}
		if p.Runtime == kernel.RuntimeDocker && rec.Runtime != "" {
			engines = append(engines, rec.Runtime)
		}
	}
	// What has ended, too, may be started there, or was while there was no supervisor. All nodes must be known before that is heard.
	for _, address := range engines {
		s.follow(address)
	}
	return nil
}

func (s *supervisor) node(name string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.nodes[name]
	if !ok {
		n = newNode(&s.launcher, name)
		s.nodes[name] = n
	}
	return n
}

// attach takes over what was started in an engine by its own means: a node's container, or "" for any.
func (s *supervisor) attach(name string) {
	s.mu.Lock()
	var nodes []*node
	for _, n := range s.nodes {
		if name == "" || n.name == name {
			nodes = append(nodes, n)
		}
	}
	s.mu.Unlock()
	for _, n := range nodes {
		// It waits for a start or stop of the node that is under way.
		go func() { n.complain(n.attach(context.Background())) }()
	}
}

// serve answers requests until one is to end.
func (s *supervisor) serve(listener *net.UnixListener) error {
	for {
		conn, err := listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			s.calls.Wait()
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting on the control socket: %w", err)
		}
		s.calls.Go(func() {
			defer conn.Close()
			if !allowed(conn) {
				return
			}
			var r request
			in := json.NewDecoder(conn)
			if err := in.Decode(&r); err != nil {
				return
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				// A client says no more after its request: this ends when it hangs up.
				_, _ = io.Copy(io.Discard, conn)
				cancel()
			}()
			err := s.answer(ctx, conn, r)
			s.thrift.after()
			if r.Op == opShutdown && err == nil {
				// The client waits for this process to end; there is no answer to lose.
				listener.Close()
			}
			_ = json.NewEncoder(conn).Encode(respond(err))
		})
	}
}

// answer does what is asked. Only waiting, and lending, ends when the client hangs up: half a start or stop is worse.
func (s *supervisor) answer(ctx context.Context, conn *net.UnixConn, r request) error {
	finish := context.WithoutCancel(ctx)
	switch r.Op {
	case opWait:
		return s.node(r.Node).wait(ctx, r.Condition, r.Optional)
	case opLend:
		return s.node(r.Node).lend(ctx, conn)
	case opQuiesce:
		s.edits.Lock()
		defer s.edits.Unlock()
		return nil
	}
	s.edits.RLock()
	defer s.edits.RUnlock()
	switch r.Op {
	case opStart:
		return s.node(r.Process.Node).start(finish, *r.Process, r.Docker)
	case opStop:
		return s.node(r.Node).stop(finish)
	case opLimit:
		return s.node(r.Node).limit(*r.Limits)
	case opHalt:
		return s.node(r.Node).halt(finish, r.Grace)
	case opResume:
		return s.node(r.Node).resume(finish)
	case opSignal:
		return s.node(r.Node).signal(ctx, r.Signal)
	case opAdjust:
		return s.node(r.Process.Node).adjust(*r.Process)
	case opShutdown:
		return s.shutdown(finish)
	}
	return fmt.Errorf("request %q is not known", r.Op)
}

// shutdown stops what is left and removes the supervisor's files.
func (s *supervisor) shutdown(ctx context.Context) error {
	s.mu.Lock()
	var errs []error
	var stops sync.WaitGroup
	var result sync.Mutex
	for _, n := range s.nodes {
		stops.Go(func() {
			err := n.stop(ctx)
			result.Lock()
			defer result.Unlock()
			errs = append(errs, err)
		})
	}
	s.mu.Unlock()
	stops.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return errors.Join(os.Remove(s.supervisorFile()), os.Remove(s.socket()), os.Remove(s.lock()), os.RemoveAll(s.runtimeRoot()))
}
