package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// halt stops a process: its stop signal, the grace period, SIGKILL; then everything that it left. It does
// not need to be our child. The record may be that of a process that has ended.
func halt(ctx context.Context, l layout, p kernel.Process, rec record) error {
	if p.StopSignal == "" && rec.Image != nil {
		p.StopSignal = rec.Image.StopSignal
	}
	if err := haltMain(ctx, p, rec.identity); err != nil {
		return fmt.Errorf("stopping %s: %w", p.Node, err)
	}
	if p.Runtime == kernel.RuntimeDocker {
		return removeDocker(ctx, p, rec)
	}
	if rec.ContainerID == "" {
		return sweepNumber(rec.MountNS)
	}
	if rec.orphaned() {
		if err := l.endRuntimes(rec.ContainerID); err != nil {
			return err
		}
	}
	// With a container's main process all others in its PID namespace have gone; what stays are
	// its control group and the runtime's notes.
	runtimes, err := findRuntimes(rec.Runtime, l.runtimeRoot())
	for _, rt := range runtimes {
		// Of a start that was cut short, it is not known which runtime it was.
		if err = rt.remove(ctx, rec.ContainerID, filepath.Join(l.bundle(p.Node), "log")); err == nil {
			break
		}
	}
	if rec.PID != 0 && err != nil && len(runtimes) > 0 {
		return err
	}
	// A runtime that died half way leaves what it can't delete itself, and so does one that was uninstalled.
	return errors.Join(removeGroups(rec.ContainerID), os.RemoveAll(filepath.Join(l.runtimeRoot(), rec.ContainerID)))
}

func haltMain(ctx context.Context, p kernel.Process, id identity) error {
	fd, err := id.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer fd.close()
	stop, err := stopSignal(p)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{stop, p.StopGrace}, {unix.SIGKILL, killLimit}} {
		if err := fd.signal(step.signal); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("sending signal %d: %w", step.signal, err)
		}
		limited, cancel := context.WithTimeout(ctx, step.wait)
		err := fd.wait(limited)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("process %d does not end after SIGKILL", id.PID)
}

func stopSignal(p kernel.Process) (unix.Signal, error) {
	if p.StopSignal == "" {
		return unix.SIGTERM, nil
	}
	return signal.ParseSignal(p.StopSignal)
}

// killLimit is how long a process may take to end after SIGKILL: uninterruptible sleep, on a dead NFS server.
const killLimit = 30 * time.Second
