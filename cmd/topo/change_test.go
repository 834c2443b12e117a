package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"topo/internal/kernel"
)

// A panic in an executor's worker is an error of its step.
func TestPanicWhileEditingIsAnError(t *testing.T) {
	t.Parallel()
	// Without an engine there is nothing to ask.
	err := (&machine{}).Do(context.Background(), []kernel.Op{kernel.SupervisorStop{}})
	var internal *internalError
	if !errors.As(err, &internal) {
		t.Errorf("got %v", err)
	}
}

func TestInterruptedBeforeAnythingWasDone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupted)
	for began, want := range map[bool]string{false: "lab: interrupted, nothing was changed", true: "lab: interrupted"} {
		w := &changing{project: "lab", began: began}
		err := w.told(ctx, ctx.Err())
		if err.Error() != want || exitCode(err) != exitInterrupted {
			t.Errorf("began %v: %v, %d", began, err, exitCode(err))
		}
	}
	if err := (&changing{project: "lab"}).told(ctx, errors.New("x")); err.Error() != "x" {
		t.Errorf("an error of its own is told as %v", err)
	}
}

func TestErrorLine(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := (&changing{project: "lab", progress: progressJSON, err: &b}).told(context.Background(), errors.New("x"))
	if exitCode(err) != exitError || !strings.HasPrefix(b.String(), `{"event":"error","format_version":"1.0","error":"x"`) {
		t.Errorf("%v %s", err, b.String())
	}
}
