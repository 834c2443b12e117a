package container

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"topo/internal/kernel"
)

// wait returns when the node's process meets a condition of depends_on, or can no longer do so;
// if optional, the latter is no error.
func (n *node) wait(ctx context.Context, c kernel.Condition, optional bool) error {
	for {
		p, rec, changed := n.state()
		done, err := met(p, rec, c)
		if err != nil && optional {
			return nil
		}
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// met reports whether a process meets a condition; the error says why it never will.
func met(p kernel.Process, rec record, c kernel.Condition) (bool, error) {
	if p.Node == "" {
		return false, errors.New("no process was started")
	}
	if rec.Error != "" && rec.Status != kernel.Restarting {
		return false, errors.New(rec.Error)
	}
	switch c {
	case kernel.ServiceStarted:
		if rec.Status == kernel.Stopped {
			return false, gone(p, rec)
		}
		// What an engine runs may have ended before its pid could be known.
		return rec.PID != 0 || rec.Status == kernel.Exited, nil
	case kernel.ServiceRunning:
		if rec.Status == kernel.Running || rec.Status == kernel.Exited && rec.ExitCode == 0 {
			return true, nil
		}
		return false, gone(p, rec)
	case kernel.ServiceHealthy:
		switch {
		case rec.Image.Over(p).Health == nil:
			return false, fmt.Errorf("%s has no healthcheck", p.Node)
		case rec.Health == kernel.Healthy && rec.Status == kernel.Running:
			return true, nil
		case rec.Health == kernel.Unhealthy:
			return false, fmt.Errorf("%s is unhealthy%s", p.Node, quoted(rec.HealthLog))
		}
		return false, gone(p, rec)
	case kernel.ServiceCompleted:
		if rec.Status == kernel.Exited && rec.ExitCode == 0 {
			return true, nil
		}
		return false, gone(p, rec)
	}
	return false, fmt.Errorf("condition %q is not known", c)
}

// gone is nil while a process runs, or is about to once more.
func gone(p kernel.Process, rec record) error {
	switch rec.Status {
	case kernel.Exited:
		return fmt.Errorf("%s exited with code %d", p.Node, rec.ExitCode)
	case kernel.Stopped:
		return fmt.Errorf("%s was stopped", p.Node)
	case kernel.Lost:
		if rec.PID != 0 {
			return fmt.Errorf("%s ended, nobody knows how", p.Node)
		}
	}
	return nil
}

func quoted(output string) string {
	if output = strings.TrimSpace(output); output == "" {
		return ""
	}
	return ": " + output
}
