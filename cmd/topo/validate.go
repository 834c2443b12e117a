package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "check a file without touching the machine",
		UsageText: "topo validate [-f FILE]",
		Description: `Reports all mistakes of the file at once, each as FILE:LINE:COLUMN: message, and
ends with 1 if there is any. Needs no privilege.

Example:
  topo validate -f examples/flask-redis.yaml`,
		Flags:  targetFlags(false),
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
	fmt.Fprintf(c.App.Writer, "%s: ok\n", f.name)
	return nil
}
