package executor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"topo/internal/kernel"
	"topo/planner"
)

// VerifyError is what still differs after a run.
type VerifyError struct{ Plan *planner.Plan }

// Error names each difference, one a line, as a plan would.
func (e *VerifyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s differs from what was asked for:", e.Plan.Project)
	for _, line := range strings.Split(e.Plan.Text(planner.TextOptions{}), "\n") {
		if strings.HasPrefix(line, "  ") {
			b.WriteString("\n" + line)
		}
	}
	return b.String()
}

// The pause between two readings: the kernel takes down 50 namespaces in about 100 ms, and
// a reading of 500 takes about as long.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// lastingReadings is how many readings in a row must have the same difference before it is believed to last. One doesn't do: what
// iptables-nft-save prints while somebody commits a transaction is of no one moment.
const lastingReadings = 4

// reading reads the host when it has settled, or limit has ended: settled is what it waited for then. Most often there is nothing to wait
// for, and one look at the host tells that, too.
func reading(ctx, limit context.Context, m Machine, q kernel.Query) (s kernel.Snapshot, settled, err error) {
	for {
		if q.Again {
			if s, err = m.Snapshot(ctx, q); err != nil || s.Unsettled == "" {
				break
			}
		}
		if settled = m.Settle(limit, q); settled != nil && !isCancellation(settled) {
			return s, nil, fmt.Errorf("settling %s: %w", q.Project, settled)
		}
		if !q.Again || limit.Err() != nil {
			q.Again = false
			s, err = m.Snapshot(ctx, q)
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("reading the host again: %w", err)
	}
	return s, settled, err
}

// Verify lets the host settle, reads it again, and asks replan for a plan, which must be
// empty. The kernel does some of its work in its own time, so that is tried
// until it holds or the deadline has passed; there is one reading at least. What
// still differs then is a [*VerifyError]. There is no waiting for a process that has ended, and not for long for rules of
// iptables that somebody else has taken away.
func Verify(ctx context.Context, m Machine, replan func(kernel.Snapshot) (*planner.Plan, error), q kernel.Query, deadline time.Duration) error {
	limit, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	same, last := 0, ""
	q.Again = true
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		s, settled, err := reading(ctx, limit, m, q)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
		p, err := replan(s)
		if err != nil {
			return fmt.Errorf("planning again: %w", err)
		}
		if p.Empty() && settled == nil {
			return nil
		}
		q.Again = false
		if p.Ended() && settled == nil {
			return &VerifyError{p}
		}
		if !p.Lasting() || settled != nil {
			same = 0
		} else if text := p.Text(planner.TextOptions{}); text == last {
			same++
		} else {
			same, last = 1, text
		}
		if same == lastingReadings {
			return &VerifyError{p}
		}
		select {
		case <-time.After(pause):
			continue
		case <-limit.Done():
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !p.Empty():
			return &VerifyError{p}
		default:
			return fmt.Errorf("settling %s: %w", q.Project, settled)
		}
	}
}
