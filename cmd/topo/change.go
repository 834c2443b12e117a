package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"topo/executor"
	"topo/internal/image"
	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/planner"
)

// settleTime is how long the kernel is given after the last edit until the host must read
// as was asked for. Taking down 1,000 namespaces takes it seconds, on a busy machine tens of them.
const settleTime = 30 * time.Second

// changing is one run of up or down: the one road from a reading of the host to the proof
// that nothing differs any more.
type changing struct {
	verb     string // "up", "down"
	project  string
	query    kernel.Query
	plan     func(kernel.Snapshot) (*planner.Plan, error)
	progress string // a value of --progress
	yes      bool   // up --yes
	out, err io.Writer
	began    bool // the plan is being carried out
	// past, if not nil, widens the query so that the run can be undone.
	past func(kernel.Query, kernel.Snapshot) kernel.Query
	// standBy, if not nil, is called before the first change.
	standBy func() error
	// step, if not nil, is called whenever a step has ended, before anybody is told.
	step func()
}

// changingFlags are those that up and down share.
func changingFlags() []cli.Flag {
	return []cli.Flag{
		timeFlag("timeout", 0, "give up after `DURATION` (30s, 5m; 0 is never)"),
		timeFlag("lock-timeout", 0, "wait `DURATION` for another topo that works on the project"),
		progressFlag(),
	}
}

func progressFlag() cli.Flag {
	return textFlag("progress", progressAuto, "how to tell of the progress, on stderr: `MODE` auto, tty, plain or json (an object a line)")
}

func checkProgress(c *cli.Context) error {
	modes := []string{progressAuto, progressTTY, progressPlain, progressJSON}
	if mode := c.String("progress"); !slices.Contains(modes, mode) {
		return usageErrorf(c, "--progress %s: must be one of %s", mode, strings.Join(modes, ", "))
	}
	return nil
}

// atWork returns a context that a signal or --timeout ends; release must be called.
func atWork(c *cli.Context) (_ context.Context, release func()) {
	ctx, stop := interruptible(c.Context)
	d := c.Duration("timeout")
	if d <= 0 {
		return ctx, stop
	}
	limited, cancel := context.WithTimeoutCause(ctx, d, errTimeout)
	return limited, func() {
		cancel()
		stop()
	}
}

// lockProject takes the project's lock, or says who has it.
func lockProject(ctx context.Context, c *cli.Context, project string) (unlock func(), err error) {
	release, err := linux.LockProject(ctx, project, linux.Wait{
		Limit: c.Duration("lock-timeout"), Tell: tellWaiting(c.App.ErrWriter, c.String("progress")),
	})
	if err != nil {
		return nil, err
	}
	return func() { warn(c.App.ErrWriter, release()) }, nil
}

// run reads the host, plans, carries the plan out and proves the result. Between the reading
// and the last step that other projects could notice, no other topo changes the host.
//
// Registries are asked once, before: other projects don't wait for them, and what the printed plan says of an image is
// what is fetched and what is proved, whatever its tag names by then.
//
// changed: there was something to do, and it was begun.
func (w *changing) run(ctx context.Context, m *machine) (changed bool, err error) {
	asked, err := m.engine.AskImages(ctx, w.query.Images)
	if err != nil {
		return false, err
	}
	w.query.Images = asked
	if err := m.engine.Quiesce(ctx, w.project); err != nil {
		return false, fmt.Errorf("waiting for what a topo before this one asked for: %w", err)
	}
	release, err := w.lockHost(ctx, m)
	if err != nil {
		return false, err
	}
	unlockHost := sync.OnceFunc(func() { warn(w.err, release()) })
	defer unlockHost()

	before, err := m.Snapshot(ctx, w.query)
	if err == nil && w.past != nil {
		w.query = w.past(w.query, before)
		before, err = m.Snapshot(ctx, w.query)
	}
	if err != nil {
		return false, err
	}
	p, err := w.plan(before)
	if err != nil || p.Empty() {
		return false, err
	}
	for _, text := range p.Warnings {
		warn(w.err, errors.New(text))
	}
	if _, err := io.WriteString(w.out, p.Text(planner.TextOptions{Color: colourful(w.out)})); err != nil {
		return false, fmt.Errorf("printing the plan: %w", err)
	}
	if err := consent(p, w.yes, m, w.err); err != nil {
		return false, err
	}
	if w.standBy != nil {
		if err := w.standBy(); err != nil {
			return false, err
		}
	}
	w.began = true
	if err := outcomeError(ctx, w.verb, w.execute(ctx, m, p, unlockHost)); err != nil {
		return true, err
	}
	// What was read and planned first is in no use from here on: there is room for the same again.
	return true, executor.Verify(ctx, m, w.plan, w.query, settleTime)
}

// lockHost waits for those that change what all projects share: none does for long.
func (w *changing) lockHost(ctx context.Context, m *machine) (unlock func() error, err error) {
	return m.host.LockHost(ctx, w.project, linux.Wait{Limit: -1, Tell: tellWaiting(w.err, w.progress)})
}

// execute carries a plan out, and tells of it while it does.
func (w *changing) execute(ctx context.Context, m *machine, p *planner.Plan, unlockHost func()) *executor.Report {
	began := time.Now()
	shown := newProgress(w.progress, p, w.err)
	told := make(chan struct{})
	quiet := context.AfterFunc(ctx, func() {
		defer close(told)
		if interrupted(ctx) && w.progress != progressJSON {
			fmt.Fprintln(w.err, "topo: interrupted; finishing what is under way (once more to leave at once)")
		}
	})
	var telling sync.Mutex // an image is pulled beside other steps
	m.engine = newEngineTelling(func(p image.Progress) {
		telling.Lock()
		defer telling.Unlock()
		shown.pulling(p)
		w.stepped()
	})
	report := executor.Run(ctx, p, m, executor.Options{SharedDone: unlockHost, Events: func(e executor.Event) {
		telling.Lock()
		defer telling.Unlock()
		w.stepped()
		shown.event(e)
	}})
	if !quiet() {
		<-told
	}
	shown.finish(report, time.Since(began))
	return report
}

func (w *changing) stepped() {
	if w.step != nil {
		w.step()
	}
}

// told gives the error of a run as a person, or --progress json, is to hear of it.
func (w *changing) told(ctx context.Context, err error) error {
	var half *unfinishedError
	var back *rolledBackError
	var held *linux.LockedError
	if cause := context.Cause(ctx); cause != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, cause)) && !errors.As(err, &half) && !errors.As(err, &back) {
		waited := ""
		if errors.As(err, &held) {
			waited = "; " + held.Error()
		}
		err = fmt.Errorf("%s: %w, nothing was changed%s", w.project, cause, waited)
		if w.began {
			err = fmt.Errorf("%s: %w%s", w.project, cause, waited)
		}
	}
	if err == nil || w.progress != progressJSON {
		return err
	}
	line := struct {
		Event string `json:"event"` // "error"
		errorDocument
	}{"error", documentOf(err)}
	_ = json.NewEncoder(w.err).Encode(line) // stderr is gone: there is no other place to say so
	return exitStatus(exitCode(err))
}

// warn tells of what went wrong where it changes nothing of the result.
func warn(w io.Writer, err error) {
	if err != nil {
		fmt.Fprintf(w, "topo: warning: %v\n", err)
	}
}
