package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

func volumePruneCommand() *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "remove volumes that nobody uses, with all that is in them",
		UsageText: "topo volume prune [--all] [--dry-run]",
		Description: `Removes the volumes that nodes had for themselves and that no process has mounted, running
or not; it lists them first, with the space that each takes. With --all also named ones,
of projects that are down, and those that "topo volume create" made.

Example:
  sudo topo volume prune --all --dry-run`,
		Flags: []cli.Flag{
			boolFlag("all", "also named volumes of projects that are down, and external ones", "a"),
			boolFlag("dry-run", "only list them"),
			timeFlag("lock-timeout", 0, "wait `DURATION` for another topo that works on one of the projects"),
			unaskedFlag(),
		},
		Action: volumePrune,
	}
}

func volumePrune(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	chosen, err := superfluous(c.Context, m, c.Bool("all"))
	if err == nil && !c.Bool("dry-run") {
		// What is about to be mounted looks unused: it is looked at again while nobody works on its project.
		var unlock func()
		if unlock, err = lockProjectsOf(c, chosen); err != nil {
			return err
		}
		defer unlock()
		locked := chosen
		chosen, err = superfluous(c.Context, m, c.Bool("all"))
		chosen = still(chosen, locked)
	}
	if err != nil || len(chosen) == 0 {
		return err
	}
	sizes, err := printSizes(c, m, chosen)
	if err != nil || c.Bool("dry-run") {
		return err
	}
	return prune(c, m, chosen, sizes)
}

// superfluous are the volumes that prune removes.
func superfluous(ctx context.Context, m *machine, named bool) ([]kernel.Volume, error) {
	all, err := m.engine.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	up, err := m.projects(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(v kernel.Volume) bool {
		goes := v.Node != "" || named && up[v.Project] == nil
		return !v.Genuine() || len(v.Users) > 0 || !goes
	}), nil
}

// still leaves out volumes that were not there before: of what has become superfluous since then, no project is locked.
func still(volumes, before []kernel.Volume) []kernel.Volume {
	return slices.DeleteFunc(volumes, func(v kernel.Volume) bool {
		return !slices.ContainsFunc(before, func(b kernel.Volume) bool { return b.Name == v.Name })
	})
}

// lockProjectsOf takes the locks of all projects that volumes are of, in their order.
func lockProjectsOf(c *cli.Context, volumes []kernel.Volume) (unlock func(), err error) {
	projects := map[string]bool{}
	for _, v := range volumes {
		projects[v.Project] = true
	}
	delete(projects, "") // of external ones
	var locks []func()
	unlock = func() {
		for _, release := range locks {
			release()
		}
	}
	for _, project := range slices.Sorted(maps.Keys(projects)) {
		release, err := lockProject(c.Context, c, project)
		if err != nil {
			unlock()
			return nil, err
		}
		locks = append(locks, release)
	}
	return unlock, nil
}

// printSizes lists volumes with the space that each takes.
func printSizes(c *cli.Context, m *machine, volumes []kernel.Volume) ([]int64, error) {
	sizes, rows := make([]int64, len(volumes)), make([][]string, len(volumes))
	for i, v := range volumes {
		var err error
		if sizes[i], err = m.engine.VolumeSize(c.Context, v.Name); err != nil {
			return nil, err
		}
		rows[i] = []string{v.Name, v.Project, ownerOf(v), units.HumanSize(float64(sizes[i]))}
	}
	return sizes, writeTable(c.App.Writer, []string{"VOLUME", "PROJECT", "OF", "SIZE"}, rows)
}

func prune(c *cli.Context, m *machine, volumes []kernel.Volume, sizes []int64) error {
	var errs []error
	removed, freed := 0, int64(0)
	for i, v := range volumes {
		err := m.engine.Do(c.Context, kernel.VolumeDelete{Name: v.Name, Project: v.Project})
		switch {
		case errors.Is(err, unix.EBUSY): // one that another project has just taken
			fmt.Fprintf(c.App.ErrWriter, "kept: %v\n", err)
		case err != nil:
			errs = append(errs, err)
		default:
			removed, freed = removed+1, freed+sizes[i]
		}
	}
	fmt.Fprintf(c.App.ErrWriter, "removed %s, %s\n", counted(removed, "volume"), units.HumanSize(float64(freed)))
	return errors.Join(errs...)
}
