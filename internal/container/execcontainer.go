package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	runc "github.com/containerd/go-runc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// execContainer runs a program in a container, by the runtime that made it.
func execContainer(ctx context.Context, l layout, p kernel.Process, rec record, r ExecRequest) (int, error) {
	spec, err := r.containerProcess(p, rec)
	if err != nil {
		return 0, err
	}
	// What the runtime says, and who the program is. They are in the node's folder: gone with
	// it, if this is killed.
	dir, err := os.MkdirTemp(l.run("nodes", r.Node), "exec-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log, pidFile := filepath.Join(dir, "log"), filepath.Join(dir, "pid")

	stdin, closeStdin, err := input(r.Stdin)
	if err != nil {
		return 0, err
	}
	defer closeStdin()
	null, err := ownNull(rec.PID)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	files := execIO{stdin, r.Stdout, r.Stderr, r.patience}
	if stdin == nil || isNull(stdin) || r.Detach {
		files.stdin = null
	}
	for _, w := range []*io.Writer{&files.stdout, &files.stderr} {
		if f, ok := (*w).(*os.File); r.Detach || ok && isNull(f) {
			*w = null
		}
	}
	// The runtime's process passes signals on to the program, and ends with its code.
	started, ended := make(chan int, 1), make(chan struct{})
	go func() {
		pid, ok := <-started
		if !ok {
			return
		}
		send := sendTo(pid)
		if r.TTY {
			// There is nobody to tell that it can't be done; the next change may do better.
			send = resizing(func() { _ = resize(r.Stdin, pidFile) }, send)
		}
		defer forward(r.Signals, send)()
		select {
		case <-ended:
		case <-ctx.Done():
			kill(pidFile, pid, ended)
		}
	}()
	rt := ociRuntime{rec.Runtime, l.runtimeRoot()}
	run := func() error {
		// Its log has the error of a program that can't be run.
		return rt.client("").Exec(context.WithoutCancel(ctx), rec.ContainerID, *spec,
			&runc.ExecOpts{IO: files, PidFile: pidFile, LogFile: log, Detach: r.Detach, Started: started})
	}
	if privateIDs(p) {
		err = besideNetns(rec.identity, run)
	} else {
		err = run()
	}
	close(ended)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	var exit *runc.ExitError
	switch {
	case err == nil:
		return 0, nil
	case lastError(log) != "" || !errors.As(err, &exit):
		return 0, rt.failure(r.Argv[0], log, err)
	}
	return exit.Status, nil
}

// besideNetns runs f on a thread in the network namespace of a process, see [launcher.mapIDs].
func besideNetns(id identity, f func() error) error {
	return onThread(func() error {
		fd, err := id.open()
		if err != nil {
			return fmt.Errorf("opening process %d: %w", id.PID, err)
		}
		defer fd.close()
		var serr error
		err = fd.control(func(n int) { serr = unix.Setns(n, unix.CLONE_NEWNET) })
		if err := errors.Join(err, serr); err != nil {
			return fmt.Errorf("entering the network namespace of process %d: %w", id.PID, err)
		}
		return f()
	})
}

// containerProcess is the program in the words of the OCI: as the container's main one, with what the
// request says instead.
func (r ExecRequest) containerProcess(p kernel.Process, rec record) (*specs.Process, error) {
	root, err := os.OpenRoot("/proc/" + strconv.Itoa(rec.PID) + "/root")
	if err != nil {
		return nil, fmt.Errorf("opening the root of the container: %w", err)
	}
	defer root.Close()
	b := box{Process: p, hostname: p.Hostname}
	if b.account, err = findAccount(root, or(r.User, p.User)); err != nil {
		return nil, err
	}
	if b.security, err = parseSecurity(p.SecurityOpt, p.Privileged); err != nil {
		return nil, err
	}
	if b.hostname == "" {
		if b.hostname, err = os.Hostname(); err != nil {
			return nil, err
		}
	}
	spec := b.process(r.Argv, or(r.Dir, p.Dir), containerEnv(b.account, b.hostname), p.Env, r.Env)
	spec.Terminal = r.TTY
	return spec, nil
}

// ownNull opens a container's own /dev/null: crun 1.8.1 makes the input and output of what it execs that of its user, and
// the host's /dev/null with it. The host's is taken where a container has made something else of its own.
func ownNull(pid int) (*os.File, error) {
	const host = "/dev/null"
	f, err := openIn("/proc/"+strconv.Itoa(pid)+"/root", host, unix.O_NOFOLLOW)
	if err != nil {
		return os.OpenFile(host, os.O_RDWR, 0)
	}
	defer f.Close()
	if !isNull(f) {
		return os.OpenFile(host, os.O_RDWR, 0)
	}
	return os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), os.O_RDWR, 0)
}

func isNull(f *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// resizing is send, but at SIGWINCH it has the program's terminal resized.
func resizing(resize func(), send func(unix.Signal)) func(unix.Signal) {
	return func(sig unix.Signal) {
		if sig == unix.SIGWINCH {
			resize()
			return
		}
		send(sig)
	}
}

// resize gives a program's terminal the size of the caller's: crun 1.8.1 passes SIGWINCH on, and leaves the size as it is. The
// kernel then tells the program.
func resize(stdin io.Reader, pidFile string) error {
	tty, ok := stdin.(*os.File)
	if !ok {
		return unix.ENOTTY
	}
	size, err := unix.IoctlGetWinsize(int(tty.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	pid, err := runc.ReadPidFile(pidFile)
	if err != nil {
		return err
	}
	program, err := openPidfd(pid)
	if err != nil {
		return err
	}
	defer program.close()
	// Its input, as it is: what it has made of that is not opened.
	theirs := -1
	if cerr := program.control(func(fd int) { theirs, err = unix.PidfdGetfd(fd, 0, 0) }); cerr != nil || err != nil {
		return errors.Join(cerr, err)
	}
	defer unix.Close(theirs)
	return unix.IoctlSetWinsize(theirs, unix.TIOCSWINSZ, size)
}

// kill kills the program that a pid file names, with its process group if it leads one, and waits for the
// runtime to end. The runtime's own death would leave the program alone: it comes only when there is no program for long.
func kill(pidFile string, runtime int, ended <-chan struct{}) {
	const pause, limit = 5 * time.Millisecond, 10 * time.Second
	end := time.After(limit)
	for killed := false; ; {
		if pid, err := runc.ReadPidFile(pidFile); err == nil && !killed {
			killed = true
			if group, err := unix.Getpgid(pid); err == nil && group == pid {
				_ = unix.Kill(-pid, unix.SIGKILL)
			}
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		select {
		case <-ended:
			return
		case <-end:
			_ = unix.Kill(runtime, unix.SIGKILL)
			return
		case <-time.After(pause):
		}
	}
}

// execIO gives a runtime the input and output of what it runs.
type execIO struct {
	stdin          *os.File
	stdout, stderr io.Writer
	patience       time.Duration
}

// Set gives them to a command; without input it has /dev/null.
func (e execIO) Set(c *exec.Cmd) {
	if e.stdin != nil {
		c.Stdin = e.stdin
	}
	c.Stdout, c.Stderr, c.WaitDelay = e.stdout, e.stderr, e.patience
}

// Stdin is the command's own.
func (e execIO) Stdin() io.WriteCloser { return nil }

// Stdout is the command's own.
func (e execIO) Stdout() io.ReadCloser { return nil }

// Stderr is the command's own.
func (e execIO) Stderr() io.ReadCloser { return nil }

// Close has nothing to close.
func (e execIO) Close() error { return nil }
