package testhost

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Run runs a program and gives what it printed on stdout; it fails the test, with the whole
// output, when the program fails.
func Run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := Try(t, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try runs a program that may fail. The error has the command and what it printed on stderr.
func Try(t testing.TB, argv ...string) (stdout string, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).Output()
	if err == nil {
		return string(out), nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s%s", err, exit.Stderr, out)
	}
	return string(out), fmt.Errorf("running %s: %w", strings.Join(argv, " "), err)
}

// patience is how long anything may take that is waited for: much longer than any of it does, on a busy machine, too.
const patience = 2 * time.Minute

// Poll calls f until it gives nil, or fails the test with f's last error when that takes too long.
// It is what stands where another test would sleep.
func Poll(t testing.TB, f func() error) {
	t.Helper()
	const pause = 5 * time.Millisecond // short against anything that is waited for here
	end := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v: %v", patience, err)
		}
		time.Sleep(pause)
	}
}
