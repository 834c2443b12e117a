package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"topo/executor"
	"topo/planner"
)

// unfinishedError: a plan was carried out in part. The details were printed when it ended.
type unfinishedError struct {
	verb   string // "up", "down"
	report *executor.Report
	cause  error // why: a failure, errInterrupted, errTimeout
}

func (e *unfinishedError) Error() string {
	n := count(e.report)
	switch left := len(e.report.Results) - n[executor.Done]; {
	case errors.Is(e.cause, errInterrupted), errors.Is(e.cause, errTimeout):
		return fmt.Sprintf("%s: %v, %s left undone", e.report.Plan.Project, e.cause, counted(left, "change"))
	default:
		return fmt.Sprintf("%s: %s failed, %s left undone", e.report.Plan.Project, counted(n[executor.Failed], "change"), counted(left, "change"))
	}
}

func (e *unfinishedError) Unwrap() error { return e.cause }

// errTimeout is the cause of a context that --timeout ended.
var errTimeout = errors.New("--timeout is over")

// outcomeError is nil where all is done.
func outcomeError(ctx context.Context, verb string, r *executor.Report) error {
	err := r.Err()
	switch {
	case err == nil:
		return nil
	case r.Interrupted && context.Cause(ctx) != nil:
		err = context.Cause(ctx)
	}
	return &unfinishedError{verb: verb, report: r, cause: err}
}

// printOutcome tells what a run did; where something is left undone, what and why.
func printOutcome(w io.Writer, r *executor.Report, d time.Duration) {
	n := count(r)
	if n[executor.Done] == len(r.Results) {
		fmt.Fprintf(w, "%s: %s in %s\n", r.Plan.Project, summary(r.Plan), short(d))
		return
	}
	fmt.Fprintf(w, "%s: %d of %d done, %d failed, %d skipped in %s\n",
		r.Plan.Project, n[executor.Done], len(r.Results), n[executor.Failed], n[executor.Skipped], short(d))
	for i, result := range r.Results {
		change := r.Plan.Changes[i]
		switch result.State {
		case executor.Failed:
			fmt.Fprintf(w, "  failed  %c %s\n%s\n", change.Action.Rune(), change.ID, indent(failure(result.Err), 12))
		case executor.Skipped:
			fmt.Fprintf(w, "  skipped %c %s  (%s)\n", change.Action.Rune(), change.ID, because(r, change, result))
		}
	}
}

// failure is what the kernel said, and to which edit.
func failure(err error) string {
	var step *executor.StepError
	if !errors.As(err, &step) {
		return err.Error()
	}
	if step.Op == nil {
		return step.Err.Error()
	}
	return fmt.Sprintf("%s\n%v", step.Op, step.Err)
}

// because says why a change was skipped.
func because(r *executor.Report, change planner.Change, result executor.Result) string {
	why := "interrupted"
	if result.Cause != executor.NoCause {
		why = fmt.Sprintf("%s failed", r.Plan.Changes[result.Cause].ID)
	}
	switch {
	case !result.Begun:
	case change.Action == planner.Replace:
		why += "; the old one is removed already"
	default:
		why += "; it was begun"
	}
	return why
}

func count(r *executor.Report) map[executor.State]int {
	n := map[executor.State]int{}
	for _, result := range r.Results {
		n[result.State]++
	}
	return n
}

// summary is a plan that was carried out, in a few words.
func summary(p *planner.Plan) string {
	n := map[planner.Action]int{}
	for _, change := range p.Changes {
		n[change.Action]++
	}
	var parts []string
	for _, a := range []struct {
		action planner.Action
		done   string
	}{{planner.Create, "added"}, {planner.Update, "changed"}, {planner.Replace, "replaced"}, {planner.Delete, "removed"}} {
		if n[a.action] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[a.action], a.done))
		}
	}
	return strings.Join(parts, ", ")
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func indent(text string, n int) string {
	margin := strings.Repeat(" ", n)
	return margin + strings.ReplaceAll(text, "\n", "\n"+margin)
}
