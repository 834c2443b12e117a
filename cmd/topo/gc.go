package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
)

func gcCommand() *cli.Command {
	return &cli.Command{
		Name:      "gc",
		Usage:     "remove what dead projects left",
		UsageText: "topo gc [--dry-run] [--yes] [--json] [--timeout DURATION] [--progress MODE]",
		Description: `Finds the projects that are dead, by their marks alone, and shows what it is to remove: for
each the same plan as "topo down -p PROJECT" has. On a terminal it then asks; elsewhere
it goes on with --yes only, and ends with 3 without.

A project is dead when

  - the file that it was brought up from is gone (all of its files, where it has several);
    what was read from stdin has no file, and is not judged by it;
  - its processes are gone, and so is their supervisor, which would start them again;
  - its state folder, /run/topo/projects/PROJECT, is gone: no up of it ever ended well, or
    somebody removed the folder. Where nothing but keys and logs is left, after a reboot,
    it lives as long as its file is there.

What no project needs any more goes, too: chains and jumps that all share, forwarding that
topo turned on, chains of topo's that nothing names. Volumes stay, with all that is in them:
"topo volume prune" is for those. A project that another topo works on is left alone (5).

Example:
  sudo topo gc --dry-run
  sudo topo gc --yes`,
		Flags: append(changingFlags(),
			boolFlag("yes", "remove it without being asked", "y"),
			boolFlag("json", "print what is to be removed as one JSON document"),
			boolFlag("dry-run", "only show it"),
		),
		Action: gc,
	}
}

// deceased is a dead project, with all that goes.
type deceased struct {
	project string
	reason  string
	plan    *planner.Plan
	files   []string // and folders that go besides
	volumes []string // that stay
}

func gc(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	if err := checkProgress(c); err != nil {
		return err
	}
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	ctx, stop := atWork(c)
	defer stop()
	found, err := m.findDead(ctx)
	if err != nil {
		return causeOf(ctx, err)
	}
	if err := printDead(c, found); err != nil {
		return err
	}
	if c.Bool("dry-run") || found.empty() {
		return nil
	}
	if err := agreed(c, found); err != nil {
		return err
	}
	return bury(ctx, c, m, found)
}

// graveyard is all that gc removes.
type graveyard struct {
	dead []deceased
	// shared is what none of the projects that are left needs.
	shared *planner.Plan
}

func (g graveyard) empty() bool { return len(g.dead) == 0 && g.shared.Empty() }

// survey says what there is of each project, by name. What it reads by name only is of none.
func (m *machine) survey(ctx context.Context) (map[string]kernel.Remains, error) {
	s, err := m.host.Snapshot(ctx, kernel.Query{})
	if err != nil {
		return nil, err
	}
	all, err := linux.Remains()
	if err != nil {
		return nil, fmt.Errorf("looking for projects' files: %w", err)
	}
	add := func(name string) {
		r := all[name]
		r.Project, r.Kernel = name, true
		all[name] = r
	}
	for name := range projectsOf(s) {
		add(name)
	}
	for _, u := range s.Uplinks {
		add(u.Project)
	}
	for _, l := range s.Lent {
		add(l.Project)
	}
	supervised, err := m.engine.Supervised()
	if err != nil {
		return nil, fmt.Errorf("looking for supervisors: %w", err)
	}
	for _, name := range supervised {
		r := all[name]
		r.Project = name
		all[name] = r
	}
	for name, r := range all {
		if r, err = m.withProcesses(ctx, r); err != nil {
			return nil, err
		}
		all[name] = r
	}
	return all, nil
}

func (m *machine) withProcesses(ctx context.Context, r kernel.Remains) (kernel.Remains, error) {
	supervisor, processes, err := m.engine.Observe(ctx, r.Project)
	if err != nil {
		return r, fmt.Errorf("reading the processes of %s: %w", r.Project, err)
	}
	r.Processes = len(processes)
	if !r.State {
		if err := m.engine.Lost(r.Project, &supervisor, &processes); err != nil {
			return r, fmt.Errorf("looking for processes of %s that have no record: %w", r.Project, err)
		}
		r.Kernel = r.Kernel || supervisor.PID != 0 || len(processes) > r.Processes
	}
	r.Supervised = supervisor.PID != 0
	for _, p := range processes {
		if p.Status == kernel.Running {
			r.Alive++
		}
	}
	return r, nil
}

// findDead plans the end of each dead project, and then of what all shared and none needs any more. It changes nothing.
func (m *machine) findDead(ctx context.Context) (graveyard, error) {
	var g graveyard
	all, err := m.survey(ctx)
	if err != nil {
		return g, err
	}
	var dead, living []string
	for name, r := range all {
		if planner.Dead(r) == "" {
			living = append(living, name)
		} else {
			dead = append(dead, name)
		}
	}
	slices.Sort(dead)
	slices.Sort(living)
	for _, name := range dead {
		d := deceased{project: name, reason: planner.Dead(all[name]), files: linux.Leftovers(name)}
		s, err := m.Snapshot(ctx, planner.Query(nil, name))
		if err != nil {
			return g, err
		}
		if d.plan, err = planEnd(name, s); err != nil {
			return g, fmt.Errorf("planning the end of %s: %w", name, err)
		}
		for _, v := range s.Volumes {
			if v.Project == name {
				d.volumes = append(d.volumes, v.Name)
			}
		}
		g.dead = append(g.dead, d)
	}
	s, err := m.Snapshot(ctx, sharedQuery)
	if err != nil {
		return g, err
	}
	g.shared, err = planner.Build(planner.Options{
		Project: kernel.HostProject, Snapshot: s, Known: slices.Concat(living, dead), Gone: dead,
	})
	return g, err
}

// planEnd is the plan of down, without what all projects share: that comes last.
func planEnd(project string, s kernel.Snapshot) (*planner.Plan, error) {
	applied, err := readApplied(project)
	if err != nil {
		return nil, err
	}
	return planner.Build(planner.Options{Project: project, Snapshot: s, Applied: applied, KeepShared: true})
}

// sharedQuery is what is read for the plan of what all projects share.
var sharedQuery = kernel.Query{Project: kernel.HostProject}

// printDead shows what goes.
func printDead(c *cli.Context, g graveyard) error {
	if c.Bool("json") {
		return printDeadJSON(c.App.Writer, g)
	}
	var b strings.Builder
	if g.empty() {
		b.WriteString("nothing to remove\n")
	}
	o := planner.TextOptions{Color: colourful(c.App.Writer)}
	for i, d := range g.dead {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s is dead: %s\n", d.project, d.reason)
		if !d.plan.Empty() {
			b.WriteString(d.plan.Text(o))
		}
		for _, f := range d.files {
			fmt.Fprintf(&b, "  - %s\n", f)
		}
		if len(d.volumes) > 0 {
			fmt.Fprintf(&b, "  its volumes stay: %s\n", strings.Join(d.volumes, ", "))
		}
	}
	if !g.shared.Empty() {
		if len(g.dead) > 0 {
			b.WriteString("\n")
		}
		b.WriteString("What projects share, and none needs any more:\n" + g.shared.Text(o))
	}
	_, err := io.WriteString(c.App.Writer, b.String())
	return err
}

// deadDocument is what --json prints: the plans are those of "topo plan --json".
type deadDocument struct {
	FormatVersion string          `json:"format_version"`
	Projects      []deadView      `json:"projects"`
	Shared        json.RawMessage `json:"shared"`
}

type deadView struct {
	Project string          `json:"project"`
	Reason  string          `json:"reason"`
	Plan    json.RawMessage `json:"plan"`
	Files   []string        `json:"files"`
	Volumes []string        `json:"volumes"` // that stay
}

func printDeadJSON(w io.Writer, g graveyard) error {
	doc := deadDocument{FormatVersion: planner.FormatVersion, Projects: []deadView{}}
	for _, d := range g.dead {
		plan, err := d.plan.JSON()
		if err != nil {
			return err
		}
		doc.Projects = append(doc.Projects, deadView{
			Project: d.project, Reason: d.reason, Plan: plan, Files: append([]string{}, d.files...), Volumes: append([]string{}, d.volumes...),
		})
	}
	var err error
	if doc.Shared, err = g.shared.JSON(); err != nil {
		return err
	}
	return writeJSON(w, doc)
}

// A notAgreedError: nobody said yes. Nothing was changed.
type notAgreedError struct{}

func (e *notAgreedError) Error() string { return "nothing was removed: nobody agreed" }

// agreed asks on a terminal; elsewhere only --yes agrees.
func agreed(c *cli.Context, g graveyard) error {
	if c.Bool("yes") {
		return nil
	}
	if !isTerminal(c.App.Reader) || !isTerminal(c.App.ErrWriter) {
		return &notAgreedError{}
	}
	what := "this"
	if n := len(g.dead); n > 0 {
		what = counted(n, "project")
	}
	fmt.Fprintf(c.App.ErrWriter, "Remove %s? [y/N] ", what)
	line, err := bufio.NewReader(c.App.Reader).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return &notAgreedError{}
	}
	return nil
}

// bury takes down what is dead still, one project after the other; what goes wrong with one keeps no other.
func bury(ctx context.Context, c *cli.Context, m *machine, g graveyard) error {
	var errs []error
	for _, d := range g.dead {
		err := buryOne(ctx, c, m, d)
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return errors.Join(errs...)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, buryShared(ctx, c, m, g))
	}
	return errors.Join(errs...)
}

func buryOne(ctx context.Context, c *cli.Context, m *machine, d deceased) error {
	w := removing(c, d.project, planner.Query(nil, d.project))
	unlock, err := lockProject(ctx, c, d.project)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := m.survey(ctx)
	if err != nil {
		return err
	}
	if r, there := all[d.project]; !there || planner.Dead(r) == "" {
		fmt.Fprintf(c.App.ErrWriter, "%s lives: left alone\n", d.project)
		return nil
	}
	w.plan = asShown(d.plan, func(s kernel.Snapshot) (*planner.Plan, error) { return planEnd(d.project, s) })
	if _, err := w.run(ctx, m); err != nil {
		return w.told(ctx, err)
	}
	return forget(m, d.project)
}

func buryShared(ctx context.Context, c *cli.Context, m *machine, g graveyard) error {
	w := removing(c, kernel.HostProject, sharedQuery)
	w.plan = asShown(g.shared, func(s kernel.Snapshot) (*planner.Plan, error) {
		all, err := m.survey(ctx)
		if err != nil {
			return nil, err
		}
		var known []string
		for name := range all {
			known = append(known, name)
		}
		return planner.Build(planner.Options{Project: kernel.HostProject, Snapshot: s, Known: known})
	})
	if _, err := w.run(ctx, m); err != nil {
		return w.told(ctx, err)
	}
	return forget(m, kernel.HostProject)
}

// removing is a run of gc; its plan was shown.
func removing(c *cli.Context, project string, q kernel.Query) *changing {
	return &changing{
		verb: "gc", project: project, query: q,
		progress: c.String("progress"), yes: true, out: io.Discard, err: c.App.ErrWriter,
	}
}

// asShown refuses a plan that has more than the one that was agreed to. What the proof finds later is compared with nothing.
func asShown(shown *planner.Plan, plan func(kernel.Snapshot) (*planner.Plan, error)) func(kernel.Snapshot) (*planner.Plan, error) {
	compared := false
	return func(s kernel.Snapshot) (*planner.Plan, error) {
		p, err := plan(s)
		if err != nil || compared {
			return p, err
		}
		compared = true
		for i := range p.Changes {
			line := p.Changes[i].Line()
			if !slices.ContainsFunc(shown.Changes, func(x planner.Change) bool { return x.Line() == line }) {
				return nil, fmt.Errorf("%s has changed since it was shown (%s); nothing of it was removed", p.Project, line)
			}
		}
		return p, nil
	}
}
