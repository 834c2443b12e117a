package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/console"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// exec runs a command in a node and gives its code and output.
func (l *lab) exec(r ExecRequest) (code int, stdout, stderr string) {
	l.Helper()
	var out, errs bytes.Buffer
	r.Project, r.Stdout, r.Stderr = l.project, &out, &errs
	if r.Node == "" {
		r.Node = "n"
	}
	r.Interactive = r.Stdin != nil
	ctx, cancel := context.WithTimeout(l.Context(), 30*time.Second)
	defer cancel()
	code, err := l.Exec(ctx, r)
	if err != nil {
		errs.WriteString(err.Error())
	}
	return code, out.String(), errs.String()
}

// crun 1.8.1 gives what it execs its input and output; the host's /dev/null is not to be given away.
func TestExecLeavesTheHostsNull(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		for _, mode := range []kernel.UsernsMode{"", kernel.PrivateUserns} {
			p.UsernsMode = mode
			l.start(p)
			null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
			if err != nil {
				l.Fatal(err)
			}
			r := ExecRequest{Project: l.project, Node: "n", User: "7654", Argv: []string{"sh", "-c", "cat; echo x > /dev/null; echo $0"}}
			for _, detach := range []bool{false, true} {
				r.Detach, r.Interactive, r.Stdin, r.Stdout, r.Stderr = detach, true, null, null, null
				if code, err := l.Exec(l.Context(), r); code != 0 || err != nil {
					l.Errorf("detach %t: %d, %v", detach, code, err)
				}
			}
			null.Close()
			if code, _, stderr := l.exec(r); code != 0 {
				l.Errorf("%d, %s", code, stderr)
			}
			if got := testhost.Run(l, "stat", "-c", "%u", "/dev/null"); got == "7654\n" {
				l.Error("the host's /dev/null was given to the user")
			}
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}
	})
}

func TestExec(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv, p.Env, p.Hostname, p.Dir = []string{"sleep", "1000"}, []string{"A=1", "B=2"}, "web", "/etc"
		l.start(p)
		for _, c := range []struct {
			name   string
			r      ExecRequest
			code   int
			stdout string
			stderr string
		}{
			{"both streams and the code", ExecRequest{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 42"}}, 42, "out\n", "err\n"},
			{"no input", ExecRequest{Argv: []string{"cat"}}, 0, "", ""},
			{"piped input", ExecRequest{Argv: []string{"tr", "a-z", "A-Z"}, Stdin: strings.NewReader("hello")}, 0, "HELLO", ""},
			{"where it is", ExecRequest{Argv: []string{"sh", "-c", "pwd; hostname; echo $A $B"}, Env: []string{"B=3"}}, 0, "/etc\nweb\n1 3\n", ""},
			{"folder and user", ExecRequest{Argv: []string{"sh", "-c", "pwd; id -u"}, Dir: "/usr", User: "nobody"}, 0, "/usr\n65534\n", ""},
			{"killed", ExecRequest{Argv: []string{"sh", "-c", "kill -9 $$"}}, 137, "", ""},
		} {
			code, stdout, stderr := l.exec(c.r)
			if code != c.code || stdout != c.stdout || stderr != c.stderr {
				l.Errorf("%s: %d %q %q, want %d %q %q", c.name, code, stdout, stderr, c.code, c.stdout, c.stderr)
			}
		}
		for name, want := range map[string]int{"no-such-program": 127, "/etc/passwd": 126, "/etc": 126} {
			if code, _, stderr := l.exec(ExecRequest{Argv: []string{name}}); code != want || !strings.Contains(stderr, name) {
				l.Errorf("running %s: %d %q", name, code, stderr)
			}
		}
		if out := testhost.Run(l, "find", l.layout(l.project).run(), "-name", "exec-*"); out != "" {
			l.Errorf("left behind: %s", out)
		}
	})
}

func TestExecInNamespaces(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		pid := l.state("n").PID
		for _, ns := range []string{"net", "mnt", "uts", "pid", "ipc"} {
			want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
			if err != nil {
				l.Fatal(err)
			}
			if _, got, _ := l.exec(ExecRequest{Argv: []string{"readlink", "/proc/self/ns/" + ns}}); got != want+"\n" {
				l.Errorf("%s namespace %q, that of the process is %s", ns, got, want)
			}
		}
	})
}

func TestExecWithoutProcess(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	inLab(t, Config{}, func(l *lab) {
		if err := os.MkdirAll("/etc/netns/lab-n", 0o755); err != nil {
			l.Fatal(err)
		}
		defer os.RemoveAll("/etc/netns")
		if err := os.WriteFile("/etc/netns/lab-n/hosts", []byte("10.1.1.1 friend\n"), 0o644); err != nil {
			l.Fatal(err)
		}
		code, out, stderr := l.exec(ExecRequest{Netns: "lab-n", Argv: []string{"sh", "-c", "getent hosts friend; ip -br link"}})
		if code != 0 || !strings.HasPrefix(out, "10.1.1.1        friend\nlo") || strings.Count(out, "\n") != 2 {
			l.Errorf("%d %q %q", code, out, stderr)
		}
		if code, _, stderr := l.exec(ExecRequest{Netns: "no-such", Argv: []string{"true"}}); code != 125 || !strings.Contains(stderr, "no-such") {
			l.Errorf("%d %q", code, stderr)
		}
	})
}

func TestExecSignals(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		signals := make(chan os.Signal, 1)
		out, in, err := os.Pipe()
		if err != nil {
			l.Fatal(err)
		}
		defer out.Close()
		result := make(chan int, 1)
		go func() {
			code, err := l.Exec(l.Context(), ExecRequest{
				Project: l.project, Node: "n", Signals: signals, Stdout: in,
				Argv: []string{"sh", "-c", "trap 'echo got it; exit 4' TERM; echo ready; while :; do sleep 0.01; done"},
			})
			if err != nil {
				l.Error(err)
			}
			in.Close()
			result <- code
		}()
		buf := make([]byte, 100)
		n, err := out.Read(buf)
		if err != nil || string(buf[:n]) != "ready\n" {
			l.Fatalf("read %q, %v", buf[:n], err)
		}
		signals <- unix.SIGTERM
		rest, err := io.ReadAll(out)
		if code := <-result; code != 4 || string(rest) != "got it\n" || err != nil {
			l.Errorf("%d, %q, %v", code, rest, err)
		}
	})
}

// What a command that is given up has started in the node ends.
func TestExecCancelled(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		ctx, cancel := context.WithTimeout(l.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := l.Exec(ctx, ExecRequest{Project: l.project, Node: "n", Argv: []string{"sleep", "3333"}})
		if !errors.Is(err, context.DeadlineExceeded) {
			l.Errorf("error %v", err)
		}
		testhost.Poll(l, func() error { return sleeping(l, 0) })
	})
}

func TestExecDetached(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		if code, _, stderr := l.exec(ExecRequest{Argv: []string{"sleep", "3333"}, Detach: true}); code != 0 || stderr != "" {
			l.Errorf("%d %q", code, stderr)
		}
		testhost.Poll(l, func() error { return sleeping(l, 1) })
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		testhost.Poll(l, func() error { return sleeping(l, 0) })
	})
}

// TestTerminalChild is a `topo exec -it`, run by TestExecTerminal on a terminal of its own.
func TestTerminalChild(t *testing.T) {
	project := os.Getenv("TOPO_TEST_TERMINAL")
	if project == "" {
		t.Skip("only as a child of TestExecTerminal")
	}
	code, err := New(Config{}).Exec(context.Background(), ExecRequest{
		Project: project, Node: "n", Argv: []string{"sh"}, TTY: true, Interactive: true,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	os.Exit(code)
}

func TestExecTerminal(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"sleep", "1000"}
		l.start(p)
		terminal(l)
	})
}

// terminal tries `topo exec -it` of a shell in a node that runs.
func terminal(l *lab) {
	l.Helper()
	pty, path, err := console.NewPty()
	if err != nil {
		l.Fatal(err)
	}
	defer pty.Close()
	tty, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		l.Fatal(err)
	}
	if err := pty.Resize(console.WinSize{Height: 33, Width: 77}); err != nil {
		l.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTerminalChild$")
	cmd.Env = append(os.Environ(), "TOPO_TEST_TERMINAL="+l.project, "TERM=vt100")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	tty.Close()
	screen := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(pty) // EIO when the last one has closed the other end
		screen <- string(data)
	}()
	// The marks are put together by the shell, so that an echo of the input does not look like output.
	// runc tells the terminal its size a moment after it has started the program.
	io.WriteString(pty, "test -t 0 && test -t 1 && echo te''rminal; until stty size | grep -v ^0; do sleep 0.1; done; echo term=$TERM\n")
	io.WriteString(pty, "sleep 2222\n")
	testhost.Poll(l, func() error {
		if out, _ := testhost.Try(l, "pgrep", "-fc", "^sleep 2222"); out != "1\n" {
			return fmt.Errorf("sleep does not run")
		}
		return nil
	})
	io.WriteString(pty, "\x03") // Ctrl-C ends sleep, not the shell
	if err := pty.Resize(console.WinSize{Height: 44, Width: 99}); err != nil {
		l.Fatal(err)
	}
	io.WriteString(pty, "until stty size | grep 44.99; do sleep 0.1; done; echo st''ill here; exit 6\n")
	tooLong := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer tooLong.Stop()
	err = cmd.Wait()
	got := <-screen
	if code := cmd.ProcessState.ExitCode(); code != 6 {
		l.Errorf("code %d, %v; screen %q", code, err, got)
	}
	for _, want := range []string{"terminal\r\n", "33 77\r\n", "44 99\r\n", "term=vt100\r\n", "still here\r\n"} {
		if !strings.Contains(got, want) {
			l.Errorf("the screen lacks %q: %q", want, got)
		}
	}
}
