package main

import (
	"context"
	"errors"
	"fmt"

	"topo/executor"
	"topo/internal/linux"
	"topo/planner"
)

// The exit codes. They are part of topo's interface: scripts branch on them.
const (
	exitDone        = 0   // done, or nothing to do
	exitError       = 1   // an error; what it is stands on stderr
	exitPending     = 2   // plan --detailed-exitcode: there are changes
	exitRefused     = 3   // something that is not topo's stands in the way, or wants --yes
	exitStale       = 4   // up --plan: something that the saved plan is bound to has changed
	exitLocked      = 5   // another topo holds the lock
	exitInterrupted = 130 // SIGINT or SIGTERM, as shells count: 128 + 2
)

// exitStatus ends a command with this code and without a message: there is
// nothing wrong (changes are pending), or the child of exec has spoken already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// codedError is an error that ends the program with a code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// exitCode is the code that an error ends the program with.
func exitCode(err error) int {
	var (
		status   exitStatus
		coded    *codedError
		conflict *planner.ConflictError
		locked   *linux.LockedError
		unasked  *consentError
		unagreed *notAgreedError
		stale    *planner.StaleError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, errTimeout):
		return exitError
	case errors.Is(err, errInterrupted), errors.Is(err, executor.ErrInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &stale):
		return exitStale
	case errors.As(err, &conflict), errors.As(err, &unasked), errors.As(err, &unagreed):
		return exitRefused
	case errors.As(err, &locked):
		return exitLocked
	default:
		return exitError
	}
}
