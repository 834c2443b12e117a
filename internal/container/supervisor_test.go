package container

import (
	"errors"
	"fmt"
	"os"
	"strings"
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
	_, ok := fd.exitCode()
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
		testhost.Poll(l, 5*time.Second, func() error {
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

// The supervisor's end takes what nobody stopped with it.
func TestSupervisorStop(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "3333"}
		l.start(p)
		l.do(kernel.SupervisorStop{Project: l.project})
		l.do(kernel.SupervisorStop{Project: l.project})
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
	})
}

// Observing makes no file, and needs no folder.
func TestObserveNothing(t *testing.T) {
	t.Parallel()
	run := t.TempDir() + "/run"
	e := New(Config{RunDir: run, DataDir: run})
	s, states, err := e.Observe(t.Context(), "none")
	if err != nil || s.PID != 0 || len(states) != 0 {
		t.Errorf("%+v %+v %v", s, states, err)
	}
	if err := e.Do(t.Context(), kernel.ProcessStop{Project: "none", Node: "n"}); err != nil {
		t.Error(err)
	}
	if err := e.Do(t.Context(), kernel.SupervisorStop{Project: "none"}); err != nil {
		t.Error(err)
	}
	if err := e.Remove("none"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(run); !os.IsNotExist(err) {
		t.Errorf("%s: %v", run, err)
	}
	if err := e.Do(t.Context(), kernel.NetnsAdd{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// The control socket is root's alone, wherever it is: a long path fits.
func TestControlSocket(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	long := "/run/" + strings.Repeat("a-long-name-of-a-folder/", 8)
	inLab(t, Config{RunDir: long + "run"}, func(l *lab) {
		defer os.RemoveAll("/run/a-long-name-of-a-folder")
		defer l.do(kernel.SupervisorStop{Project: l.project})
		socket := l.layout(l.project).socket()
		info, err := os.Stat(socket)
		if err != nil || info.Mode().Perm() != 0o600 {
			l.Fatalf("%v, %v", info, err)
		}
		l.start(kernel.Process{Argv: []string{"sleep", "3333"}})
		if s := l.state("n"); s.Status != kernel.Running {
			l.Errorf("%+v", s)
		}
		// A stranger who gets at it all the same is not answered.
		if err := os.Chmod(socket, 0o777); err != nil {
			l.Fatal(err)
		}
		for dir := socket; dir != "/run"; {
			dir = dir[:strings.LastIndexByte(dir, '/')]
			if err := os.Chmod(dir, 0o755); err != nil {
				l.Fatal(err)
			}
		}
		dir, err := os.Open(l.layout(l.project).run())
		if err != nil {
			l.Fatal(err)
		}
		defer dir.Close()
		err = onThread(func() error {
			if err := unix.Setfsuid(65534); err != nil {
				return err
			}
			// SO_PEERCRED tells the effective user at connect(2).
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 0); errno != 0 {
				return errno
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Fchdir(int(dir.Fd())); err != nil {
				return err
			}
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "supervisor.sock"}); err != nil {
				return fmt.Errorf("connecting: %w", err)
			}
			if _, err := unix.Write(fd, []byte(`{"op":"shutdown"}`+"\n")); err != nil && err != unix.EPIPE {
				return err
			}
			var buf [100]byte
			if n, err := unix.Read(fd, buf[:]); n > 0 {
				return fmt.Errorf("answered %q, %v", buf[:n], err)
			}
			return nil
		})
		if err != nil {
			l.Error(err)
		}
		if s, _, _ := l.Observe(l.Context(), l.project); s.PID == 0 {
			l.Error("the supervisor obeyed a stranger")
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
