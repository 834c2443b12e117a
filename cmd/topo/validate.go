package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "check a file without touching the machine",
		UsageText: "topo validate [-f FILE] [--profile NAME]",
		Description: `Reports all mistakes of the file at once, each as FILE:LINE:COLUMN: message, and
ends with 1 if there is any. Needs no privilege. Nodes of a profile that is not active
are looked at for keys and types only; --profile '*' has them all there.

Example:
  topo validate -f examples/flask-redis.yaml`,
		Flags:  append(targetFlags(false), profileFlag(), runtimeFlag()),
		Action: validate,
	}
}

func validate(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	f, err := openFile(c)
	if err != nil {
		return err
	}
	if _, err := f.loadAloud(c.App.ErrWriter); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: ok\n", f.name())
	return nil
}
