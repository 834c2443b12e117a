package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// AttachRequest asks for the input and output of a node's process.
type AttachRequest struct {
	Project, Node string
	// Stdin is passed on where the process's input is open (kernel.Process.StdinOpen); its end is not. nil: nothing is.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal // they are sent on to the process
}

// Attach shows what a node's process prints from now on, by lines, until it ends, and gives its exit code. When ctx ends, the process
// runs on, and the error is that of ctx. A dead supervisor is started again.
func (e *Engine) Attach(ctx context.Context, r AttachRequest) (code int, err error) {
	l := e.layout(r.Project)
	p, run, err := readSettled(ctx, l, r.Node, findSupervisor(l))
	switch {
	case err != nil:
		return 0, err
	case p.Node == "":
		return 0, fmt.Errorf("%s runs no process", r.Node)
	case run.Status != kernel.Running:
		return 0, fmt.Errorf("%s is %s", r.Node, run.Status)
	}
	if err := e.startSupervisor(ctx, l); err != nil { // nobody else reads what is printed
		return 0, err
	}
	in, err := l.openInput(p, run)
	if err != nil {
		return 0, err
	}
	if in != nil {
		defer in.Close()
	}
	passing, stop := context.WithCancel(ctx)
	defer stop()
	var last record
	err = e.Logs(ctx, LogsRequest{
		Project: r.Project, Nodes: []string{r.Node}, Follow: true, Stdout: r.Stdout, Stderr: r.Stderr,
		opened: func() { // what the process answers is shown
			if in != nil && r.Stdin != nil {
				go func() { _, _ = io.Copy(in, r.Stdin) }() // EPIPE when the process has ended
			}
			go e.passOn(passing, l, r)
		},
		until: func() (bool, error) {
			_, last, err = readSettled(ctx, l, r.Node, findSupervisor(l))
			return last.Status != kernel.Running || last.identity != run.identity, err
		},
	})
	switch {
	case err != nil:
		return 0, err
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case last.identity != run.identity || last.Status == kernel.Lost || last.ExitCode == unknownCode:
		return 0, fmt.Errorf("%s has ended, and nobody knows how", r.Node)
	}
	return last.ExitCode, nil
}

// openInput opens a process's input for writing. nil: it is not open, or the process has closed it.
func (l layout) openInput(p kernel.Process, run record) (*os.File, error) {
	switch {
	case !p.StdinOpen:
		return nil, nil
	case p.Runtime == kernel.RuntimeDocker:
		return dockerInput(run.identity)
	}
	in, err := os.OpenFile(l.fifo(p.Node, inputName), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, nil
	}
	return in, err
}

// passOn sends signals on until ctx ends. One that comes too late has nobody to tell.
func (e *Engine) passOn(ctx context.Context, l layout, r AttachRequest) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-r.Signals:
			if sig, ok := s.(unix.Signal); ok {
				_ = e.ask(ctx, l, request{Op: opSignal, Node: r.Node, Signal: strconv.Itoa(int(sig))})
			}
		}
	}
}
