package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"topo/schema"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "print the JSON Schema of the topology file",
		UsageText: "topo schema",
		Description: `An editor that knows the schema completes keys and marks mistakes as they are typed.

Example:
  topo schema > topo.schema.json`,
		Action: printSchema,
	}
}

func printSchema(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	if _, err := c.App.Writer.Write(schema.JSON()); err != nil {
		return fmt.Errorf("printing the schema: %w", err)
	}
	return nil
}
