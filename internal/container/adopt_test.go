package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// killSupervisor ends it as a crash does.
func (l *lab) killSupervisor() {
	l.Helper()
	id := findSupervisor(l.layout(l.project))
	fd, err := id.open()
	if err != nil {
		l.Fatal(err)
	}
	defer fd.close()
	if err := errors.Join(fd.signal(unix.SIGKILL), fd.wait(l.Context())); err != nil {
		l.Fatal(err)
	}
	if s, _, err := l.Observe(l.Context(), l.project); err != nil || s.PID != 0 {
		l.Fatalf("after its death: %+v, %v", s, err)
	}
}

// hasExitCodes reports whether the kernel tells how a process ended that is not a child (Linux 6.15).
func hasExitCodes(t *testing.T) bool {
	t.Helper()
	cmd, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := openPidfd(cmd.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.close()
	if _, err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	_, ok := fd.waitStatus()
	return ok
}

func TestSupervisorDies(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		dir := l.TempDir()
		p.Argv = []string{"sh", "-c", "n=0; while ! test -e " + dir + "/end; do n=$((n+1)); echo line $n; sleep 0.02; done; echo last; exit 7"}
		if p.Container {
			p.Mounts = []kernel.Mount{{Source: dir, Target: dir}}
		}
		l.start(p)
		l.awaitLog("n", "line 3\n")
		before := l.state("n")
		l.killSupervisor()
		if s := l.state("n"); s.Status != kernel.Running || s.PID != before.PID {
			l.Fatalf("without its supervisor: %+v", s)
		}
		l.do(kernel.SupervisorStart{Project: l.project})
		l.do(kernel.SupervisorStart{Project: l.project})
		if s := l.state("n"); s.Status != kernel.Running || s.PID != before.PID || !s.StartedAt.Equal(before.StartedAt) {
			l.Fatalf("adopted: %+v", s)
		}
		if err := os.WriteFile(dir+"/end", nil, 0o644); err != nil {
			l.Fatal(err)
		}
		got := l.logged("n")
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		for i, line := range lines[:len(lines)-1] {
			if line != fmt.Sprintf("line %d", i+1) {
				l.Fatalf("line %d of the log is %q", i+1, line)
			}
		}
		if lines[len(lines)-1] != "last" {
			l.Errorf("the log ends with %q", lines[len(lines)-1])
		}
		want := kernel.ProcessState{Status: kernel.Lost}
		if hasExitCodes(l.T) {
			want = kernel.ProcessState{Status: kernel.Exited, ExitCode: 7}
		}
		if s := l.state("n"); s.Status != want.Status || s.ExitCode != want.ExitCode {
			l.Errorf("state %+v, want %+v", s, want)
		}
	})
}

// Of what a program prints while its supervisor is killed, a part is lost that is no longer than what one reading takes;
// nothing else is, before or after, and the program waits meanwhile.
func TestLostOutput(t *testing.T) {
	const width = len("line: 0123456789\n")
	const bound = 16 << 10 // as doc.go and docs/reference/commands.md say
	everywhere(t, func(l *lab, p kernel.Process) {
		dir := l.TempDir()
		// Each line tells its own place.
		p.Argv = []string{"sh", "-c", "n=0; while ! test -e " + dir + "/end; do seq -f 'line: %010.0f' $((n+1)) $((n+10000)); n=$((n+10000)); sleep 0.01; done"}
		if p.Container {
			p.Mounts = []kernel.Mount{{Source: dir, Target: dir}}
		}
		l.start(p)
		log := logFile(l.layout(l.project).log("n"), 1)
		grow := func(by int64) {
			l.Helper()
			size := func() int64 {
				info, err := os.Stat(log)
				if err != nil {
					l.Fatal(err)
				}
				return info.Size()
			}
			from := size()
			testhost.Poll(l, func() error {
				if now := size(); now < from+by {
					return fmt.Errorf("it grew by %d bytes", now-from)
				}
				return nil
			})
		}
		const kills = 3
		for range kills {
			grow(1 << 20)
			l.killSupervisor()
			l.do(kernel.SupervisorStart{Project: l.project})
		}
		grow(1 << 20)
		if err := os.WriteFile(dir+"/end", nil, 0o644); err != nil {
			l.Fatal(err)
		}
		printed := l.logged("n")
		at, gaps := 0, 0 // the next byte of what the program wrote; how often some is missing
		for line := range strings.Lines(printed) {
			var number int
			digits := line[max(0, len(line)-11):]
			if _, err := fmt.Sscanf(digits, "%010d\n", &number); err != nil && len(line) == width {
				l.Fatalf("printed %q: %v", line, err)
			}
			begin := number*width - len(line)
			switch {
			case len(line) < 12: // what is left of a line; its number is a part of that of the one before the next
				at += len(line)
				continue
			case begin == at:
			case begin < at || begin-at > bound:
				l.Fatalf("after %d bytes comes %q, which is %d bytes further", at, line, begin-at)
			default:
				gaps++
			}
			at = number * width
		}
		if gaps > kills {
			l.Errorf("%d kills have made %d gaps", kills, gaps)
		}
		l.Logf("%d bytes were printed, of which %d were lost in %d gaps", at, at-len(printed), gaps)
	})
}

// A process that ends while there is no supervisor is lost; what it left is found and killed.
func TestLost(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "(setsid sleep 3333 &); echo ready; exec sleep 4444"}
		l.start(p)
		l.awaitLog("n", "ready\n")
		l.killSupervisor()
		pid := l.state("n").PID
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			l.Fatal(err)
		}
		testhost.Poll(l, func() error {
			if s := l.state("n"); s.Status != kernel.Lost || s.PID != 0 {
				return fmt.Errorf("state %+v", s)
			}
			return nil
		})
		err := l.Do(l.Context(), kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceCompleted})
		if err == nil || !strings.Contains(err.Error(), "nobody knows") {
			l.Errorf("waiting for it: %v", err)
		}
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
		l.start(p)
		if s := l.state("n"); s.Status != kernel.Running {
			l.Errorf("started again: %+v", s)
		}
	})
}

// Stopping needs no supervisor, and leaves none behind.
func TestStopWithoutSupervisor(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "trap '' TERM; (setsid sleep 3333 &); echo ready; while :; do sleep 1; done"}
		l.start(p)
		l.awaitLog("n", "ready\n")
		l.killSupervisor()
		if err := l.Remove(l.project); err == nil {
			l.Error("files of a process that runs were removed")
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
		s, states, err := l.Observe(l.Context(), l.project)
		if err != nil || s.PID != 0 || len(states) != 0 {
			l.Errorf("left: %+v %+v %v", s, states, err)
		}
	})
}

// A supervisor that dies while it starts processes leaves nothing that can't be found.
func TestSupervisorDiesStarting(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		for round := range 3 {
			p.Argv = []string{"sh", "-c", "(setsid sleep 3333 &); exec sleep 4444"}
			const many = 6
			begun := make(chan struct{})
			results := make(chan error, many)
			for i := range many {
				p := l.complete(p)
				p.Node = fmt.Sprintf("n%d", i)
				go func() {
					// Each asks once: a second time would start a supervisor again.
					err := call(l.Context(), l.layout(l.project), request{Op: opStart, Process: &p})
					if i == round {
						close(begun)
					}
					results <- err
				}()
			}
			<-begun // one has been started, others are under way
			l.killSupervisor()
			for range many {
				<-results
			}
			l.do(kernel.SupervisorStart{Project: l.project})
			for i := range many {
				l.do(kernel.ProcessStop{Project: l.project, Node: fmt.Sprintf("n%d", i)})
			}
			if err := sleeping(l, 0); err != nil {
				l.Fatal(err)
			}
		}
	})
}

// What a runtime is still at when its supervisor has died comes to nothing: it would be there after the stop.
func TestARuntimeOutlivesItsSupervisor(t *testing.T) {
	for _, restart := range []kernel.RestartPolicy{kernel.RestartNo, kernel.RestartAlways} {
		t.Run("restart "+string(restart), func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			begun := filepath.Join(t.TempDir(), "begun")
			slow := filepath.Join(t.TempDir(), "slow")
			script := "#!/bin/sh\ncase \" $* \" in *' create '*) touch " + begun + "; while :; do sleep 0.01; done;; esac\nexec crun \"$@\"\n"
			if err := os.WriteFile(slow, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			inLab(t, Config{Runtime: slow}, func(l *lab) {
				p := l.complete(kernel.Process{Container: true, Argv: []string{"sleep", "1000"}, Restart: kernel.Restart{Policy: restart}})
				result := make(chan error)
				go func() { result <- call(l.Context(), l.layout(l.project), request{Op: opStart, Process: &p}) }()
				testhost.Poll(l, func() error { _, err := os.Stat(begun); return err })
				l.killSupervisor()
				<-result
				l.do(kernel.SupervisorStart{Project: l.project})
				l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
				if out, _ := testhost.Try(l, "pgrep", "-fa", slow+".* create "); out != "" {
					l.Errorf("after the stop there is %s", out)
				}
			})
		})
	}
}

// A supervisor that was killed while it started a program left its socket to the child for a moment: that is no supervisor.
func TestASocketIsNoSupervisor(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	inLab(t, Config{}, func(l *lab) {
		l.killSupervisor()
		left, err := listen(l.layout(l.project))
		if err != nil {
			l.Fatal(err)
		}
		defer left.Close()
		l.do(kernel.SupervisorStart{Project: l.project})
		if findSupervisor(l.layout(l.project)).PID == 0 {
			l.Error("there is no supervisor")
		}
	})
}

// A supervisor that was killed while it started a program left its lock to the child for a moment: the next one took
// that for another supervisor, and said that all was well.
func TestALockWithoutASupervisorIsWaitedFor(t *testing.T) {
	l := layout{runDir: t.TempDir(), dataDir: t.TempDir(), project: "lab"}
	open := func() *os.File {
		if err := os.MkdirAll(filepath.Dir(l.lock()), 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	left, next := open(), open()
	defer next.Close()
	if err := unix.Flock(int(left.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { left.Close() })
	if only, err := lockOut(l, next); !only || err != nil {
		t.Errorf("%v, %v", only, err)
	}
}

// A topo that was killed after it had started a supervisor left one that stood there only when the next topo had read that there is none.
func TestQuiesceAwaitsASupervisorThatIsBeingStarted(t *testing.T) {
	e := New(Config{RunDir: t.TempDir(), DataDir: t.TempDir()})
	l := e.layout("lab")
	if err := e.Quiesce(t.Context(), "lab"); err != nil { // nobody has begun to
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(l.lock()), 0o700); err != nil {
		t.Fatal(err)
	}
	starting, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(starting.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	time.AfterFunc(20*time.Millisecond, func() { ended.Store(true); starting.Close() })
	if err := e.Quiesce(t.Context(), "lab"); err != nil || !ended.Load() {
		t.Errorf("it was waited for: %v, %v", ended.Load(), err)
	}
}
