package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// ExecRequest asks for a program in a node.
type ExecRequest struct {
	Project, Node string
	// Netns is the node's network namespace in /run/netns. It is used when the node has no process that
	// runs, with the files of /etc/netns: as `ip netns exec` does.
	Netns string

	Argv []string
	Env  []string // KEY=VALUE, over the environment of the node's process
	Dir  string   // "" = that of the node's process, else /
	User string   // "" = that of the node's process

	// TTY: the program is to have a terminal; Stdin must be one.
	TTY bool
	// Detach: return when it runs, leave it running without input and output, code 0.
	Detach bool

	// Interactive: the program gets Stdin; otherwise, and where Stdin is nil, its input is empty.
	// An *os.File is given to the program itself, any other reader is copied.
	Interactive    bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Signals are sent on to the program; nil = those that this process gets while the program runs. SIGINT
	// and SIGQUIT are not when they came from the keyboard: then the program has got them, too.
	Signals <-chan os.Signal

	// patience is how long output may go on after the program's end; 0 = for ever, as a shell waits.
	patience time.Duration
}

// Exec runs a program in a node, next to the node's process: in a container as `docker exec`, with its
// limits; in a namespace with the hosts file and host name of the node. It gives the program's
// exit code, 128+n when signal n killed it.
//
// A *CommandError comes with its code, 127 or 126. Other errors, with code 125 as from Docker, say that nothing
// was run. When ctx ends, the program is killed.
func (e *Engine) Exec(ctx context.Context, r ExecRequest) (code int, err error) {
	code, err = e.exec(ctx, r)
	var command *CommandError
	switch {
	case err == nil:
		return code, nil
	case errors.As(err, &command):
		return command.Code, err
	}
	return 125, fmt.Errorf("running a command in %s: %w", r.Node, err)
}

func (e *Engine) exec(ctx context.Context, r ExecRequest) (int, error) {
	if len(r.Argv) == 0 {
		return 0, errors.New("no command")
	}
	if r.Signals == nil {
		signals := make(chan os.Signal, 16)
		signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
		defer signal.Stop(signals)
		r.Signals = signals
	}
	if !r.Interactive && !r.TTY {
		r.Stdin = nil
	}
	l := e.layout(r.Project)
	p, rec, err := readNode(l, r.Node)
	if err != nil {
		return 0, err
	}
	running := rec.Status == kernel.Running && rec.alive()
	if p.Container && !running {
		return 0, errors.New("the container does not run")
	}
	if r.TTY {
		restore, err := holdTerminal(r.Stdin)
		if err != nil {
			return 0, err
		}
		defer restore()
		term := os.Getenv("TERM")
		if term == "" {
			term = "xterm" // Docker's
		}
		r.Env = append([]string{"TERM=" + term}, r.Env...)
	}
	if p.Container {
		return execIn(ctx, l, rec.Image.Over(p), rec, r)
	}
	if !running {
		rec = record{}
	}
	return execPlain(ctx, p, rec, r)
}

// execIn runs a program in a container, by whoever runs that.
func execIn(ctx context.Context, l layout, p kernel.Process, rec record, r ExecRequest) (int, error) {
	if p.Runtime == kernel.RuntimeDocker {
		return execDocker(ctx, p, rec, r)
	}
	return execContainer(ctx, l, p, rec, r)
}

// holdTerminal checks that a terminal is one; the function it gives puts back the settings that it had.
func holdTerminal(stdin io.Reader) (restore func(), err error) {
	f, ok := stdin.(*os.File)
	if !ok {
		return nil, errors.New("the input is not a terminal")
	}
	c, err := console.ConsoleFromFile(f)
	if err != nil {
		return nil, fmt.Errorf("the input is not a terminal: %w", err)
	}
	return func() { _ = c.Reset() }, nil
}

// input gives a program its input as a file, so that nobody waits for the rest of it when the program has ended.
func input(stdin io.Reader) (f *os.File, close func(), err error) {
	switch in := stdin.(type) {
	case nil:
		return nil, func() {}, nil
	case *os.File:
		return in, func() {}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	go func() {
		defer w.Close()
		_, _ = io.Copy(w, stdin) // EPIPE when the program has ended
	}()
	return r, func() { _ = r.Close() }, nil
}

// forward sends signals on until stop is called.
func forward(signals <-chan os.Signal, send func(unix.Signal)) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s, ok := <-signals:
				if !ok {
					return
				}
				sig, isUnix := s.(unix.Signal)
				if !isUnix || (sig == unix.SIGINT || sig == unix.SIGQUIT) && onKeyboard() {
					continue
				}
				send(sig)
			}
		}
	}()
	return func() { close(done) }
}

// sendTo sends signals to a process.
func sendTo(pid int) func(unix.Signal) {
	return func(sig unix.Signal) { _ = unix.Kill(pid, sig) } // ESRCH: it has just ended
}

// onKeyboard reports whether this process and its children are the foreground job of a terminal.
func onKeyboard() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
