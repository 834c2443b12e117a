package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"topo/internal/container"
)

func attachCommand() *cli.Command {
	proxy := boolFlag("sig-proxy", "pass SIGINT, SIGTERM, SIGQUIT, SIGUSR1 and SIGUSR2 on to the process")
	proxy.Value, proxy.DisableDefaultText = true, false
	return &cli.Command{
		Name:      "attach",
		Usage:     "be connected to a node's process",
		UsageText: "topo attach [-f FILE | -p PROJECT] [--no-stdin] [--sig-proxy=false] NODE",
		ArgsUsage: "NODE",
		Description: `Shows what the node's process prints from now on, line by line, and passes on what is
typed, where the file says stdin_open: true. topo ends with the process, and with its
exit code.

Ctrl-C is the process's; the third one detaches, as SIGHUP does: the process runs on.
With --sig-proxy=false the first one detaches. The end of stdin detaches nothing, and the
process doesn't get it.

Example:
  topo attach web
  echo reload | topo attach --sig-proxy=false console`,
		Flags:        append(targetFlags(false), boolFlag("no-stdin", "pass no input on"), proxy),
		Action:       attach,
		BashComplete: completeNodes,
	}
}

func attach(c *cli.Context) error {
	words, err := operands(c, 1, 1)
	if err != nil {
		return err
	}
	project, node, err := runningNode(c, words[0])
	if err != nil {
		return err
	}
	r := container.AttachRequest{Project: project, Node: node.Node, Stdin: c.App.Reader, Stdout: c.App.Writer, Stderr: c.App.ErrWriter}
	if c.Bool("no-stdin") {
		r.Stdin = nil
	}
	var ctx context.Context
	var stop func()
	if c.Bool("sig-proxy") {
		ctx, r.Signals, stop = passedOn(c.Context)
	} else {
		ctx, stop = interruptible(c.Context)
	}
	defer stop()
	code, err := newEngine().Attach(ctx, r)
	switch {
	case interrupted(ctx):
		fmt.Fprintf(c.App.ErrWriter, "topo: detached; %s runs on\n", node.Node)
		return exitStatus(exitInterrupted)
	case err != nil:
		return err
	case code != 0:
		return exitStatus(code)
	}
	return nil
}

// passedOn gives the signals that are another process's. The third SIGINT or SIGTERM, as with Docker, is for topo: it ends
// the context, with errInterrupted as its cause.
func passedOn(parent context.Context) (_ context.Context, signals <-chan os.Signal, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	all, passed := make(chan os.Signal, 16), make(chan os.Signal, 16)
	signal.Notify(all, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	go func() {
		for asked := 0; ; {
			select {
			case <-ctx.Done():
				return
			case s := <-all:
				if s == unix.SIGINT || s == unix.SIGTERM {
					asked++
				}
				if asked == 3 {
					cancel(errInterrupted)
					return
				}
				select {
				case passed <- s:
				default: // more than the process has taken
				}
			}
		}
	}()
	return ctx, passed, func() {
		signal.Stop(all)
		cancel(nil)
	}
}
