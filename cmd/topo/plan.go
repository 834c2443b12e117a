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
		UsageText: "topo plan [-f FILE] [--json] [--commands] [--detailed-exitcode] [--offline] [--remove-orphans=false] [--profile NAME] [--scale NODE=N] [--out FILE] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Reads the kernel and compares it with the file. One line an action, in the order in
which up carries them out: + makes, ~ changes, ± replaces, - removes; the reason stands
at the end. With NODEs, only these and what they stand on.

--json prints one document, for an error, too: {"error", "exit_code", "hints", "mistakes":
[{"file", "line", "column", "message"}]}.

--out saves the plan, with what was read of all that it is about. "topo up --plan FILE"
carries out exactly that, or ends with 4 and says what is not as it was any more. The file
can hold passwords, of environments; its mode is 0600.

Example:
  topo plan --commands web
  sudo topo plan --out web.plan && sudo topo up --plan web.plan
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
			textFlag("out", "", "save the plan to `FILE`, for up --plan"),
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
	out, err := outFile(c)
	if err != nil {
		return err
	}
	t, err := loadChosen(c)
	if err != nil {
		return err
	}
	w, err := wantedBy(c, t)
	if err != nil {
		return err
	}
	p, o, err := w.planNow(c.Context, c.Bool("offline"))
	if err != nil {
		return err
	}
	if out != "" {
		if err := savePlan(out, p, o); err != nil {
			return err
		}
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
	saved       *planner.Saved // the plan must be this; nil: may be any
}

func wantedBy(c *cli.Context, t *spec.Topology) (*wanted, error) {
	nodes, err := knownNodes(c, t)
	if err != nil {
		return nil, err
	}
	return &wanted{topology: t, nodes: nodes, keepOrphans: !c.Bool("remove-orphans")}, nil
}

// planNow reads the kernel, or takes an empty one for it, and compares; it also returns what it planned from.
func (w *wanted) planNow(ctx context.Context, offline bool) (*planner.Plan, planner.Options, error) {
	if offline {
		return w.compare(kernel.Snapshot{}, nil)
	}
	s, err := readFor(ctx, w.topology)
	if err != nil {
		return nil, planner.Options{}, err
	}
	applied, err := readApplied(w.topology.Name)
	if err != nil {
		return nil, planner.Options{}, err
	}
	return w.compare(s, applied)
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
	return parseApplied(data), err
}

// parseApplied: a copy of a former run that can't be read tells nothing, and decides nothing.
func parseApplied(data []byte) planner.Applied {
	var applied planner.Applied
	if json.Unmarshal(data, &applied) != nil {
		return nil
	}
	return applied
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
