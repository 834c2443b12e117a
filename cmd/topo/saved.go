package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/linux"
	"topo/planner"
)

// savedPlanError is what is wrong with the file of a saved plan.
type savedPlanError struct {
	file string
	err  error
}

func (e *savedPlanError) Error() string { return "the saved plan " + e.file + ": " + e.err.Error() }
func (e *savedPlanError) Unwrap() error { return e.err }

// outFile is the FILE of plan --out, "" without. What stands there and is no saved plan is never written over.
func outFile(c *cli.Context) (string, error) {
	file := c.String("out")
	switch {
	case !c.IsSet("out"):
		return "", nil
	case file == "" || file == stdinArgument:
		return "", usageErrorf(c, "--out needs a file: the plan itself is printed, and environments in a saved one can hold passwords")
	case c.Bool("offline"):
		return "", usageErrorf(c, "--offline excludes --out: a saved plan is bound to what is on the machine")
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(file))
		return file, err
	}
	if err != nil {
		return "", fmt.Errorf("looking at %s: %w", file, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("--out %s: it is no ordinary file", file)
	}
	there, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("looking at %s: %w", file, err)
	}
	if len(there) > 0 && !planner.IsSaved(there) {
		return "", fmt.Errorf("--out %s: there is a file that is no saved plan; remove it, or choose another name", file)
	}
	return file, nil
}

// savePlan writes a plan with all that it depends on into a file.
func savePlan(file string, p *planner.Plan, o planner.Options) error {
	on, err := identity()
	if err != nil {
		return err
	}
	saved, err := planner.Save(p, o, on, versionName())
	if err != nil {
		return err
	}
	doc, err := saved.Encode()
	if err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	if err := linux.WritePrivate(file, doc); err != nil {
		return fmt.Errorf("saving the plan: %w", err)
	}
	return nil
}

func identity() (planner.Identity, error) {
	machine, boot, namespace, err := linux.Identity()
	return planner.Identity{ID: machine, Boot: boot, Namespace: namespace}, err
}

// wantedBySaved reads the plan of up --plan, and gives what it wants.
func wantedBySaved(c *cli.Context) (*wanted, error) {
	if err := onlySaved(c); err != nil {
		return nil, err
	}
	file := c.String("plan")
	if file == "" || file == stdinArgument {
		return nil, usageErrorf(c, "--plan needs the file that plan --out wrote")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the saved plan: %w", err)
	}
	saved, err := planner.LoadSaved(data)
	if err != nil {
		return nil, &savedPlanError{file, err}
	}
	if name := givenProject(c); name != "" && name != saved.Project {
		return nil, usageErrorf(c, "--plan %s is of project %s, not %s", file, saved.Project, name)
	}
	here, err := identity()
	if err != nil {
		return nil, err
	}
	if err := saved.On(here); err != nil {
		return nil, err
	}
	o := saved.Options()
	return &wanted{topology: o.Topology, nodes: o.Nodes, keepOrphans: o.KeepOrphans, saved: saved}, nil
}

// onlySaved refuses what decides a plan beside one that is made already. What an environment variable says was said to
// "topo plan", too, and is left out.
func onlySaved(c *cli.Context) error {
	refuse := func(what string) error {
		return usageErrorf(c, "--plan excludes %s: the plan is made; make another with topo plan --out", what)
	}
	if c.Args().Present() {
		return refuse("NODEs")
	}
	for _, flag := range []string{"file", "env-file", "scale", "profile", "runtime", "remove-orphans"} {
		at := nearest(c, flag)
		if at.IsSet(flag) && os.Getenv(envName(flag)) == "" {
			return refuse("--" + flag)
		}
	}
	return nil
}

// versionName is the version of this topo, as a saved plan names it.
func versionName() string {
	var b strings.Builder
	_ = printVersion(&b) // a Builder takes all
	name, _, _ := strings.Cut(strings.TrimPrefix(b.String(), "topo "), " (")
	return name
}
