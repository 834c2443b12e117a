package dockerapi

import (
	"errors"
	"strings"
	"testing"
)

// What engines say of a program that can't be run, in the place of its output, is an error. All else is output.
func TestHeld(t *testing.T) {
	for name, c := range map[string]struct {
		written []string
		out     string
		code    int // of a StartError
	}{
		"output":  {written: []string{"one\n", "OCI runtime exec failed, it printed\n"}, out: "one\nOCI runtime exec failed, it printed\n"},
		"nothing": {},
		"Docker": {
			written: []string{"OCI runtime exec failed: exec failed: unable to start container process: exec: \"nosuch\": executable file not found in $PATH: unknown\r\n"},
			code:    127,
		},
		"Podman with crun": {
			written: []string{"Error: crun: executable file `nosuch` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found\n"},
			code:    127,
		},
		"Podman with runc": {
			written: []string{"Error: runc: exec failed: unable to start container process: exec: \"/etc/passwd\": permission denied: OCI permission denied", "\nmore\n"},
			code:    126,
		},
	} {
		var out strings.Builder
		h := held{command: "nosuch"}
		for _, text := range c.written {
			if n, err := h.before(&out).Write([]byte(text)); n != len(text) || err != nil {
				t.Errorf("%s: wrote %d, %v", name, n, err)
			}
		}
		err := h.err()
		var start *StartError
		if out.String() != c.out || errors.As(err, &start) != (c.code != 0) || start != nil && start.Code != c.code {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
}
