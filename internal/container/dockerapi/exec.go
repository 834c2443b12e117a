package dockerapi

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// ExecSpec is a program to be run in a container.
type ExecSpec struct {
	Argv []string
	Env  []string // KEY=VALUE, over the container's
	Dir  string   // "" = the container's
	User string   // "" = the container's

	TTY            bool
	Stdin          io.Reader // nil: its input is empty
	Stdout, Stderr io.Writer
}

// Exec is a program that runs in a container.
type Exec struct {
	c    *Client
	id   string
	conn client.HijackedResponse
	out  error
	read chan struct{} // closed when its output has ended
	held *held
}

// Detach runs a program in a container, and leaves it running without input and output.
func (c *Client) Detach(ctx context.Context, container string, s ExecSpec) error {
	made, err := c.api.ExecCreate(ctx, container, client.ExecCreateOptions{User: s.User, Env: s.Env, WorkingDir: s.Dir, Cmd: s.Argv})
	if err == nil {
		_, err = c.api.ExecStart(ctx, made.ID, client.ExecStartOptions{Detach: true})
	}
	return startError(s.Argv[0], err)
}

// Exec runs a program in a container. Close must be called.
func (c *Client) Exec(ctx context.Context, container string, s ExecSpec) (*Exec, error) {
	made, err := c.api.ExecCreate(ctx, container, client.ExecCreateOptions{
		User: s.User, Env: s.Env, WorkingDir: s.Dir, Cmd: s.Argv, TTY: s.TTY,
		AttachStdin: s.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, startError(s.Argv[0], err)
	}
	attached, err := c.api.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: s.TTY})
	if err != nil {
		return nil, startError(s.Argv[0], err)
	}
	e := &Exec{c: c, id: made.ID, conn: attached.HijackedResponse, read: make(chan struct{}), held: &held{command: s.Argv[0]}}
	if s.Stdin != nil {
		go func() {
			_, _ = io.Copy(e.conn.Conn, s.Stdin) // an error when the program has ended
			_ = e.conn.CloseWrite()
		}()
	}
	go func() {
		defer close(e.read)
		if s.TTY {
			_, e.out = io.Copy(e.held.before(s.Stdout), e.conn.Reader)
		} else {
			_, e.out = stdcopy.StdCopy(e.held.before(s.Stdout), e.held.before(s.Stderr), e.conn.Reader)
		}
		if errors.Is(e.out, net.ErrClosed) || errors.Is(e.out, io.EOF) {
			e.out = nil
		}
	}()
	return e, nil
}

// Done is closed when the program's output has ended, which is when it and all to whom it gave it have.
func (e *Exec) Done() <-chan struct{} { return e.read }

// Close ends the connection; the program runs on.
func (e *Exec) Close() {
	e.conn.Close()
	<-e.read
}

// State tells how the program is: its pid on the host is 0 before it runs.
func (e *Exec) State(ctx context.Context) (running bool, pid, code int, err error) {
	s, err := e.c.api.ExecInspect(ctx, e.id, client.ExecInspectOptions{})
	return s.Running, s.PID, s.ExitCode, err
}

// Err is what went wrong, once its output is Done: a *StartError when it could not be run.
func (e *Exec) Err() error {
	if err := e.held.err(); err != nil {
		return err
	}
	return e.out
}

// Resize gives its terminal a size.
func (e *Exec) Resize(ctx context.Context, height, width uint16) error {
	_, err := e.c.api.ExecResize(ctx, e.id, client.ExecResizeOptions{Height: uint(height), Width: uint(width)})
	return err
}
