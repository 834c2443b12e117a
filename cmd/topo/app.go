package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

const about = `topo reads one YAML file (namespaces, containers, bridges, links, published ports),
compares it with the live kernel, shows a plan, and carries out exactly that.

  topo plan      shows what is to be done; changes nothing
  topo up        does it, then reads the kernel again and proves it
  topo down      removes all of it, and proves that, too

Exit codes: 0 done, or nothing to do · 1 error · 2 changes pending (plan
--detailed-exitcode) · 3 refused: something that is not topo's stands in the way, or
up wants --yes · 4 stale: what the plan of up --plan is about has changed · 5 another
topo holds the project's lock · 130 interrupted. exec and attach pass on the code of
their program.

Data goes to stdout, progress and messages to stderr. Every flag has an environment
variable, TOPO_ and its name: --lock-timeout is TOPO_LOCK_TIMEOUT. Flags may stand
before and after the operands; -f and -p before the command, too.`

// newApp builds the command line. Nothing in it exits the process: run does.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:        "topo",
		Usage:       "network topologies of one machine, as YAML",
		UsageText:   "topo [-f FILE] [-p PROJECT] COMMAND [options] [NODE…]",
		Description: about,
		Flags:       append(targetFlags(true), &cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true}),
		Commands: []*cli.Command{
			planCommand(), upCommand(), confirmCommand(), downCommand(),
			validateCommand(), configCommand(),
			psCommand(), lsCommand(), inspectCommand(), portCommand(),
			execCommand(), attachCommand(), logsCommand(), cpCommand(), volumeCommand(),
			startCommand(), stopCommand(), restartCommand(), killCommand(),
			gcCommand(),
			pullCommand(), imagesCommand(), imageCommand(),
			schemaCommand(), completionCommand(), versionCommand(),
		},
		Action:                    noVerb,
		Reader:                    stdin,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		HideVersion:               true, // cli's has the alias -v, which is down's
		HideHelpCommand:           true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true, // a file's name may hold a comma
		OnUsageError:              misused,
		ExitErrHandler:            func(*cli.Context, error) {}, // the default one exits the process
	}
	wire(app.Commands)
	return app
}

// wire gives all commands what they have in common.
func wire(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelpCommand = true // or a node called "help" could not be named
		c.OnUsageError = misused
		wire(c.Subcommands)
	}
}

// misused puts an error of the flag package in our words.
func misused(c *cli.Context, err error, _ bool) error {
	msg := err.Error()
	if name, ok := strings.CutPrefix(msg, "flag provided but not defined: -"); ok {
		dashes := "--"
		if len(name) == 1 {
			dashes = "-"
		}
		msg = "there is no flag " + dashes + name
	}
	return usageErrorf(c, "%s", msg)
}

// later are verbs that topo will have.
var later = map[string]bool{
	"check": true, "explain": true, "graph": true, "watch": true, "adopt": true, "convert": true,
}

// noVerb is what topo does when no command is named, or none that it knows.
func noVerb(c *cli.Context) error {
	verb := c.Args().First()
	switch {
	case c.Bool("version"):
		return printVersion(c.App.Writer)
	case verb == "":
		return cli.ShowAppHelp(c)
	case verb == "help":
		return help(c)
	case later[verb]:
		return usageErrorf(c, "%s is not supported yet", verb)
	}
	msg := fmt.Sprintf("there is no command %q", verb)
	if near := nearestName(verb, c.App.Commands); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	return usageErrorf(c, "%s", msg)
}

// help is "topo help [COMMAND]".
func help(c *cli.Context) error {
	if name := c.Args().Get(1); name != "" {
		if c.App.Command(name) == nil {
			return usageErrorf(c, "there is no command %q", name)
		}
		return cli.ShowCommandHelp(c, name)
	}
	return cli.ShowAppHelp(c)
}

// nearestName is the command that was probably meant, or "".
func nearestName(typed string, commands []*cli.Command) string {
	return nearestOf(typed, func(yield func(string) bool) {
		for _, c := range commands {
			if !c.Hidden && !yield(c.Name) {
				return
			}
		}
	})
}
