package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
	"topo/spec"
)

func upCommand() *cli.Command {
	return &cli.Command{
		Name:      "up",
		Usage:     "make it so, and prove it",
		UsageText: "topo up [-f FILE] [--wait] [--timeout DURATION] [--progress MODE] [--remove-orphans=false] [--profile NAME] [--scale NODE=N] [--plan FILE] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Plans as "topo plan" does, carries the plan out, and reads the kernel again: any
difference that is left is an error. What is in place and right is not touched.
With NODEs, only these and what they stand on.

With --plan, carries out what "topo plan --out FILE" saved, and needs no topology file. If
the machine, or anything that the plan is about, is not as it was then, nothing is changed:
exit code 4, and a line for each thing that differs.

Ctrl-C begins no further step, waits for those under way, and says what is left undone;
a second one leaves at once. Running up again continues, after a failure, too.

--progress json writes an object a line to stderr: {"event": "started", "done", "failed"
or "skipped", "id", "action", "elapsed_ms", "error"} for each action, {"event": "pulling",
"image", "layer", "layers", "done_bytes", "total_bytes"} for each layer of an image, then
{"event": "summary", "project", "done", "failed", "skipped", "interrupted", "elapsed_ms"},
and {"event": "error", "error", "exit_code"} where there is one.

Example:
  sudo topo up -f examples/flask-redis.yaml --wait`,
		Flags: slices.Concat(targetFlags(false), changingFlags(), []cli.Flag{
			boolFlag("yes", "agree beforehand: a card that carries the default route or this session may become a port, or a node's", "y"),
			boolFlag("wait", "wait until all processes run, and those with a health check are healthy"),
			orphansFlag(),
			profileFlag(),
			scaleFlag(),
			runtimeFlag(),
			textFlag("plan", "", "carry out the plan that plan --out saved to `FILE`, or end with 4 where it is stale"),
			&cli.BoolFlag{Name: "rollback-on-failure", Usage: "not supported yet", Hidden: true},
		}),
		Action:       up,
		BashComplete: completeNodes,
	}
}

func up(c *cli.Context) error {
	if err := supportedByUp(c); err != nil {
		return err
	}
	want, err := wantedOfUp(c)
	if err != nil {
		return err
	}
	t := want.topology
	ctx, stop := atWork(c)
	defer stop()
	w := &changing{
		verb: "up", project: t.Name, query: planner.Query(t, t.Name),
		progress: c.String("progress"), yes: c.Bool("yes"), out: c.App.Writer, err: c.App.ErrWriter,
	}
	return w.told(ctx, bringUp(ctx, c, w, want))
}

// wantedOfUp is what the file says, or the saved plan.
func wantedOfUp(c *cli.Context) (*wanted, error) {
	if c.IsSet("plan") {
		return wantedBySaved(c)
	}
	t, err := loadChosen(c)
	if err != nil {
		return nil, err
	}
	return wantedBy(c, t)
}

func supportedByUp(c *cli.Context) error {
	switch {
	case c.Bool("rollback-on-failure"):
		return usageErrorf(c, "--rollback-on-failure is not supported yet")
	}
	return checkProgress(c)
}

func bringUp(ctx context.Context, c *cli.Context, w *changing, want *wanted) error {
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	unlock, err := lockProject(ctx, c, w.project)
	if err != nil {
		return noLock(err, func() error {
			_, _, err := want.planNow(ctx, false)
			return err
		})
	}
	defer unlock()
	applied, err := readApplied(w.project)
	if err != nil {
		return err
	}
	var last planner.Options // of the last reading, that of the proof
	w.plan = func(s kernel.Snapshot) (p *planner.Plan, err error) {
		p, last, err = want.compare(s, applied)
		if saved := want.saved; saved != nil {
			want.saved = nil // it is to be the first plan, not the empty one of the proof
			err = saved.Check(p, last, err)
		}
		return p, err
	}
	p, err := w.run(ctx, m)
	if err != nil {
		return err
	}
	if err := remember(last, applied); err != nil {
		return err
	}
	if err := rememberSource(c, w.project); err != nil {
		return err
	}
	if c.Bool("wait") {
		if err := waitUntilRunning(ctx, m, last.Topology, want.nodes); err != nil {
			return err
		}
	}
	if p.Empty() {
		return printPlain(c, p)
	}
	printPublished(c.App.ErrWriter, last.Topology)
	return nil
}

// printPlain prints a plan with nothing to do: one line.
func printPlain(c *cli.Context, p *planner.Plan) error {
	_, err := fmt.Fprint(c.App.Writer, p.Text(planner.TextOptions{}))
	return err
}

// remember keeps what was applied, where that is news.
func remember(o planner.Options, before planner.Applied) error {
	data, err := json.Marshal(planner.Remember(o))
	if err != nil {
		return fmt.Errorf("writing down what was applied: %w", err)
	}
	if old, err := json.Marshal(before); err == nil && string(old) == string(data) {
		return nil
	}
	return linux.WriteApplied(o.Project, data)
}

// waitUntilRunning is --wait. Whether a process has a health check, its image may say.
func waitUntilRunning(ctx context.Context, m *machine, t *spec.Topology, nodes []string) error {
	wanted := map[string]bool{}
	for _, n := range nodes {
		wanted[n] = true
	}
	_, states, err := m.engine.Observe(ctx, t.Name)
	if err != nil {
		return causeOf(ctx, err)
	}
	checked := map[string]bool{}
	for _, s := range states {
		checked[s.Process.Node] = s.Image.Over(s.Process).Health != nil
	}
	for _, n := range t.Nodes {
		if n.Process == nil || len(wanted) > 0 && !wanted[n.Name] {
			continue
		}
		condition := kernel.ServiceRunning
		if checked[n.Name] {
			condition = kernel.ServiceHealthy
		}
		began := time.Now()
		err := m.Do(ctx, []kernel.Op{kernel.ProcessWait{Project: t.Name, Node: n.Name, Condition: condition}})
		var wrapped *kernel.OpError
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		if err != nil {
			return fmt.Errorf("waiting %s for %s: %w", short(time.Since(began)), n.Name, causeOf(ctx, err))
		}
	}
	return nil
}

// causeOf is why the context ended, where that is what the error says.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
