package dockerapi

import (
	"strings"

	"github.com/containerd/errdefs"
)

// StartError says that a program can't be run, since it is not there or is none.
type StartError struct {
	Command string
	Code    int // 127: it is not there; 126: it can't be run
	Err     error
}

func (e *StartError) Error() string { return e.Command + ": " + e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// startError finds out by its text whether an error is a StartError: engines pass on what the runtime said.
func startError(command string, err error) error {
	if err == nil {
		return nil
	}
	text := strings.ToLower(err.Error())
	for _, known := range []struct {
		text string
		code int
	}{{"executable file not found", 127}, {"no such file or directory", 127}, {"permission denied", 126}, {"exec format error", 126}} {
		if strings.Contains(text, known.text) && (strings.Contains(text, "exec") || strings.Contains(text, command)) {
			return &StartError{command, known.code, err}
		}
	}
	return err
}

// noContainer reports whether an error says that there is no such container. Podman 4.3 says it as a failure of its own (500) of one
// that somebody removes at the moment.
func noContainer(err error) bool {
	return errdefs.IsNotFound(err) || err != nil && strings.Contains(err.Error(), "no such container")
}
