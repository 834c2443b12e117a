package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
		UsageText: "topo up [-f FILE] [--wait] [--rollback-on-failure] [--confirm DURATION] [--timeout DURATION] [--progress MODE] [--remove-orphans=false] [--profile NAME] [--scale NODE=N] [--plan FILE] [NODE…]",
		ArgsUsage: "[NODE…]",
		Description: `Plans as "topo plan" does, carries the plan out, and reads the kernel again: any
difference that is left is an error. What is in place and right is not touched.
With NODEs, only these and what they stand on.

With --plan, carries out what "topo plan --out FILE" saved, and needs no topology file. If
the machine, or anything that the plan is about, is not as it was then, nothing is changed:
exit code 4, and a line for each thing that differs.

Ctrl-C begins no further step, waits for those under way, and says what is left undone;
a second one leaves at once. Running up again continues, after a failure, too.

With --rollback-on-failure a step that fails, a difference that is left, a --wait in vain
or Ctrl-C lead back: topo says what went wrong, plans the way to what the project had
before this run, prints that plan, carries it out and proves it. Volumes that were there
are not touched, and what is in them stays as the run left it; those that the run made go.
The exit code is that of the failure.

With --confirm 60s the same is done, and what was before comes back also if "topo confirm"
does not come within that time after the run: when the change cut you off, say. A process
of its own watches over that from before the first change on: it does so at once when topo
ends in the middle of the run (the terminal is gone, kill -9), or when no step has ended for
as long. Meanwhile there is no other up of the project.

--progress json writes an object a line to stderr: {"event": "started", "done", "failed"
or "skipped", "id", "action", "elapsed_ms", "error"} for each action, {"event": "pulling",
"image", "layer", "layers", "done_bytes", "total_bytes"} for each layer of an image, {"event": "waiting", "pid",
"command", "project", "since", "text"} while another topo is waited for, then
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
			boolFlag("rollback-on-failure", "put back what was there before, if anything fails"),
			timeFlag("confirm", 0, "put back what was there before, unless \"topo confirm\" comes within `DURATION` (60s)"),
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
	if c.IsSet("confirm") && c.Duration("confirm") <= 0 {
		return usageErrorf(c, "--confirm %s: must be more than 0", c.Duration("confirm"))
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
	if err := unconfirmed(w.project); err != nil {
		return err
	}
	if err := tellPutBack(w.err, w.project); err != nil {
		return err
	}
	applied, err := readApplied(w.project)
	if err != nil {
		return err
	}
	var back wayBack
	var watch *watchOver
	patience := c.Duration("confirm")
	if patience > 0 || c.Bool("rollback-on-failure") {
		if back.applied, err = linux.ReadApplied(w.project); err != nil {
			return err
		}
		if back.source, _, err = linux.ReadSource(w.project); err != nil {
			return err
		}
		w.past = func(q kernel.Query, s kernel.Snapshot) kernel.Query { return planner.Past(q, s, applied) }
	}
	w.standBy = func() (err error) {
		if patience > 0 {
			watch, err = setWatch(&back, patience)
			w.step = watch.step
		}
		return err
	}
	var last planner.Options // of the last reading, that of the proof
	var proof *planner.Plan
	w.plan = func(s kernel.Snapshot) (p *planner.Plan, err error) {
		last, proof = planner.Options{}, nil // there is room for another
		p, last, err = want.compare(s, applied)
		proof = p
		if !w.began && w.past != nil {
			back.run, back.query = last, w.query
		}
		if saved := want.saved; saved != nil {
			want.saved = nil // it is to be the first plan, not the empty one of the proof
			err = saved.Check(p, last, err)
		}
		return p, err
	}
	changed, err := w.run(ctx, m)
	if err == nil {
		err = remember(proof, applied)
	}
	if err == nil && c.Bool("wait") {
		err = waitUntilRunning(ctx, m, last.Topology, want.nodes, w.stepped)
	}
	switch {
	case err != nil && w.began && w.past != nil:
		return w.undo(ctx, m, &back, watch, err)
	case err != nil:
		return err
	}
	if err := rememberSource(c, w.project); err != nil {
		return err
	}
	if err := linux.RemovePutBack(w.project); err != nil {
		return err
	}
	if !changed {
		return printPlain(c, proof)
	}
	printPublished(c.App.ErrWriter, last.Topology)
	if watch == nil {
		return nil
	}
	return watch.over(w)
}

// printPlain prints a plan with nothing to do: one line.
func printPlain(c *cli.Context, p *planner.Plan) error {
	_, err := fmt.Fprint(c.App.Writer, p.Text(planner.TextOptions{}))
	return err
}

// remember keeps what was applied, where that is news.
func remember(p *planner.Plan, before planner.Applied) error {
	applied := p.Remember()
	if before != nil && maps.Equal(applied, before) {
		return nil
	}
	data, err := json.Marshal(applied)
	if err != nil {
		return fmt.Errorf("writing down what was applied: %w", err)
	}
	return linux.WriteApplied(p.Project, data)
}

// waitUntilRunning is --wait; stepped is called for each node that is as it should be. Whether a process has a health check, its image
// may say.
func waitUntilRunning(ctx context.Context, m *machine, t *spec.Topology, nodes []string, stepped func()) error {
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
		stepped()
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
