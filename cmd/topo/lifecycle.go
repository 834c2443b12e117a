package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/moby/sys/signal"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func stopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "end processes of nodes; their links stay",
		UsageText: "topo stop [-f FILE | -p PROJECT] [-t TIME] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Ends the processes of the NODEs, or of all nodes: each gets its stop signal and, where it
does not end in its grace period, SIGKILL. What depends on others ends before these.
Namespaces, links, addresses, names and published ports stay; so do what the processes
printed, and what they wrote. A restart policy doesn't start them again: topo start does,
and so does topo up.

Example:
  sudo topo stop web
  sudo topo stop -t 1m`,
		Flags:        append(processFlags(), graceFlag()),
		Action:       stopProcesses,
		BashComplete: completeNodes,
	}
}

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start processes that have ended",
		UsageText: "topo start [-f FILE | -p PROJECT] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Starts the processes of the NODEs and of what they depend on, or of all nodes, as they were
started by topo up, on the links and with the files that they had. What they depend on is
waited for as depends_on says. What runs is let be. A process that has done its work
(it ended with 0 and has no restart policy) is started when it is named.

Example:
  sudo topo start web`,
		Flags:        processFlags(),
		Action:       startProcesses,
		BashComplete: completeNodes,
	}
}

func restartCommand() *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "stop processes of nodes, and start them again",
		UsageText: "topo restart [-f FILE | -p PROJECT] [-t TIME] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Stops as topo stop does, and starts as topo start does, the processes of the NODEs and of
the nodes that depend on them with "restart: true"; or those of all nodes, but for what
has done its work. An edit of the file counts for nothing here: topo up brings it in.

Example:
  sudo topo restart web`,
		Flags:        append(processFlags(), graceFlag()),
		Action:       restartProcesses,
		BashComplete: completeNodes,
	}
}

func killCommand() *cli.Command {
	return &cli.Command{
		Name:      "kill",
		Usage:     "send a signal to processes of nodes",
		UsageText: "topo kill [-f FILE | -p PROJECT] [-s SIGNAL] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Sends SIGKILL, or the SIGNAL, to the processes of the NODEs, or of all nodes, that run. What
SIGKILL or its own stop signal ends is not started again by its restart policy.

Example:
  sudo topo kill -s HUP proxy`,
		Flags: append(processFlags(),
			textFlag("signal", "SIGKILL", "the `SIGNAL`, by name or number", "s")),
		Action:       killProcesses,
		BashComplete: completeNodes,
	}
}

// processFlags are those that the commands on processes share.
func processFlags() []cli.Flag {
	return append(targetFlags(false), timeFlag("lock-timeout", 0, "wait `DURATION` for another topo that works on the project"))
}

// graceFlag is Compose's -t, --timeout. Its own name is another one: up's and down's --timeout, and so TOPO_TIMEOUT, is how
// long all may take.
func graceFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "grace", Aliases: []string{"t", "timeout"}, EnvVars: []string{envName("grace")},
		Usage: "before SIGKILL, wait `TIME` (10 or 10s; 0 is not at all) and not as long as the file says",
	}
}

// graceOf reads --grace; -1 leaves it to each process.
func graceOf(c *cli.Context) (time.Duration, error) {
	typed := c.String("grace")
	if typed == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(typed); err == nil && n >= 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(typed)
	if err != nil || d < 0 {
		return 0, usageErrorf(c, "--grace %s: must be a number of seconds, or a duration like 1m30s", typed)
	}
	return d, nil
}

func stopProcesses(c *cli.Context) error {
	grace, err := graceOf(c)
	if err != nil {
		return err
	}
	return withProcesses(c, func(ctx context.Context, p *processes) error {
		set := slices.DeleteFunc(p.chosen(nil), func(s kernel.ProcessState) bool { return !unended(s) })
		if len(set) == 0 {
			return p.nothing("stop")
		}
		return p.stop(ctx, set, grace)
	})
}

// unended reports whether a process runs, or is about to.
func unended(s kernel.ProcessState) bool {
	return s.Status == kernel.Running || s.Status == kernel.Restarting
}

// isDone reports whether a process has done its work.
func isDone(s kernel.ProcessState) bool {
	return s.Status == kernel.Exited && s.ExitCode == 0 && s.Error == "" && !s.Process.Restart.Forever()
}

func (p *processes) stop(ctx context.Context, set []kernel.ProcessState, grace time.Duration) error {
	return inOrder(set, false, func(s kernel.ProcessState) error {
		if !unended(s) {
			return nil
		}
		if err := p.do(ctx, kernel.ProcessHalt{Project: p.project, Node: s.Process.Node, Grace: grace}); err != nil {
			return fmt.Errorf("stopping %s: %w", s.Process.Node, err)
		}
		p.said(s.Process.Node, "stopped")
		return nil
	})
}

func startProcesses(c *cli.Context) error {
	return withProcesses(c, func(ctx context.Context, p *processes) error {
		set := slices.DeleteFunc(p.chosen(p.dependedOn), func(s kernel.ProcessState) bool {
			return s.Status == kernel.Running || isDone(s) && !slices.Contains(p.named, s.Process.Node)
		})
		if len(set) == 0 {
			return p.nothing("start")
		}
		return p.start(ctx, set)
	})
}

func (p *processes) start(ctx context.Context, set []kernel.ProcessState) error {
	return inOrder(set, true, func(s kernel.ProcessState) error {
		node := s.Process.Node
		for _, d := range s.Process.DependsOn {
			err := p.do(ctx, kernel.ProcessWait{Project: p.project, Node: d.Node, Condition: d.Condition, Optional: !d.Required})
			if err != nil {
				return fmt.Errorf("starting %s: %w", node, err)
			}
		}
		if err := p.do(ctx, kernel.ProcessResume{Project: p.project, Node: node}); err != nil {
			return fmt.Errorf("starting %s: %w", node, err)
		}
		p.said(node, "started")
		return nil
	})
}

func restartProcesses(c *cli.Context) error {
	grace, err := graceOf(c)
	if err != nil {
		return err
	}
	return withProcesses(c, func(ctx context.Context, p *processes) error {
		set := slices.DeleteFunc(p.chosen(p.restartedWith), func(s kernel.ProcessState) bool {
			return isDone(s) && !slices.Contains(p.named, s.Process.Node)
		})
		if len(set) == 0 {
			return p.nothing("restart")
		}
		if err := p.stop(ctx, set, grace); err != nil {
			return err
		}
		return p.start(ctx, set)
	})
}

func killProcesses(c *cli.Context) error {
	typed := c.String("signal")
	sig, err := signal.ParseSignal(typed)
	if err != nil {
		return usageErrorf(c, "there is no signal %q", typed)
	}
	return withProcesses(c, func(ctx context.Context, p *processes) error {
		set := slices.DeleteFunc(p.chosen(nil), func(s kernel.ProcessState) bool { return !unended(s) })
		if len(set) == 0 {
			return p.nothing("kill")
		}
		return p.signal(ctx, set, sig)
	})
}

func (p *processes) signal(ctx context.Context, set []kernel.ProcessState, sig syscall.Signal) error {
	name := unix.SignalName(sig)
	if name == "" { // a real-time signal
		name = strconv.Itoa(int(sig))
	}
	var errs []error
	for _, s := range set {
		err := p.do(ctx, kernel.ProcessSignal{Project: p.project, Node: s.Process.Node, Signal: strconv.Itoa(int(sig))})
		if err != nil {
			errs = append(errs, fmt.Errorf("sending %s to %s: %w", name, s.Process.Node, err))
			continue
		}
		p.said(s.Process.Node, "was sent "+name)
	}
	return errors.Join(errs...)
}
