package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"topo/internal/linux"
)

func confirmCommand() *cli.Command {
	return &cli.Command{
		Name:      "confirm",
		Usage:     "keep what up --confirm did, or undo it now",
		UsageText: "topo confirm [-f FILE | -p PROJECT] [--revert]",
		Description: `Says that the last "topo up --confirm" is good: nothing is put back any more. With
--revert what was before it is put back now, instead of at the end of its time; also where
the watchman that was to do it is gone, or failed.

Example:
  sudo topo up --confirm 60s
  sudo topo confirm`,
		Flags: slices.Concat(targetFlags(false), []cli.Flag{
			boolFlag("revert", "put back what was before, now"),
			timeFlag("lock-timeout", 0, "wait `DURATION` for another topo that works on the project"),
			progressFlag(),
		}),
		Action: confirm,
	}
}

func confirm(c *cli.Context) error {
	project, err := wholeProject(c)
	if err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	ctx, stop := atWork(c)
	defer stop()
	unlock, err := lockProject(ctx, c, project)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := readPending(project)
	if err != nil {
		return err
	}
	if p == nil {
		return nothingPending(project)
	}
	if c.Bool("revert") {
		return revert(ctx, c, p)
	}
	if err := p.end(); err != nil {
		return err
	}
	fmt.Fprintf(c.App.ErrWriter, "%s: confirmed; it stays\n", project)
	return linux.RemovePutBack(project)
}

// nothingPending says why there is nothing to confirm.
func nothingPending(project string) error {
	b, err := readPutBack(project)
	switch {
	case err != nil:
		return err
	case b != nil:
		return fmt.Errorf("nothing of %s waits for confirmation: %v", project, b)
	}
	return fmt.Errorf("nothing of %s waits for confirmation", project)
}

// revert is what the watchman would do.
func revert(ctx context.Context, c *cli.Context, p *pending) error {
	back, err := decodeWayBack(p.State)
	if err != nil {
		return err
	}
	m, err := openMachine()
	if err != nil {
		return err
	}
	defer m.Close()
	w := &changing{
		verb: "confirm --revert", project: p.Project, progress: c.String("progress"), out: c.App.Writer, err: c.App.ErrWriter,
	}
	if err := w.told(ctx, back.carryOut(ctx, w, m)); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	if err := linux.RemovePutBack(p.Project); err != nil {
		return err
	}
	fmt.Fprintf(c.App.ErrWriter, "%s: what was before is back\n", p.Project)
	return nil
}

// pendingError: a run of the project waits for its confirmation, so there is no other now.
type pendingError struct{ pending *pending }

func (e *pendingError) Error() string {
	p := e.pending
	text := fmt.Sprintf("the up of %s at %s is not confirmed", p.Project, clock(p.Began))
	switch {
	case p.Failed != "":
		return text + ", and what was before could not be put back: " + p.Failed
	case !p.watched():
		return text + ", and the watchman that was to put back what was before is gone"
	case p.Until.IsZero():
		return text + ", and what was before is put back"
	}
	return text + ": what was before comes back at " + clock(p.Until)
}

// unwatchedError: the watchman was ended by somebody.
type unwatchedError struct{ pending *pending }

func (e *unwatchedError) Error() string {
	return e.pending.Project + ": all is done, but the watchman is gone: nothing is put back by itself"
}

var confirmHints = []string{"To keep what it did: topo confirm. To put back what was before: topo confirm --revert."}

// unconfirmed refuses while a run of the project waits for its confirmation.
func unconfirmed(project string) error {
	p, err := readPending(project)
	if err != nil || p == nil {
		return err
	}
	return &pendingError{p}
}

// tellOfConfirmation says where a run of the project waits for its confirmation, or was undone.
func tellOfConfirmation(w io.Writer, project string) error {
	if err := tellPutBack(w, project); err != nil {
		return err
	}
	p, err := readPending(project)
	if err == nil && p != nil {
		fmt.Fprintf(w, "topo: %v\n", &pendingError{p})
	}
	return err
}

func tellPutBack(w io.Writer, project string) error {
	b, err := readPutBack(project)
	if err == nil && b != nil {
		fmt.Fprintf(w, "topo: %v\n", b)
	}
	return err
}

// forgetConfirmation: of a project that is taken down nothing is to come back.
func forgetConfirmation(project string) error {
	p, err := readPending(project)
	if err == nil && p != nil {
		err = p.end()
	}
	if err != nil {
		return err
	}
	return linux.RemovePutBack(project)
}
