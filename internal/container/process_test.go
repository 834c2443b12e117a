package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestCommandNotFound(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		for name, want := range map[string]int{"no-such-program": 127, "/no/such/program": 127, "/etc/passwd": 126} {
			p.Argv = []string{name}
			err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(p)})
			var command *CommandError
			if !errors.As(err, &command) || command.Code != want || !strings.Contains(err.Error(), name) {
				l.Errorf("starting %s: %v, want code %d", name, err, want)
			}
			if s := l.state("n"); s.Status != kernel.Exited || s.ExitCode != want || !strings.Contains(s.Error, name) || s.PID != 0 {
				l.Errorf("state after starting %s: %+v", name, s)
			}
		}
		// What could not be started makes room, and is forgotten.
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(p)}); !errors.Is(err, unix.EEXIST) {
			l.Errorf("starting it again: %v", err)
		}
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
	})
}

// Where a program is refused by a file's attributes or a security module, "permission denied" was told: that is another refusal.
func TestCommandError(t *testing.T) {
	t.Parallel()
	for errno, want := range map[unix.Errno]struct {
		code int
		word string
	}{
		unix.ENOENT: {127, "command not found"}, unix.ENOTDIR: {127, "command not found"},
		unix.EACCES: {126, "permission denied"}, unix.EPERM: {126, "operation not permitted"}, unix.ENOEXEC: {126, "exec format error"},
	} {
		err := commandError("web", &fs.PathError{Op: "fork/exec", Path: "/web", Err: errno})
		var command *CommandError
		if !errors.As(err, &command) || command.Code != want.code || !strings.Contains(err.Error(), want.word) {
			t.Errorf("%v is %v, want code %d and %q", errno, err, want.code, want.word)
		}
	}
}

// A script whose interpreter is missing can't be told from a good one before it is run.
func TestBadScript(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		script := l.TempDir() + "/script"
		if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
			l.Fatal(err)
		}
		p.Argv = []string{script}
		err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(p)})
		if p.Container {
			// As under Docker, the runtime has let go when execve(2) fails: it says so in the container's place.
			if s := l.state("n"); err != nil || s.Status != kernel.Exited || s.ExitCode == 0 || !strings.Contains(l.logged("n"), script) {
				l.Errorf("%v, %+v, %q", err, s, l.logged("n"))
			}
		} else if err == nil || !strings.Contains(err.Error(), script) {
			l.Error(err)
		}
	})
}

func TestEnvironment(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv, p.Env = []string{"env"}, []string{"REDIS_HOST=redis", "TWO=a b"}
		p.Hostname = "web"
		l.start(p)
		got := strings.Split(strings.TrimSpace(l.logged("n")), "\n")
		slices.Sort(got)
		want := []string{"HOME=/root", "LOGNAME=root", "PATH=" + os.Getenv("PATH"), "REDIS_HOST=redis", "TWO=a b", "USER=root"}
		if p.Container {
			want = []string{"HOME=/root", "HOSTNAME=web", "PATH=" + defaultPath, "REDIS_HOST=redis", "TWO=a b"}
		}
		if !slices.Equal(got, want) {
			l.Errorf("environment %q, want %q", got, want)
		}
	})
}

func TestUserAndFolder(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		for _, c := range []struct{ user, dir, want string }{
			{"", "", "0 0 /"},
			{"nobody", "/etc", "65534 65534 /etc"},
			{"nobody:root", "/", "65534 0 /"},
			{"1234:55", "/usr/lib", "1234 55 /usr/lib"},
		} {
			p.Argv, p.User, p.Dir = []string{"sh", "-c", "echo $(id -u) $(id -g) $(pwd); echo opened anew > /dev/stdout"}, c.user, c.dir
			l.start(p)
			if got := l.logged("n"); got != c.want+"\nopened anew\n" {
				l.Errorf("user %q in %q: %q", c.user, c.dir, got)
			}
		}
		p.User = "no-such-user"
		if err := l.Do(l.Context(), kernel.ProcessStart{Process: l.complete(p)}); err == nil || !strings.Contains(err.Error(), p.User) {
			l.Errorf("an unknown user: %v", err)
		}
	})
}

func TestPlace(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		testhost.Run(l, "ip", "-n", "lab-n", "link", "add", "br9", "type", "bridge")
		defer testhost.Run(l, "ip", "-n", "lab-n", "link", "del", "br9")
		hosts, resolv := l.TempDir()+"/hosts", l.TempDir()+"/resolv.conf"
		for path, text := range map[string]string{hosts: "10.9.9.9 friend\n", resolv: "nameserver 10.9.9.8\n"} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				l.Fatal(err)
			}
		}
		p.Hosts, p.Resolv, p.Hostname = hosts, resolv, "web"
		p.Argv = []string{"sh", "-c", "hostname; getent hosts friend; cat /etc/resolv.conf; ls /sys/class/net | grep -v bonding_masters; ls /sys/fs/cgroup | grep -q ^memory && echo memory"}
		l.start(p)
		want := "web\n10.9.9.9        friend\nnameserver 10.9.9.8\nbr9\nlo\nmemory\n"
		if got := l.logged("n"); got != want {
			l.Errorf("printed %q, want %q", got, want)
		}
		if name, _ := os.Hostname(); name != testhost.Hostname {
			l.Errorf("the host is called %s now", name)
		}
	})
}

func TestHostNetwork(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		testhost.Run(l, "ip", "link", "add", "br8", "type", "bridge")
		defer testhost.Run(l, "ip", "link", "del", "br8")
		p.Argv = []string{"ls", "/sys/class/net"}
		p = l.complete(p)
		p.Netns = ""
		l.do(kernel.ProcessStart{Process: p})
		if got := l.logged("n"); got != "br8\nlo\n" && got != "bonding_masters\nbr8\nlo\n" {
			l.Errorf("interfaces %q", got)
		}
	})
}

func TestStopSignal(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		out := l.TempDir() + "/out"
		p.Argv = []string{"sh", "-c", "trap 'echo stopped > " + out + "; exit 0' USR1; trap '' TERM; echo ready; while :; do sleep 0.01; done"}
		p.StopSignal, p.StopGrace = "SIGUSR1", time.Minute
		p.Mounts = []kernel.Mount{{Source: out[:len(out)-4], Target: out[:len(out)-4]}}
		if !p.Container {
			p.Mounts = nil
		}
		l.start(p)
		l.awaitLog("n", "ready\n")
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if data, err := os.ReadFile(out); string(data) != "stopped\n" {
			l.Errorf("the signal's trap wrote %q, %v", data, err)
		}
	})
}

// awaitLog waits until a process has printed this.
func (l *lab) awaitLog(node, want string) {
	l.Helper()
	testhost.Poll(l, func() error {
		r := logReader{path: l.layout(l.project).log(node)}
		defer r.close()
		entries, err := collect(&r)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, e := range entries {
			b.WriteString(e.Log)
		}
		if !strings.Contains(b.String(), want) {
			return fmt.Errorf("printed %q", b.String())
		}
		return nil
	})
}

// A process that ignores its stop signal, and what it started in sessions of their own, are killed.
func TestKillAll(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "trap '' TERM; (setsid sh -c '(setsid sleep 3333 &)' &); sleep 4444 & echo ready; wait; wait; while :; do sleep 1; done"}
		l.start(p)
		l.awaitLog("n", "ready\n")
		testhost.Poll(l, func() error { return sleeping(l, 2) })
		start := time.Now()
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if d := time.Since(start); d < 100*time.Millisecond || d > 30*time.Second {
			l.Errorf("stopping took %v, the grace period is 100 ms", d)
		}
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
	})
}

// What a process left behind ends with it.
func TestDaemonEnds(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sh", "-c", "(setsid sh -c '(setsid sleep 3333 &)' &); sleep 0.2; exit 3"}
		l.start(p)
		if got := l.logged("n"); got != "" {
			l.Errorf("printed %q", got)
		}
		if s := l.state("n"); s.ExitCode != 3 {
			l.Errorf("state %+v", s)
		}
		if err := sleeping(l, 0); err != nil {
			l.Error(err)
		}
	})
}

func sleeping(l *lab, want int) error {
	out, _ := testhost.Try(l, "pgrep", "-fc", "^sleep [34]")
	if strings.TrimSpace(out) != fmt.Sprint(want) {
		return fmt.Errorf("%s of the processes that were left behind run, want %d", strings.TrimSpace(out), want)
	}
	return nil
}

func TestWait(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		wait := func(c kernel.Condition) error {
			ctx, cancel := context.WithTimeout(l.Context(), 20*time.Second)
			defer cancel()
			return l.Do(ctx, kernel.ProcessWait{Project: l.project, Node: "n", Condition: c})
		}
		if err := wait(kernel.ServiceStarted); err == nil || !strings.Contains(err.Error(), "no process") {
			l.Errorf("waiting for nothing: %v", err)
		}
		p.Argv = []string{"sh", "-c", "sleep 0.3"}
		l.start(p)
		if err := wait(kernel.ServiceStarted); err != nil {
			l.Error(err)
		}
		if err := wait(kernel.ServiceHealthy); err == nil || !strings.Contains(err.Error(), "no healthcheck") {
			l.Errorf("waiting for health without a check: %v", err)
		}
		if err := wait(kernel.ServiceCompleted); err != nil {
			l.Error(err)
		}
		p.Argv = []string{"sh", "-c", "sleep 0.2; exit 9"}
		l.start(p)
		if err := wait(kernel.ServiceCompleted); err == nil || !strings.Contains(err.Error(), "code 9") {
			l.Errorf("waiting for a success of a failure: %v", err)
		}
		err := l.Do(l.Context(), kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceCompleted, Optional: true})
		if err != nil {
			l.Errorf("an optional condition: %v", err)
		}
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		ctx, cancel := context.WithTimeout(l.Context(), 50*time.Millisecond)
		defer cancel()
		if err := l.Do(ctx, kernel.ProcessWait{Project: l.project, Node: "n", Condition: kernel.ServiceCompleted}); !errors.Is(err, context.DeadlineExceeded) {
			l.Errorf("waiting for long: %v", err)
		}
	})
}
