package executor

import (
	"context"
	"errors"
	"fmt"

	"topo/internal/kernel"
	"topo/planner"
)

// State is how far a change has come.
type State string

// The states. Started occurs in events only.
const (
	Started State = "started"
	// Done: every step of the change was carried out.
	Done State = "done"
	// Failed: an edit was refused. Those before it in the same change are in place.
	Failed State = "failed"
	// Skipped: something that it depends on failed, or the run was interrupted.
	Skipped State = "skipped"
)

// NoCause is the cause of what was not skipped for another change's failure.
const NoCause = -1

// Report is how a run ended.
type Report struct {
	Plan    *planner.Plan
	Results []Result // one a change of the plan, in its order
	// Interrupted: the context was cancelled, and something was left undone because of it.
	Interrupted bool
}

// Result is how a change ended.
type Result struct {
	State State // Done, Failed or Skipped
	// Err is a [*StepError] for a failed change, and the same one for those skipped because of it;
	// after an interruption, why the context was cancelled.
	Err error
	// Cause is the change whose failure made this one be skipped; NoCause otherwise.
	Cause int
	// Begun: edits of it may be in place although it is not done. A skipped replacement
	// that was begun has lost the old thing and does not have the new one.
	Begun bool
}

// StepError is the failure of a change.
type StepError struct {
	Change planner.Change
	Op     kernel.Op // the edit that was refused; nil when that is not known
	Err    error     // in the kernel's words
}

func (e *StepError) Error() string {
	if e.Op == nil {
		return fmt.Sprintf("%s %s: %v", gerund(e.Change.Action), e.Change.ID, e.Err)
	}
	return fmt.Sprintf("%s %s: %s: %v", gerund(e.Change.Action), e.Change.ID, e.Op, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

func gerund(a planner.Action) string {
	switch a {
	case planner.Create:
		return "creating"
	case planner.Update:
		return "updating"
	case planner.Replace:
		return "replacing"
	default:
		return "deleting"
	}
}

// ErrInterrupted is in the error of a report whose run was interrupted.
var ErrInterrupted = errors.New("interrupted")

// Err is nil when every change is done. Otherwise it joins one [*StepError] for each that
// failed, in the plan's order (those skipped because of it are not repeated), and
// [ErrInterrupted].
func (r *Report) Err() error {
	var errs []error
	for _, result := range r.Results {
		if result.State == Failed {
			errs = append(errs, result.Err)
		}
	}
	if r.Interrupted {
		errs = append(errs, ErrInterrupted)
	}
	return errors.Join(errs...)
}

func isCancellation(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
