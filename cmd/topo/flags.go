package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// envName is the environment variable of a flag: --lock-timeout is TOPO_LOCK_TIMEOUT.
func envName(flag string) string {
	return "TOPO_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func boolFlag(name, usage string, aliases ...string) *cli.BoolFlag {
	return &cli.BoolFlag{Name: name, Aliases: aliases, Usage: usage, EnvVars: []string{envName(name)}, DisableDefaultText: true}
}

func textFlag(name, value, usage string, aliases ...string) *cli.StringFlag {
	return &cli.StringFlag{Name: name, Aliases: aliases, Value: value, Usage: usage, EnvVars: []string{envName(name)}}
}

func listFlag(name, usage string, aliases ...string) *cli.StringSliceFlag {
	return &cli.StringSliceFlag{Name: name, Aliases: aliases, Usage: usage, EnvVars: []string{envName(name)}}
}

func timeFlag(name string, value time.Duration, usage string) *cli.DurationFlag {
	return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{envName(name)}}
}

// targetFlags are -f, -p and --env-file. They stand before the verb and after it, where they
// win. Only those before it read the environment, or TOPO_FILE would win over a
// -f that stands before the verb; the help names the variable in both places.
func targetFlags(beforeVerb bool) []cli.Flag {
	file := listFlag("file", "the topology `FILE`, - for stdin; may be repeated (in the variable with colons between), a later one is laid over those before it; default: topo.yaml, or Compose's names, here or in a folder above", "f")
	project := textFlag("project", "", "the project's `NAME`; default: the file's, or the only one that is up", "p")
	envFile := listFlag("env-file", "the `FILE` of variables for ${…} in the topology, in place of .env beside it; may be repeated (in the variable with colons between), a later one goes before")
	for _, list := range []*cli.StringSliceFlag{file, envFile} { // see [filesOf]
		list.Usage += fmt.Sprintf(" [$%s]", list.EnvVars[0])
		list.EnvVars = nil
	}
	if !beforeVerb {
		project.Usage += fmt.Sprintf(" [$%s]", envName("project"))
		project.EnvVars = nil
	}
	return []cli.Flag{file, project, envFile}
}

// profileFlag is for the commands that go by the file's nodes.
func profileFlag() cli.Flag {
	return listFlag("profile", "nodes of the profile `NAME` are there, too; may be repeated; * is all")
}

// scaleFlag is the same for plan, so that it shows what up would do.
func scaleFlag() cli.Flag {
	return listFlag("scale", "`NODE=N`: N of that node, whatever the file says; may be repeated")
}

// runtimeFlag is for the commands that go by what the file's containers are run by.
func runtimeFlag() cli.Flag {
	return textFlag("runtime", "", "`WHO` runs containers that state no runtime: docker, crun, runc or a path; default: crun, or runc where crun is missing or fails")
}

// unaskedFlag is --yes of a command that has nothing to ask.
func unaskedFlag() cli.Flag {
	return boolFlag("yes", "ask nothing (topo never asks; for scripts that say it everywhere)", "y")
}

// nearest is the context, the verb's or the one around it, in which a flag was set.
func nearest(c *cli.Context, flag string) *cli.Context {
	for _, at := range c.Lineage() {
		if at.IsSet(flag) {
			return at
		}
	}
	return c
}

func givenProject(c *cli.Context) string { return nearest(c, "project").String("project") }

// givenFiles are those of -f.
func givenFiles(c *cli.Context) []string { return filesOf(c, "file") }

// givenEnvFiles are those of --env-file.
func givenEnvFiles(c *cli.Context) []string { return filesOf(c, "env-file") }

// filesOf are the files of a flag, else of its variable: these with colons between, as in PATH and COMPOSE_FILE, which a name
// after a flag may have in it. Empty names are left out: TOPO_FILE= is none.
func filesOf(c *cli.Context, flag string) []string {
	at := nearest(c, flag)
	names := at.StringSlice(flag)
	if !at.IsSet(flag) {
		names = filepath.SplitList(os.Getenv(envName(flag)))
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// operands checks how many words stand behind a verb; most is -1 for any number.
func operands(c *cli.Context, least, most int) ([]string, error) {
	words := c.Args().Slice()
	switch n := len(words); {
	case n < least:
		return nil, usageErrorf(c, "%s is missing", strings.Fields(c.Command.ArgsUsage)[n])
	case most >= 0 && n > most:
		return nil, usageErrorf(c, "unexpected %q", words[most])
	}
	return words, nil
}
