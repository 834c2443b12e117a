package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"topo/internal/container/dockerapi"
	"topo/internal/kernel"
)

// execDocker runs a program in a container by the engine that runs that.
func execDocker(ctx context.Context, p kernel.Process, rec record, r ExecRequest) (int, error) {
	c, err := dockerapi.Open(ctx, rec.Runtime)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	spec := dockerapi.ExecSpec{
		Argv: r.Argv, Env: r.Env, Dir: or(r.Dir, p.Dir), User: or(r.User, p.User),
		TTY: r.TTY, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr,
	}
	if r.Detach {
		return 0, dockerFailure(r.Argv[0], c.Detach(ctx, rec.ContainerID, spec))
	}
	if r.TTY {
		// The engine has the program's terminal: the caller's passes on what is typed. Exec puts it back.
		if err := rawTerminal(r.Stdin); err != nil {
			return 0, err
		}
	}
	if spec.Stdout == nil {
		spec.Stdout = io.Discard
	}
	if spec.Stderr == nil {
		spec.Stderr = io.Discard
	}
	e, err := c.Exec(ctx, rec.ContainerID, spec)
	if err != nil {
		return 0, dockerFailure(r.Argv[0], err)
	}
	defer e.Close()
	send := func(sig unix.Signal) { signalDocker(ctx, e, sig) }
	if r.TTY {
		resize := func() { resizeDocker(ctx, e, r.Stdin) }
		resize()
		send = resizing(resize, send)
	}
	defer forward(r.Signals, send)()
	return awaitDocker(ctx, e, r)
}

// rawTerminal has a terminal leave all alone, output too: the engine's does what is to be done.
func rawTerminal(stdin io.Reader) error {
	f, ok := stdin.(*os.File)
	if !ok {
		return unix.ENOTTY
	}
	_, err := term.MakeRaw(int(f.Fd()))
	return err
}

// awaitDocker waits for the end of a program and of its output; of what others have of that, only as long as the request's patience.
func awaitDocker(ctx context.Context, e *dockerapi.Exec, r ExecRequest) (int, error) {
	ended := make(chan struct{})
	if r.patience > 0 {
		limited, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			if awaitProgram(limited, e) == nil {
				close(ended)
			}
		}()
	}
	select {
	case <-e.Done():
	case <-ended:
		select {
		case <-e.Done():
		case <-time.After(r.patience):
		}
	case <-ctx.Done():
		signalDocker(context.WithoutCancel(ctx), e, unix.SIGKILL)
		return 0, ctx.Err()
	}
	if err := e.Err(); err != nil {
		return 0, dockerFailure(r.Argv[0], err)
	}
	const pause, limit = 2 * time.Millisecond, 10 * time.Second // the output's end comes before the engine has noted the program's
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		running, _, code, err := e.State(ctx)
		if err != nil {
			return 0, fmt.Errorf("asking how it ended: %w", err)
		}
		if !running {
			return code, nil
		}
		if time.Now().After(end) {
			return 0, errors.New("its output ended, and it does not")
		}
	}
}

// awaitProgram waits for a program's end by its pid.
func awaitProgram(ctx context.Context, e *dockerapi.Exec) error {
	const pause = 20 * time.Millisecond // each look is a request to the engine
	for ctx.Err() == nil {
		running, pid, _, err := e.State(ctx)
		if err != nil || !running && pid != 0 {
			return err
		}
		if pid != 0 {
			fd, err := openPidfd(pid)
			if errors.Is(err, unix.ESRCH) {
				return nil
			}
			if err != nil {
				return err
			}
			defer fd.close()
			return fd.wait(ctx)
		}
		time.Sleep(pause)
	}
	return ctx.Err()
}

// signalDocker sends a signal to a program: Docker's API has none for that, but the engine is on this machine.
func signalDocker(ctx context.Context, e *dockerapi.Exec, sig unix.Signal) {
	running, pid, _, err := e.State(ctx)
	if err != nil || !running || pid == 0 {
		return
	}
	_ = unix.Kill(pid, sig) // ESRCH: it has just ended
}

// resizeDocker gives a program's terminal the size of the caller's. There is nobody to tell that it can't be done; the next
// change may do better.
func resizeDocker(ctx context.Context, e *dockerapi.Exec, stdin io.Reader) {
	f, ok := stdin.(*os.File)
	if !ok {
		return
	}
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = e.Resize(ctx, size.Row, size.Col)
	}
}
