package examples_test

import (
	"os/exec"
	"syscall"
	"testing"
)

// A server is a program that a test runs in a namespace, as its user would by hand.
type server struct {
	t   *testing.T
	cmd *exec.Cmd
}

func startIn(t *testing.T, netns string, argv ...string) *server {
	t.Helper()
	s := &server{t, exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", netns}, argv...)...)}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// stop ends it, and waits until it has left its namespace.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	_ = s.cmd.Wait() // says that it was killed
}
