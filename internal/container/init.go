package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// initMain is PID 1 of a container with an init: it runs the program, passes signals on to it, reaps orphans,
// and ends with the program's code. The kernel then kills all that is left in the container.
func initMain(argv []string) int {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, commandError(argv[0], err))
		return startCode(err)
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals) // before the program runs: none is lost
	child, err := os.StartProcess(path, argv, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		// A process group of its own, in the foreground of its terminal if it has one.
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, commandError(argv[0], err))
		return startCode(err)
	}
	for s := range signals {
		sig, ok := s.(syscall.Signal)
		switch {
		case !ok, sig == unix.SIGURG: // Go's own, between its threads
		case sig != unix.SIGCHLD:
			_ = unix.Kill(child.Pid, sig) // ESRCH: it has just ended
		default:
			if code, ended := reapInit(child.Pid); ended {
				return code
			}
		}
	}
	return 0
}

// reapInit reaps all that has ended, and tells if the program has.
func reapInit(program int) (code int, ended bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil || pid <= 0:
			return code, ended
		case pid == program:
			code, ended = exitCode(status), true
		}
	}
}

func startCode(err error) int {
	var command *CommandError
	if errors.As(commandError("", err), &command) {
		return command.Code
	}
	return 128
}
