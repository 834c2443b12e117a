package main

import (
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/container"
)

func execCommand() *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "run a command in a node",
		UsageText: "topo exec [-f FILE | -p PROJECT] [-i] [-t] [-u USER] [-w FOLDER] [-e KEY=VALUE] [-d] NODE COMMAND [ARG…]",
		ArgsUsage: "NODE COMMAND [ARG…]",
		Description: `Runs a command in the namespaces of a node, with its files, names and environment. topo
ends with the command's exit code: 128 and the number for one that a signal ended, 127
for one that is not there, 126 for one that can't be run, 125 where it did not come to
that. What stands behind NODE belongs to the command: flags of topo come before it.

Example:
  topo exec web ls -l
  topo exec -it web sh
  pg_dump lab | topo exec db psql`,
		Flags: append(targetFlags(false),
			boolFlag("interactive", "pass stdin on to the command; a pipe or a file always is", "i"),
			boolFlag("tty", "give the command a terminal", "t"),
			textFlag("user", "", "run as `USER`, UID or USER:GROUP", "u"),
			textFlag("workdir", "", "start in this `FOLDER` of the node", "w"),
			listFlag("env", "set a variable of the command: `KEY=VALUE`, or KEY as it is here; may be repeated", "e"),
			boolFlag("detach", "don't wait for the command", "d"),
		),
		UseShortOptionHandling: true, // -it
		Action:                 execute,
		BashComplete:           completeNodes,
	}
}

func execute(c *cli.Context) error {
	words, err := operands(c, 2, -1)
	if err != nil {
		return err
	}
	project, node, err := runningNode(c, words[0])
	if err != nil {
		return err
	}
	code, err := newEngine().Exec(c.Context, container.ExecRequest{
		Project: project, Node: node.Node, Netns: node.Namespace, Argv: words[1:],
		Env: variables(c.StringSlice("env")), Dir: c.String("workdir"), User: c.String("user"),
		Interactive: c.Bool("interactive") || isPiped(c.App.Reader), TTY: c.Bool("tty"), Detach: c.Bool("detach"),
		Stdin: c.App.Reader, Stdout: c.App.Writer, Stderr: c.App.ErrWriter,
	})
	switch {
	case err != nil:
		return &codedError{code, err}
	case code != 0:
		return exitStatus(code)
	}
	return nil
}

// variables gives a KEY without a value the one that it has here; one that is not set here is left out.
func variables(given []string) []string {
	var env []string
	for _, kv := range given {
		if !strings.Contains(kv, "=") {
			value, set := os.LookupEnv(kv)
			if !set {
				continue
			}
			kv += "=" + value
		}
		env = append(env, kv)
	}
	return env
}
