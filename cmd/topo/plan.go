package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
	"topo/spec"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "show what up would do; changes nothing",
		UsageText: "topo plan [-f FILE] [--json] [--commands] [--detailed-exitcode] [--offline] [--remove-orphans=false] [--profile NAME] [--scale NODE=N] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Reads the kernel and compares it with the file. One line an action, in the order in
which up carries them out: + makes, ~ changes, ± replaces, - removes; the reason stands
at the end. With NODEs, only these and what they stand on.

--json prints one document, for an error, too: {"error", "exit_code", "hints", "mistakes":
[{"file", "line", "column", "message"}]}.

Example:
  topo plan --commands web
  topo plan --detailed-exitcode || test $? -eq 2    # 2: changes are pending`,
		Flags: append(targetFlags(false),
			boolFlag("json", "print one JSON document"),
			boolFlag("commands", "print the ip, iptables or sysctl line of every action under it"),
			boolFlag("detailed-exitcode", "end with 2 when changes are pending"),
			boolFlag("offline", "compare with an empty machine; needs no privilege"),
			orphansFlag(),
			profileFlag(),
			scaleFlag(),
			runtimeFlag(),
			futureFlag("out"),
		),
		Action:       plan,
		BashComplete: completeNodes,
	}
}

// orphansFlag is the same for plan, so that it shows what up would do.
func orphansFlag() cli.Flag {
	return &cli.BoolFlag{Name: "remove-orphans", Value: true, Usage: "remove nodes and bridges that are not in the file any more", EnvVars: []string{envName("remove-orphans")}}
}

func plan(c *cli.Context) error {
	if c.IsSet("out") {
		return usageErrorf(c, "saved plans (--out) are not supported yet")
	}
	t, err := loadChosen(c)
	if err != nil {
		return err
	}
	w, err := wantedBy(c, t)
	if err != nil {
		return err
	}
	p, err := w.planNow(c.Context, c.Bool("offline"))
	if err != nil {
		return err
	}
	for _, text := range p.Warnings {
		warn(c.App.ErrWriter, errors.New(text))
	}
	warnOfMoves(c.App.ErrWriter, p)
	if err := printPlan(c, p); err != nil {
		return err
	}
	if c.Bool("detailed-exitcode") && !p.Empty() {
		return exitStatus(exitPending)
	}
	return nil
}

// wanted is what plan and up are asked for.
type wanted struct {
	topology    *spec.Topology // not yet allocated
	nodes       []string
	keepOrphans bool
}

func wantedBy(c *cli.Context, t *spec.Topology) (*wanted, error) {
	nodes, err := knownNodes(c, t)
	if err != nil {
		return nil, err
	}
	return &wanted{topology: t, nodes: nodes, keepOrphans: !c.Bool("remove-orphans")}, nil
}

// planNow reads the kernel, or takes an empty one for it, and compares.
func (w *wanted) planNow(ctx context.Context, offline bool) (*planner.Plan, error) {
	if offline {
		p, _, err := w.compare(kernel.Snapshot{}, nil)
		return p, err
	}
	s, err := readFor(ctx, w.topology)
	if err != nil {
		return nil, err
	}
	applied, err := readApplied(w.topology.Name)
	if err != nil {
		return nil, err
	}
	p, _, err := w.compare(s, applied)
	return p, err
}

// compare allocates what the file leaves open and plans; it also returns what it planned from.
func (w *wanted) compare(s kernel.Snapshot, applied planner.Applied) (*planner.Plan, planner.Options, error) {
	allocated, err := planner.Allocate(w.topology, s)
	if err != nil {
		return nil, planner.Options{}, err
	}
	o := planner.Options{
		Topology: allocated, Project: w.topology.Name, Snapshot: s, Applied: applied,
		Nodes: w.nodes, KeepOrphans: w.keepOrphans,
	}
	p, err := planner.Build(o)
	return p, o, err
}

// readApplied reads what the last successful up left: it serves only to tell "edited" from "changed outside topo".
func readApplied(project string) (planner.Applied, error) {
	data, err := linux.ReadApplied(project)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	var applied planner.Applied
	if err := json.Unmarshal(data, &applied); err != nil {
		// A copy of a former run that can't be read tells nothing, and decides nothing.
		return nil, nil
	}
	return applied, nil
}

func printPlan(c *cli.Context, p *planner.Plan) error {
	if c.Bool("json") {
		doc, err := p.JSON()
		if err != nil {
			return fmt.Errorf("writing the plan: %w", err)
		}
		_, err = c.App.Writer.Write(doc)
		return err
	}
	_, err := io.WriteString(c.App.Writer, p.Text(planner.TextOptions{
		Commands: c.Bool("commands"),
		Color:    colourful(c.App.Writer),
	}))
	return err
}

// knownNodes returns the NODEs of a command line, all of which the file has.
func knownNodes(c *cli.Context, t *spec.Topology) ([]string, error) {
	nodes, err := operands(c, 0, -1)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, n := range t.Nodes {
		known[n.Name] = true
	}
	chosen := expand(nodes, known)
	for _, name := range nodes {
		if slices.Contains(t.Scaled, name) {
			chosen = append(chosen, name) // what there is beyond its scale goes
		}
	}
	for _, name := range chosen {
		if !known[name] && !slices.Contains(t.Scaled, name) {
			return nil, unknownNode(c, name, t.Name, known)
		}
	}
	return chosen, nil
}
