package testhost

import (
	"errors"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// RemoteMachine is another machine on a wire to the test's host: a network namespace of its own,
// not named in /run/netns, linked by a veth.
type RemoteMachine struct {
	t   testing.TB
	pid int
}

// Remote makes a remote machine. Its interface is eth0, with remoteAddr ("203.0.113.9/24"); the
// host's end of the wire is called name, with hostAddr. It has no default route. It ends with the test.
func Remote(t testing.TB, name, hostAddr, remoteAddr string) *RemoteMachine {
	t.Helper()
	// A process that does nothing holds the namespace.
	holder := exec.CommandContext(t.Context(), "sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill() // it may have ended with the test's context
		_ = holder.Wait()         // says only that it was killed
	})
	r := &RemoteMachine{t: t, pid: holder.Process.Pid}
	Run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(r.pid))
	r.Run("ip", "link", "set", "lo", "up")
	for _, end := range []struct {
		run        func(argv ...string) string
		link, addr string
	}{
		{func(argv ...string) string { return Run(t, argv...) }, name, hostAddr},
		{r.Run, "eth0", remoteAddr},
	} {
		add := []string{"ip", "address", "add", end.addr, "dev", end.link}
		if p, err := netip.ParsePrefix(end.addr); err == nil && p.Addr().Is6() {
			add = append(add, "nodad") // else it is of no use for two seconds
		}
		end.run(add...)
		end.run("ip", "link", "set", end.link, "up")
	}
	Poll(t, func() error { // the kernel takes up to a second to see that a cable is in (linkwatch)
		if out := Run(t, "ip", "-o", "link", "show", "dev", name); !strings.Contains(out, " state UP ") {
			return errors.New(out)
		}
		return nil
	})
	return r
}

// Netns is the file of its network namespace, for setns(2).
func (r *RemoteMachine) Netns() string { return "/proc/" + strconv.Itoa(r.pid) + "/ns/net" }

// Command is a program to be run on the remote machine; the caller starts it.
func (r *RemoteMachine) Command(argv ...string) *exec.Cmd {
	argv = r.argv(argv)
	return exec.CommandContext(r.t.Context(), argv[0], argv[1:]...)
}

// Run is [Run] on the remote machine.
func (r *RemoteMachine) Run(argv ...string) string {
	r.t.Helper()
	return Run(r.t, r.argv(argv)...)
}

// Try is [Try] on the remote machine.
func (r *RemoteMachine) Try(argv ...string) (string, error) {
	r.t.Helper()
	return Try(r.t, r.argv(argv)...)
}

func (r *RemoteMachine) argv(argv []string) []string {
	return append([]string{"nsenter", "--net=" + r.Netns(), "--"}, argv...)
}
