package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"

	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:      "config",
		Usage:     "print the topology with defaults and allocations filled in",
		UsageText: "topo config [-f FILE] [--profile NAME] [--offline]",
		Description: `Prints YAML that topo reads again and that means the same: variables are put in,
defaults are written out, subnets and addresses are those that up would give. Without
the right to read the kernel they are those of an empty machine.

Example:
  topo config -f examples/flask-redis.yaml`,
		Flags:  append(targetFlags(false), profileFlag(), runtimeFlag(), boolFlag("offline", "allocate as on an empty machine; needs no privilege")),
		Action: config,
	}
}

func config(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	t, err := loadFile(c)
	if err != nil {
		return err
	}
	s := kernel.Snapshot{}
	if !c.Bool("offline") {
		s, err = readFor(c.Context, t)
		switch {
		case errors.Is(err, fs.ErrPermission):
			fmt.Fprintln(c.App.ErrWriter, "topo: without the right to read the kernel: allocations are those of an empty machine")
		case err != nil:
			return err
		}
	}
	if t, err = planner.Allocate(t, s); err != nil {
		return err
	}
	e := yaml.NewEncoder(c.App.Writer)
	e.SetIndent(2)
	if err := e.Encode(topologyNode(t)); err != nil {
		return fmt.Errorf("printing the topology: %w", err)
	}
	return e.Close()
}

// readFor reads the machine for a topology.
func readFor(ctx context.Context, t *spec.Topology) (kernel.Snapshot, error) {
	m, err := openMachine()
	if err != nil {
		return kernel.Snapshot{}, err
	}
	defer m.Close()
	return m.Snapshot(ctx, planner.Query(t, t.Name))
}
