package container

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The hidden commands: topo's program under another name.
const (
	supervisorName = "topo-supervisor"
	initName       = "topo-init"
)

// Reexec runs a hidden command when this process was started as one: the supervisor
// (argv[0] "topo-supervisor"), the init of a container (argv[1] "topo-init"), what holds a user namespace
// open (argv[0] "topo-idmap"), or the sandbox of a container that an engine runs (argv[1] "topo-sandbox"). It must be called
// first in main; when handled, the process ends with code.
func Reexec() (handled bool, code int) {
	switch {
	case os.Args[0] == supervisorName && len(os.Args) == 6:
		CloseInherited(lockFD)
		log.SetFlags(log.LstdFlags | log.LUTC)
		a := os.Args
		l := layout{runDir: a[2], dataDir: a[3], project: a[1]}
		c := Config{RunDir: a[2], DataDir: a[3], Runtime: a[4], Self: a[5]}
		ready, lock := os.NewFile(readyFD, "ready"), os.NewFile(lockFD, "lock")
		unix.CloseOnExec(readyFD)
		unix.CloseOnExec(lockFD)
		return true, superviseMain(l, c, ready, lock)
	case os.Args[0] == mapName:
		return true, mapMain()
	case os.Args[0] == sandboxPath && len(os.Args) == 3 && os.Args[1] == sandboxName:
		return true, sandboxMain(os.Args[2])
	case os.Args[0] == initPath && len(os.Args) > 2 && os.Args[1] == initName:
		return true, initMain(os.Args[2:])
	}
	return false, 0
}

const (
	readyFD = 3 // where a supervisor says that it is ready
	lockFD  = 4 // its lock, which it has from its first moment: who starts it gives it
)

// CloseInherited closes files above keep that whoever ran topo had open: a supervisor, or a watchman, outlives them, and would keep
// a pipe or a lock of theirs. Go's own files are all close-on-exec, so the others are foreign.
func CloseInherited(keep int) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= keep {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// startSupervisor starts a project's supervisor, unless one runs, and returns when that can be asked.
func (e *Engine) startSupervisor(ctx context.Context, l layout) error {
	if conn, err := dial(ctx, l); err == nil {
		// That somebody listens doesn't say so yet: of one that was killed, a child that was about to become another program does.
		if err := conn.Close(); err != nil || findSupervisor(l).PID != 0 {
			return err
		}
	}
	for _, dir := range []string{l.run(), l.data()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	stderr, err := os.OpenFile(l.supervisorLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer stderr.Close()
	self, err := e.config.program()
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	switch only, err := lockOut(l, lock); {
	case err != nil:
		return fmt.Errorf("locking %s: %w", l.lock(), err)
	case !only:
		return nil // another runs: that is what was asked for
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := &exec.Cmd{
		Path: self,
		Args: []string{supervisorName, l.project, l.runDir, l.dataDir, e.config.Runtime, self},
		// Nothing of the caller's environment but where its programs are.
		Env: []string{"PATH=" + os.Getenv("PATH")},
		Dir: "/", Stdout: stderr, Stderr: stderr, ExtraFiles: []*os.File{theirs, lock},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("starting %s: %w", self, err)
	}
	go func() { _ = cmd.Wait() }() // so that it leaves no zombie when this process outlives it
	defer context.AfterFunc(ctx, func() { _ = ready.Close() })()
	line, err := bufio.NewReader(ready).ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("the supervisor ended before it was ready, see %s", l.supervisorLog())
	case line != "ok\n":
		return fmt.Errorf("the supervisor says: %s", strings.TrimSpace(line))
	}
	return nil
}

// stopSupervisor ends a project's supervisor, and waits until it has.
func (e *Engine) stopSupervisor(ctx context.Context, l layout) error {
	fd, err := findSupervisor(l).open()
	if errors.Is(err, unix.ESRCH) {
		if err := endLost(ctx, l); err != nil {
			return err
		}
		// A dead one leaves these.
		for _, file := range []string{l.socket(), l.lock(), l.supervisorFile()} {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return os.RemoveAll(l.runtimeRoot())
	}
	if err != nil {
		return err
	}
	defer fd.close()
	if err := call(ctx, l, request{Op: opShutdown}); err != nil && !errors.Is(err, errNoSupervisor) {
		return err
	}
	return fd.wait(ctx)
}
