package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
)

func psCommand() *cli.Command {
	return &cli.Command{
		Name:      "ps",
		Usage:     "list the nodes of a project, and what runs in them",
		UsageText: "topo ps [-f FILE | -p PROJECT] [--json] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Lists what is on the machine, not what the file says: namespace or container, the state
and health of its process, addresses, published ports. A node in which nothing is run is
"up". Behind the state stand the exit code of what has ended, the signal that ended it or
"out of memory", and how often its restart policy has started it again.

Example:
  topo ps
  topo ps --json | jq -r '.[] | select(.health == "unhealthy").node'`,
		Flags:        append(targetFlags(false), boolFlag("json", "print a JSON array")),
		Action:       ps,
		BashComplete: completeNodes,
	}
}

func ps(c *cli.Context) error {
	project, err := runningProject(c.Context, c)
	if err != nil {
		return err
	}
	if err := tellOfConfirmation(c.App.ErrWriter, project); err != nil {
		return err
	}
	s, err := readProject(c, project)
	if err != nil {
		return err
	}
	nodes, err := chosenNodes(c, nodesOf(s, project), project, c.Args().Slice())
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, nodes)
	}
	return writeNodes(c.App.Writer, nodes)
}

func writeNodes(w io.Writer, nodes []nodeView) error {
	rows := make([][]string, len(nodes))
	for i, n := range nodes {
		pid := ""
		if n.PID != 0 {
			pid = strconv.Itoa(n.PID)
		}
		rows[i] = []string{n.Node, n.Kind, statusText(n), n.Health, pid, joined(n.Addresses), joined(n.Published)}
	}
	return writeTable(w, []string{"NODE", "KIND", "STATUS", "HEALTH", "PID", "ADDRESSES", "PORTS"}, rows)
}

// statusText is the status, with the exit code of what has ended and why, and how often it was restarted.
func statusText(n nodeView) string {
	status := n.Status
	if status == "" {
		status = string(kernel.Lost)
	}
	var words []string
	if n.ExitCode != nil {
		words = append(words, strconv.Itoa(*n.ExitCode))
	}
	switch {
	case n.OOMKilled:
		words = append(words, "out of memory")
	case n.Signal != "":
		words = append(words, n.Signal)
	}
	if n.Restarts > 0 {
		words = append(words, counted(n.Restarts, "restart"))
	}
	if len(words) > 0 {
		status += " (" + strings.Join(words, ", ") + ")"
	}
	return status
}

// readRunning reads the machine for the project that a command is about; it must be up.
func readRunning(c *cli.Context) (kernel.Snapshot, string, error) {
	project, err := runningProject(c.Context, c)
	if err != nil {
		return kernel.Snapshot{}, "", err
	}
	s, err := readProject(c, project)
	return s, project, err
}

// readProject reads the machine for a project, which must be up.
func readProject(c *cli.Context, project string) (kernel.Snapshot, error) {
	m, err := openMachine()
	if err != nil {
		return kernel.Snapshot{}, err
	}
	defer m.Close()
	s, err := m.Snapshot(c.Context, kernel.Query{Project: project})
	if err != nil {
		return kernel.Snapshot{}, err
	}
	if projectsOf(s)[project] == nil && len(s.Processes) == 0 {
		return kernel.Snapshot{}, &notUpError{project}
	}
	return s, nil
}

// notUpError: a command is about a project of which there is nothing on the machine.
type notUpError struct{ project string }

func (e *notUpError) Error() string { return e.project + " is not up" }
