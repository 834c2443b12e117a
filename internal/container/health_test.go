package container

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// awaitHealth waits until a process has this health.
func (l *lab) awaitHealth(want kernel.Health) kernel.ProcessState {
	l.Helper()
	var s kernel.ProcessState
	testhost.Poll(l, func() error {
		if s = l.state("n"); s.Health != want {
			return fmt.Errorf("%s, not %s: %+v", s.Health, want, s)
		}
		return nil
	})
	return s
}

func TestHealth(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		dir := l.TempDir()
		if p.Container {
			p.Mounts = []kernel.Mount{{Source: dir, Target: dir}}
		}
		p.Argv = []string{"sleep", "1000"}
		p.Env = []string{"DIR=" + dir}
		p.Health = &kernel.Healthcheck{
			Argv:     []string{"sh", "-c", "echo x >> $DIR/calls; echo looked; test -e $DIR/well"},
			Interval: 100 * time.Millisecond, Timeout: 10 * time.Second, StartInterval: 100 * time.Millisecond, Retries: 3,
		}
		wait := kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy}

		l.start(p)
		if s := l.state("n"); s.Health != kernel.Starting {
			l.Errorf("at first: %+v", s)
		}
		if err := l.Do(l.Context(), wait); err == nil || !strings.Contains(err.Error(), "unhealthy: looked") {
			l.Errorf("waiting for what fails: %v", err)
		}
		if calls, _ := os.ReadFile(dir + "/calls"); len(calls) < 2*p.Health.Retries {
			l.Errorf("unhealthy after the calls %q", calls)
		}
		// It can recover.
		if err := os.WriteFile(dir+"/well", nil, 0o644); err != nil {
			l.Fatal(err)
		}
		if s := l.awaitHealth(kernel.Healthy); s.HealthLog != "looked" {
			l.Errorf("state %+v", s)
		}
		l.do(wait)
		// A new supervisor keeps looking.
		l.killSupervisor()
		if s := l.state("n"); s.Health != kernel.Healthy {
			l.Errorf("without its supervisor: %+v", s)
		}
		l.do(kernel.SupervisorStart{Project: l.project})
		if err := os.Remove(dir + "/well"); err != nil {
			l.Fatal(err)
		}
		l.awaitHealth(kernel.Unhealthy)
	})
}

// Failures in the start period don't count; the first success ends it.
func TestStartPeriod(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "sleep 0.8; touch /tmp/up-" + l.project + "; sleep 1000"}
		defer os.Remove("/tmp/up-" + l.project)
		p.Health = &kernel.Healthcheck{
			Argv:     []string{"test", "-e", "/tmp/up-" + l.project},
			Interval: time.Hour, Timeout: 10 * time.Second, StartPeriod: time.Minute, StartInterval: 50 * time.Millisecond, Retries: 1,
		}
		l.start(p)
		l.do(kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
	})
}

func TestHealthTimeout(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		p.Health = &kernel.Healthcheck{
			Argv: []string{"sh", "-c", "sleep 3333; true"}, Interval: 50 * time.Millisecond, Timeout: 300 * time.Millisecond,
			StartInterval: time.Second, Retries: 1,
		}
		l.start(p)
		if s := l.awaitHealth(kernel.Unhealthy); !strings.Contains(s.HealthLog, "longer than 300ms") {
			l.Errorf("state %+v", s)
		}
		// The process's end ends its checks.
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		testhost.Poll(l, func() error { return sleeping(l, 0) })
	})
}

func TestHealthOfTheEnded(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "sleep 0.2; exit 1"}
		p.Health = &kernel.Healthcheck{Argv: []string{"true"}, Interval: time.Hour, Timeout: time.Hour, StartInterval: time.Hour, Retries: 1}
		l.start(p)
		err := l.Do(l.Context(), kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceHealthy})
		if err == nil || !strings.Contains(err.Error(), "exited with code 1") {
			l.Errorf("waiting for the health of what ends: %v", err)
		}
	})
}
