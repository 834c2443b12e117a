package container

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// dockerInput opens the input of a process that an engine runs for writing: the pipe that the engine has made, and holds open. nil:
// the process has ended, or has put something else in its place.
//
// The engine is not asked for it: Podman ends the input as soon as one who is attached by its API leaves.
func dockerInput(id identity) (*os.File, error) {
	at, err := unix.Open(fmt.Sprintf("/proc/%d/fd/0", id.PID), unix.O_PATH|unix.O_CLOEXEC, 0)
	if gonePID(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	var s unix.Stat_t
	if err := unix.Fstat(at, &s); err != nil {
		return nil, err
	}
	// What was opened is the process's if that still has the pid.
	if s.Mode&unix.S_IFMT != unix.S_IFIFO || !id.alive() {
		return nil, nil
	}
	in, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", at), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, nil
	}
	return in, err
}
