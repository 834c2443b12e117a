package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// await waits until the node's process is as it should be.
func (l *lab) await(what string, met func(kernel.ProcessState) bool) kernel.ProcessState {
	l.Helper()
	var s kernel.ProcessState
	testhost.Poll(l, func() error {
		if s = l.state("n"); !met(s) {
			return fmt.Errorf("not %s: %+v\n%s", what, s, l.supervisorLog())
		}
		return nil
	})
	return s
}

func is(status kernel.Status) func(kernel.ProcessState) bool {
	return func(s kernel.ProcessState) bool { return s.Status == status }
}

// runsAgain is met by a process that its policy has started so many times.
func runsAgain(restarts int) func(kernel.ProcessState) bool {
	return func(s kernel.ProcessState) bool { return s.Status == kernel.Running && s.Restarts == restarts }
}

func killPID(l *lab, pid int) {
	l.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		l.Fatal(err)
	}
}

func TestRestartOnFailure(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "(setsid sleep 3333 &); echo run; exit 3"}
		p.Restart = kernel.Restart{Policy: kernel.RestartOnFailure, Max: 2}
		began := time.Now()
		l.start(p)
		s := l.await("given up", is(kernel.Exited))
		if s.ExitCode != 3 || s.Restarts != 2 || s.Signal != "" || s.Error != "" {
			l.Errorf("state %+v", s)
		}
		if d := time.Since(began); d < 300*time.Millisecond {
			l.Errorf("two restarts came after %v; their back-offs are 100 and 200 ms", d)
		}
		if got := l.logged("n"); got != "run\nrun\nrun\n" {
			l.Errorf("printed %q", got)
		}
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
		// A success ends it, and a start by a person counts anew.
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		if s = l.await("given up again", is(kernel.Exited)); s.Restarts != 2 {
			l.Errorf("state %+v", s)
		}
		p.Argv = []string{"sh", "-c", "exit 0"}
		l.start(p)
		if s = l.await("done", is(kernel.Exited)); s.ExitCode != 0 || s.Restarts != 0 {
			l.Errorf("state %+v", s)
		}
	})
}

// While its policy started it again, a process was lost for a moment, and a plan would have repaired it.
func TestAProcessBeingStartedIsNotLost(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "exit 3"}
		p.Restart = kernel.Restart{Policy: kernel.RestartOnFailure, Max: 4}
		l.start(p)
		for looks := 0; ; looks++ {
			switch s := l.state("n"); s.Status {
			case kernel.Exited:
				if looks < 10 || s.Restarts != 4 {
					l.Errorf("after %d looks: %+v", looks, s)
				}
				return
			case kernel.Lost:
				l.Fatalf("after %d looks: %+v", looks, s)
			}
		}
	})
}

// What a container wrote is there when it runs again; what is only its start's is made anew.
func TestRestartKeepsFiles(t *testing.T) {
	boxes(t, func(l *lab) {
		p := kernel.Process{Container: true, Restart: kernel.Restart{Policy: kernel.RestartOnFailure}}
		p.Argv = []string{"sh", "-c", "test -e /here && { cat /here; exit 0; }; echo written > /here; exit 1"}
		l.start(p)
		if s := l.await("done", is(kernel.Exited)); s.ExitCode != 0 || s.Restarts != 1 || l.logged("n") != "written\n" {
			l.Errorf("state %+v, printed %q", s, l.logged("n"))
		}
		if _, err := os.Stat("/here"); err == nil {
			l.Error("it was written to the host's root")
		}
	})
}

func TestHaltAndResume(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "echo run; (setsid sleep 3333 &); exec sleep 4444"}
		p.Restart = kernel.Restart{Policy: kernel.RestartAlways}
		halt := kernel.ProcessHalt{Project: l.project, Node: "n", Grace: -1}
		resume := kernel.ProcessResume{Project: l.project, Node: "n"}
		if err := l.Do(l.Context(), halt); err == nil || !strings.Contains(err.Error(), "no process") {
			l.Errorf("stopping nothing: %v", err)
		}
		l.start(p)
		l.awaitLog("n", "run\n")
		l.do(resume) // it runs
		first := l.state("n")
		l.do(halt)
		s := l.state("n")
		if s.Status != kernel.Stopped || s.PID != 0 || s.Restarts != 0 || s.FinishedAt.IsZero() {
			l.Errorf("stopped: %+v", s)
		}
		// A PID 1 has no default for SIGTERM.
		if want := map[bool]string{true: "SIGKILL", false: "SIGTERM"}[p.Container]; s.Signal != want {
			l.Errorf("ended by %q, want %s", s.Signal, want)
		}
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
		l.do(halt)
		// It stays so for the next supervisor.
		l.killSupervisor()
		l.do(kernel.SupervisorStart{Project: l.project})
		if s := l.state("n"); s.Status != kernel.Stopped {
			l.Errorf("adopted: %+v", s)
		}
		l.do(resume)
		if s := l.state("n"); s.Status != kernel.Running || s.PID == first.PID {
			l.Errorf("resumed: %+v", s)
		}
		l.awaitLog("n", "run\nrun\n")
		killPID(l, l.state("n").PID)
		l.await("running again", runsAgain(1))
		l.awaitLog("n", "run\nrun\nrun\n")
		err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(p)})
		if !errors.Is(err, unix.EEXIST) {
			l.Errorf("starting what runs: %v", err)
		}
	})
}

// A stop while the back-off lasts is one, too.
func TestHaltRestarting(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"false"}
		p.Restart = kernel.Restart{Policy: kernel.RestartUnlessStopped}
		l.start(p)
		s := l.await("waiting for long", func(s kernel.ProcessState) bool {
			return s.Status == kernel.Restarting && s.Restarts >= 3 && time.Until(s.RestartAt) > 300*time.Millisecond
		})
		if s.ExitCode != 1 || s.PID != 0 {
			l.Errorf("restarting: %+v", s)
		}
		for _, c := range []kernel.Condition{kernel.ServiceRunning, kernel.ServiceCompleted} {
			ctx, cancel := context.WithTimeout(l.Context(), 10*time.Millisecond)
			if err := l.Do(ctx, kernel.ProcessWait{Project: l.project, Node: "n", Condition: c}); !errors.Is(err, context.DeadlineExceeded) {
				l.Errorf("waiting for %s of what restarts: %v", c, err)
			}
			cancel()
		}
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n"})
		if s := l.state("n"); s.Status != kernel.Stopped || s.ExitCode != 1 {
			l.Errorf("stopped: %+v", s)
		}
		for _, c := range []kernel.Condition{kernel.ServiceStarted, kernel.ServiceRunning, kernel.ServiceCompleted} {
			err := l.Do(l.Context(), kernel.ProcessWait{Project: l.project, Node: "n", Condition: c})
			if err == nil || !strings.Contains(err.Error(), "was stopped") {
				l.Errorf("waiting for %s of what was stopped: %v", c, err)
			}
		}
		// So is being forgotten.
		l.start(p)
		l.await("restarting", is(kernel.Restarting))
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if _, states, _ := l.Observe(l.Context(), l.project); len(states) != 0 {
			l.Errorf("left: %+v", states)
		}
	})
}

// A supervisor that is killed takes no policy with it, whatever the process does meanwhile.
func TestRestartAfterTheSupervisorsDeath(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "(setsid sleep 3333 &); exec sleep 4444"}
		p.Restart = kernel.Restart{Policy: kernel.RestartAlways}
		l.start(p)

		// It dies after it was adopted.
		l.killSupervisor()
		l.do(kernel.SupervisorStart{Project: l.project})
		killPID(l, l.state("n").PID)
		l.await("running again", runsAgain(1))

		// It dies while there is no supervisor.
		l.killSupervisor()
		killPID(l, l.state("n").PID)
		testhost.Poll(l, func() error {
			if s := l.state("n"); s.Status != kernel.Lost {
				return fmt.Errorf("state %+v", s)
			}
			return nil
		})
		l.do(kernel.SupervisorStart{Project: l.project})
		l.await("running again", runsAgain(2))

		// The supervisor dies while the back-off lasts, most likely.
		killPID(l, l.state("n").PID)
		l.await("restarting", func(s kernel.ProcessState) bool { return s.Status == kernel.Restarting || s.Restarts == 3 })
		l.killSupervisor()
		l.do(kernel.SupervisorStart{Project: l.project})
		l.await("running again", func(s kernel.ProcessState) bool { return s.Status == kernel.Running && s.Restarts >= 3 })
		testhost.Poll(l, func() error { return sleeping(l, 2) })
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
	})
}

// A supervisor that dies while its policy starts a process again leaves one process, not none and not two.
func TestSupervisorDiesRestarting(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "sleep 0.01; exit 1"}
		p.Restart = kernel.Restart{Policy: kernel.RestartAlways}
		l.start(p)
		for round := range 6 {
			l.await("restarted", func(s kernel.ProcessState) bool { return s.Restarts > round%2 || s.Status != kernel.Restarting })
			l.killSupervisor()
			l.do(kernel.SupervisorStart{Project: l.project})
		}
		l.do(kernel.ProcessHalt{Project: l.project, Node: "n"})
		if s := l.state("n"); s.Status != kernel.Stopped {
			l.Errorf("state %+v", s)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
	})
}

// Under nohup(1), programs ignored SIGHUP as topo did, and could not even catch it.
func TestProgramsIgnoreNoSignals(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	signal.Ignore(unix.SIGHUP, unix.SIGINT) // as the supervisor's parent, before there is one
	inLab(t, Config{}, func(l *lab) {
		l.start(kernel.Process{Argv: []string{"sleep", "1000"}})
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.state("n").PID))
		if err != nil {
			l.Fatal(err)
		}
		for _, signals := range []string{"SigIgn", "SigBlk"} {
			if line := signals + ":\t0000000000000000\n"; !strings.Contains(string(status), line) {
				l.Errorf("no %q in\n%s", line, status)
			}
		}
	})
}

func TestSignal(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "trap 'echo hup' HUP; trap 'exit 5' USR1; echo ready; while :; do sleep 0.01; done"}
		p.Restart = kernel.Restart{Policy: kernel.RestartAlways}
		send := func(signal string) {
			l.Helper()
			l.do(kernel.ProcessSignal{Project: l.project, Node: "n", Signal: signal})
		}
		l.start(p)
		l.awaitLog("n", "ready\n")
		send("SIGHUP")
		l.awaitLog("n", "hup\n")
		send("10") // SIGUSR1: an end like any other
		l.await("running again", runsAgain(1))
		l.awaitLog("n", "ready\nhup\nready\n")
		send("SIGKILL")
		if s := l.state("n"); s.Status != kernel.Stopped || s.Signal != "SIGKILL" || s.ExitCode != 137 {
			l.Errorf("killed: %+v", s)
		}
		send("SIGKILL")
		if err := l.Do(l.Context(), kernel.ProcessSignal{Project: l.project, Node: "n", Signal: "SIGNOPE"}); err == nil {
			l.Error("there is no such signal")
		}
		if err := l.Do(l.Context(), kernel.ProcessSignal{Project: l.project, Node: "m", Signal: "SIGHUP"}); err == nil {
			l.Error("there is no such process")
		}
		// Its stop signal is a stop.
		p.StopSignal = "SIGUSR1"
		l.start(p)
		l.awaitLog("n", "ready\n")
		send("SIGUSR1")
		if s := l.await("stopped", is(kernel.Stopped)); s.ExitCode != 5 || s.Signal != "" {
			l.Errorf("stopped: %+v", s)
		}
	})
}

func TestAdjust(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "4444"}
		l.start(p)
		before := l.state("n")
		p = l.complete(p)
		p.Restart = kernel.Restart{Policy: kernel.RestartAlways}
		p.StopGrace = 200 * time.Millisecond
		p.Argv = []string{"nothing of it"}
		l.do(kernel.ProcessAdjust{Process: p})
		s := l.state("n")
		if s.PID != before.PID || s.Process.Restart != p.Restart || s.Process.StopGrace != p.StopGrace || s.Process.Argv[0] != "sleep" {
			l.Errorf("adjusted: %+v", s)
		}
		killPID(l, s.PID)
		l.await("running again", runsAgain(1))
		p.Argv = []string{"false"}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		l.start(p)
		l.await("waiting for long", func(s kernel.ProcessState) bool { return s.Status == kernel.Restarting && s.Restarts >= 3 })
		p.Restart = kernel.Restart{}
		l.do(kernel.ProcessAdjust{Process: p})
		if s := l.state("n"); s.Status == kernel.Restarting {
			l.Errorf("no policy: %+v", s)
		}
	})
}

// The kernel's own end of a process is told from that by anybody else.
func TestOutOfMemory(t *testing.T) {
	boxes(t, func(l *lab) {
		dir := l.TempDir()
		p := kernel.Process{
			Container: true, Mounts: []kernel.Mount{{Source: dir, Target: dir}},
			Argv: []string{"sh", "-c", "while ! test -e " + dir + "/go; do sleep 0.01; done; exec tail /dev/zero"},
		}
		l.start(p)
		limit := ""
		for _, pattern := range []string{"/sys/fs/cgroup/memory/%s/memory.limit_in_bytes", "/sys/fs/cgroup/%s/memory.max"} {
			groups, err := filepath.Glob(fmt.Sprintf(pattern, "topo-"+l.project+"-*"))
			if err != nil {
				l.Fatal(err)
			}
			if len(groups) == 1 {
				limit = groups[0]
			}
		}
		if limit == "" {
			l.Fatal("the container has no control group for memory")
		}
		if err := os.WriteFile(limit, []byte("33554432"), 0o644); err != nil {
			l.Fatal(err)
		}
		if err := os.WriteFile(dir+"/go", nil, 0o644); err != nil {
			l.Fatal(err)
		}
		if s := l.await("ended", is(kernel.Exited)); !s.OOMKilled || s.ExitCode != 137 || s.Signal != "SIGKILL" {
			l.Errorf("state %+v", s)
		}
		l.start(kernel.Process{Container: true, Argv: []string{"sleep", "4444"}})
		killPID(l, l.state("n").PID)
		if s := l.await("ended", is(kernel.Exited)); s.OOMKilled || s.ExitCode != 137 || s.Signal != "SIGKILL" {
			l.Errorf("state %+v", s)
		}
	})
}
