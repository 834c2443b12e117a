package container

import (
	"context"
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

// With a umask of 077, what was made in containers' roots was for root alone, and so was what programs of `namespaces:` made.
func TestUmaskOfWhoRunsTopo(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		l.do(kernel.SupervisorStop{Project: l.project})
		defer unix.Umask(unix.Umask(0o077))
		l.do(kernel.SupervisorStart{Project: l.project})
		p.Argv = []string{"sh", "-c", "umask; stat -c %a ."}
		if p.Container {
			p.Dir = "/made/for/this"
		}
		l.start(p)
		if got := l.logged("n"); got != "0022\n755\n" {
			l.Errorf("printed %q; %+v", got, l.state("n"))
		}
	})
}

// A topo was killed while the supervisor stopped a process for it. The next one found the process there, and then it was gone:
// "no process was started".
func TestQuiesceWaitsForWhatADeadTopoAskedFor(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	inLab(t, Config{}, func(l *lab) {
		// It lets its end be waited for, and says when it has begun to end.
		script := `trap 'echo > ending; while [ ! -e end ]; do sleep 0.01; done; exit' TERM; echo > begun; while :; do sleep 0.01; done`
		dir := l.TempDir()
		l.start(kernel.Process{Argv: []string{"sh", "-c", script}, Dir: dir, StopGrace: time.Minute})
		there := func(name string) func() error {
			return func() error { _, err := os.Stat(dir + "/" + name); return err }
		}
		testhost.Poll(l, there("begun"))
		ctx, kill := context.WithCancel(l.Context())
		defer kill()
		stopped := make(chan error, 1)
		go func() { stopped <- l.Do(ctx, kernel.ProcessStop{Project: l.project, Node: "n"}) }()
		testhost.Poll(l, there("ending"))
		kill()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			l.Fatalf("the stop ended with %v", err)
		}
		short, cancel := context.WithTimeout(l.Context(), 50*time.Millisecond)
		defer cancel()
		if err := l.Quiesce(short, l.project); !errors.Is(err, context.DeadlineExceeded) {
			l.Errorf("while the process ends: %v", err)
		}
		if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
			l.Fatal(err)
		}
		if err := l.Quiesce(l.Context(), l.project); err != nil {
			l.Error(err)
		}
		if _, states, err := l.Observe(l.Context(), l.project); len(states) != 0 || err != nil {
			l.Errorf("then there are %+v, %v", states, err)
		}
	})
	if err := New(Config{RunDir: t.TempDir()}).Quiesce(t.Context(), "none"); err != nil {
		t.Errorf("without a supervisor: %v", err)
	}
}
