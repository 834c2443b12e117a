package dockerapi

import (
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAddress(t *testing.T) {
	for host, want := range map[string]string{"unix:///run/x.sock": "unix:///run/x.sock", "tcp://10.0.0.1:2375": "", "ssh://root@other": "", "unix://": "", "/run/x.sock": ""} {
		got, err := Address(host)
		var elsewhere *ElsewhereError
		if got != want || (want == "") != errors.As(err, &elsewhere) {
			t.Errorf("DOCKER_HOST %q: %q, %v", host, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), host) {
			t.Errorf("%v does not say %q", err, host)
		}
	}
}

// An error says why nobody answers, and not only that.
func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for path, want := range map[string]error{filepath.Join(dir, "none"): fs.ErrNotExist, dead: syscall.ECONNREFUSED} {
		_, err := Open(t.Context(), unixScheme+path)
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !errors.Is(err, want) || unreachable.Address != unixScheme+path {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
