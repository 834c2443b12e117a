package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
)

func volumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "volume",
		Usage:     "make, list and remove volumes",
		UsageText: "topo volume ls [-f FILE | -p PROJECT] [--json]\ntopo volume create [--label KEY=VALUE] NAME\ntopo volume rm NAME…\ntopo volume prune [--all] [--dry-run]",
		Description: `A volume is a folder that topo keeps for containers, below /var/lib/topo/volumes. It
outlives them: only "topo down -v", "topo volume rm" and "topo volume prune" remove one.

Example:
  topo volume ls
  sudo topo volume rm shop_data`,
		Subcommands: []*cli.Command{volumeLsCommand(), volumeCreateCommand(), volumeRmCommand(), volumePruneCommand()},
		Action:      noSubcommand,
	}
}

// noSubcommand is what a command that has others does when none is named, or none that it knows.
func noSubcommand(c *cli.Context) error {
	word := c.Args().First()
	if word == "" {
		return cli.ShowSubcommandHelp(c)
	}
	msg := fmt.Sprintf("there is no command %q", c.Command.Name+" "+word)
	if near := nearestName(word, c.Command.Subcommands); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	return usageErrorf(c, "%s", msg)
}

func volumeLsCommand() *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Usage:     "list the volumes of all projects, or of one",
		UsageText: "topo volume ls [-f FILE | -p PROJECT] [--json]",
		Description: `Lists the volumes on the machine, with who has them mounted. A volume that a node has
for itself is named with its node and target.

Example:
  topo volume ls
  topo volume ls --json | jq -r '.[] | select(.users | not).name'`,
		Flags:  append(targetFlags(false), boolFlag("json", "print a JSON array")),
		Action: volumeLs,
	}
}

func volumeRmCommand() *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Usage:     "remove volumes, with all that is in them",
		UsageText: "topo volume rm NAME…",
		ArgsUsage: "NAME…",
		Description: `Removes volumes by the names that "topo volume ls" shows. One that a container has
mounted, running or not, is never removed: all NAMEs are looked at before any is.

Example:
  sudo topo volume rm shop_data`,
		Flags:        []cli.Flag{timeFlag("lock-timeout", 0, "wait `DURATION` for another topo that works on the project")},
		Action:       volumeRm,
		BashComplete: completeVolumes,
	}
}

// completeVolumes offers the flags, then the volumes that nobody has mounted.
func completeVolumes(c *cli.Context) {
	cli.DefaultCompleteWithFlags(c.Command)(c)
	list, err := newEngine().Volumes(c.Context)
	if err != nil {
		return
	}
	for _, v := range list {
		if v.Genuine() && len(v.Users) == 0 {
			fmt.Fprintln(c.App.Writer, v.Name)
		}
	}
}

func volumeLs(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	all, err := newEngine().Volumes(c.Context)
	if err != nil {
		return err
	}
	project := ""
	if givenProject(c) != "" || len(givenFiles(c)) > 0 {
		if project, err = runningProject(c.Context, c); err != nil {
			return err
		}
	}
	list := []kernel.Volume{}
	for _, v := range all {
		if v.Genuine() && (project == "" || v.Project == project) {
			list = append(list, v)
		}
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, list)
	}
	rows := make([][]string, len(list))
	for i, v := range list {
		rows[i] = []string{v.Name, v.Project, ownerOf(v), v.Created.Local().Format(time.DateTime), strings.Join(usersOf(v), ", ")}
	}
	return writeTable(c.App.Writer, []string{"VOLUME", "PROJECT", "OF", "CREATED", "USED BY"}, rows)
}

// ownerOf names whose own a volume is; "" where it is nobody's.
func ownerOf(v kernel.Volume) string {
	if v.Node == "" {
		return ""
	}
	return v.Node + ":" + v.Target
}

// usersOf names the nodes that have a volume mounted: with their project, where that is another's.
func usersOf(v kernel.Volume) []string {
	var names []string
	for _, u := range v.Users {
		name := u.Node
		if u.Project != v.Project {
			name += " of " + u.Project
		}
		names = append(names, name)
	}
	return names
}

// volumeInUseError: a volume is not removed because somebody has it.
type volumeInUseError struct{ volume kernel.Volume }

func (e *volumeInUseError) Error() string {
	return fmt.Sprintf("volume %s is used by %s", e.volume.Name, strings.Join(usersOf(e.volume), ", "))
}

func volumeRm(c *cli.Context) error {
	names, err := operands(c, 1, -1)
	if err != nil {
		return err
	}
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	chosen, err := removable(c.Context, m, names)
	if err != nil {
		return err
	}
	for _, v := range chosen {
		if err := removeVolume(c, m, v); err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, v.Name)
	}
	return nil
}

// removable finds volumes by their names; the error names all that are not there or are used.
func removable(ctx context.Context, m *machine, names []string) ([]kernel.Volume, error) {
	all, err := m.engine.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]kernel.Volume{}
	for _, v := range all {
		if v.Genuine() {
			known[v.Name] = v
		}
	}
	var chosen []kernel.Volume
	var errs []error
	for _, name := range names {
		v, ok := known[name]
		switch {
		case !ok:
			near := nearestOf(name, slices.Values(slices.Sorted(maps.Keys(known))))
			if near != "" {
				near = fmt.Sprintf("; did you mean %s?", near)
			}
			errs = append(errs, fmt.Errorf("there is no volume %q%s", name, near))
		case len(v.Users) > 0:
			errs = append(errs, &volumeInUseError{v})
		default:
			chosen = append(chosen, v)
		}
	}
	return chosen, errors.Join(errs...)
}

// removeVolume removes one while no other topo works on its project, which may be about to mount it.
func removeVolume(c *cli.Context, m *machine, v kernel.Volume) error {
	if !v.External {
		unlock, err := lockProject(c.Context, c, v.Project)
		if err != nil {
			return err
		}
		defer unlock()
	}
	return m.Do(c.Context, []kernel.Op{kernel.VolumeDelete{Name: v.Name, Project: v.Project}})
}
