package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
)

func downCommand() *cli.Command {
	return &cli.Command{
		Name:      "down",
		Usage:     "remove everything of a project, and prove it",
		UsageText: "topo down [-f FILE | -p PROJECT] [-v] [--timeout DURATION]",
		Description: `Finds what there is of the project by its marks in the kernel, with or without the
file, removes it, and reads the kernel again: anything that is left is an error that
names it. Of the file only the project's name is used, so one with mistakes does.

Volumes stay, for the next up. With -v those that the project made are removed, too:
named ones and those that nodes have for themselves; not external ones.

Example:
  sudo topo down
  sudo topo down -v
  sudo topo down -p flask-redis`,
		Flags: slices.Concat(targetFlags(false), changingFlags(), []cli.Flag{
			unaskedFlag(),
			boolFlag("volumes", "also remove the project's volumes, with all that is in them", "v"),
		}),
		Action: down,
	}
}

func down(c *cli.Context) error {
	project, err := wholeProject(c)
	if err != nil {
		return err
	}
	ctx, stop := atWork(c)
	defer stop()
	w := &changing{
		verb: "down", project: project, query: planner.Query(nil, project),
		progress: c.String("progress"), out: c.App.Writer, err: c.App.ErrWriter,
	}
	return w.told(ctx, takeDown(ctx, c, w))
}

func takeDown(ctx context.Context, c *cli.Context, w *changing) error {
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	w.plan = func(s kernel.Snapshot) (*planner.Plan, error) {
		applied, err := readApplied(w.project)
		if err != nil {
			return nil, err
		}
		return planner.Build(planner.Options{Project: w.project, Snapshot: s, Applied: applied, Volumes: c.Bool("volumes")})
	}
	unlock, err := lockProject(ctx, c, w.project)
	if err != nil {
		return noLock(err, func() error {
			s, err := m.Snapshot(ctx, w.query)
			if err == nil {
				_, err = w.plan(s)
			}
			return err
		})
	}
	defer unlock()
	changed, err := w.run(ctx, m)
	if err != nil {
		return err
	}
	if err := forgetConfirmation(w.project); err != nil {
		return err
	}
	if err := forget(m, w.project); err != nil {
		return err
	}
	if !changed {
		fmt.Fprintf(c.App.Writer, "%s: nothing to remove\n", w.project)
	}
	return nil
}

// forget removes the files and folders that are kept for a project of which nothing else is there, and looks that they are gone.
func forget(m *machine, project string) error {
	if err := linux.RemoveState(project); err != nil {
		return err
	}
	if err := m.engine.Remove(project); err != nil {
		return err
	}
	left := slices.DeleteFunc(linux.Leftovers(project), func(path string) bool { return path == linux.LockFile(project) }) // it is held
	if len(left) > 0 {
		return fmt.Errorf("%s: %s could not be removed", project, strings.Join(left, ", "))
	}
	return nil
}
