package main

import (
	"errors"
	"io/fs"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"topo/internal/container"
)

func logsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what processes printed",
		UsageText: "topo logs [-f FILE | -p PROJECT] [--follow] [--tail N] [--timestamps] [--since TIME] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Prints what the processes of the NODEs, or of all nodes, wrote to stdout and stderr,
which is where topo writes it. The node's name stands before each line, unless just one
NODE is named.

Example:
  topo logs --follow --tail 20 web
  topo logs --since 10m`,
		Flags: append(targetFlags(false),
			boolFlag("follow", "go on until interrupted (-f is the file)"),
			textFlag("tail", "all", "only the last `N` lines of each node", "n"),
			boolFlag("timestamps", "print when each line was written", "t"),
			textFlag("since", "", "only lines since `TIME`: 2006-01-02T15:04:05Z, or 10m for ten minutes ago"),
		),
		Action:       logs,
		BashComplete: completeNodes,
	}
}

func logs(c *cli.Context) error {
	tail, err := tailOf(c)
	if err != nil {
		return err
	}
	since, err := sinceOf(c, time.Now())
	if err != nil {
		return err
	}
	s, project, err := readRunning(c)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(givenFiles(c)) > 0:
		return usageErrorf(c, "%v (-f is the file here; --follow goes on)", err)
	case err != nil:
		return err
	}
	nodes := c.Args().Slice()
	if len(nodes) > 0 {
		chosen, err := chosenNodes(c, nodesOf(s, project), project, nodes)
		if err != nil {
			return err
		}
		nodes = namesOf(chosen)
	}
	ctx, stop := interruptible(c.Context)
	defer stop()
	err = newEngine().Logs(ctx, container.LogsRequest{
		Project: project, Nodes: nodes, Tail: tail, Since: since,
		Follow: c.Bool("follow"), Timestamps: c.Bool("timestamps"),
		Prefix: len(nodes) != 1, Color: colourful(c.App.Writer),
		Stdout: c.App.Writer, Stderr: c.App.ErrWriter,
	})
	if err == nil && interrupted(ctx) {
		return exitStatus(exitInterrupted)
	}
	return err
}

// tailOf reads --tail; -1 is all.
func tailOf(c *cli.Context) (int, error) {
	typed := c.String("tail")
	if typed == "all" {
		return -1, nil
	}
	n, err := strconv.Atoi(typed)
	if err != nil || n < 0 {
		return 0, usageErrorf(c, "--tail %s: must be a number of lines, or all", typed)
	}
	return n, nil
}

// sinceOf reads --since; the zero time is the beginning.
func sinceOf(c *cli.Context, now time.Time) (time.Time, error) {
	typed := c.String("since")
	if typed == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(typed); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, typed, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageErrorf(c, "--since %s: must be a time like 2006-01-02T15:04:05Z, or a duration like 10m", typed)
}
