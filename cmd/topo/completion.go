package main

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

//go:embed completion/topo.bash
var bashCompletion string

//go:embed completion/topo.zsh
var zshCompletion string

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for a shell",
		UsageText: "topo completion bash|zsh|fish",
		ArgsUsage: "SHELL",
		Description: `Completes commands, flags and the nodes of the file in this folder.

Example:
  topo completion bash | sudo tee /etc/bash_completion.d/topo
  topo completion zsh > "${fpath[1]}/_topo"
  topo completion fish > ~/.config/fish/completions/topo.fish`,
		Action: printCompletion,
		BashComplete: func(c *cli.Context) {
			fmt.Fprintln(c.App.Writer, "bash\nzsh\nfish")
		},
	}
}

func printCompletion(c *cli.Context) error {
	shells, err := operands(c, 1, 1)
	if err != nil {
		return err
	}
	var script string
	switch shells[0] {
	case "bash":
		script = bashCompletion
	case "zsh":
		script = zshCompletion
	case "fish":
		if script, err = c.App.ToFishCompletion(); err != nil {
			return fmt.Errorf("writing completions for fish: %w", err)
		}
	default:
		return usageErrorf(c, "no completions for %q: there are bash, zsh and fish", shells[0])
	}
	_, err = fmt.Fprintln(c.App.Writer, strings.TrimRight(script, "\n"))
	return err
}

// completeNodes offers the flags of a verb, then the nodes of the file. What
// goes wrong on the way only leaves out suggestions.
func completeNodes(c *cli.Context) { completeNames(c, "") }

func completeNames(c *cli.Context, behind string) {
	cli.DefaultCompleteWithFlags(c.Command)(c)
	t, err := loadFile(c)
	if err != nil {
		return
	}
	for _, n := range t.Nodes {
		fmt.Fprintln(c.App.Writer, n.Name+behind)
	}
}
