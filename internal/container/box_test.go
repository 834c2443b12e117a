package container

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// boxes runs a test in containers by both runtimes.
func boxes(t *testing.T, f func(l *lab)) {
	for _, runtime := range []string{"crun", "runc"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			inLab(t, Config{Runtime: runtime}, f)
		})
	}
}

// run starts a shell script in a container and gives what it printed.
func (l *lab) run(p kernel.Process, script string) string {
	l.Helper()
	p.Container, p.Argv = true, []string{"sh", "-c", "exec 2>&1\n" + script}
	l.start(p)
	return l.logged("n")
}

func TestConfinement(t *testing.T) {
	boxes(t, func(l *lab) {
		script := "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\\n\\t' '  '; echo; " +
			"echo 1 > /proc/sys/kernel/panic || echo refused; ls /sys/firmware | wc -l; touch /sys/x || true; mount -t tmpfs x /mnt || true; dd if=/dev/vda of=/dev/null count=1 2>&1 | tail -1"
		// 0xa80425fb are Docker's 14.
		for user, caps := range map[string]string{"": "00000000a80425fb", "nobody": "0000000000000000"} {
			got := l.run(kernel.Process{User: user}, script)
			want := "CapEff: " + caps + " CapBnd: 00000000a80425fb NoNewPrivs: 1 Seccomp: 2 \n"
			if !strings.HasPrefix(got, want) {
				l.Errorf("user %q: got %q, want %q", user, got, want)
			}
			for _, must := range []string{"refused\n0\n", "Read-only file system", "mount"} {
				if user == "" && !strings.Contains(got, must) {
					l.Errorf("got %q, which lacks %q", got, must)
				}
			}
		}
		got := l.run(kernel.Process{SecurityOpt: []string{"no-new-privileges:false", "seccomp=unconfined"}}, script)
		if want := "CapEff: 00000000a80425fb CapBnd: 00000000a80425fb NoNewPrivs: 0 Seccomp: 0 \n"; !strings.HasPrefix(got, want) {
			l.Errorf("unconfined: got %q, want %q", got, want)
		}
		own := testhost.Run(l, "grep", "CapBnd", "/proc/self/status")
		got = l.run(kernel.Process{Privileged: true}, script+"; ls /dev | grep -c '^loop'")
		if want := fmt.Sprintf("CapEff: %s CapBnd: %[1]s NoNewPrivs: 0 Seccomp: 0 \n", strings.Fields(own)[1]); !strings.HasPrefix(got, want) {
			l.Errorf("privileged: got %q, want %q", got, want)
		}
	})
}

// The second container of a supervisor gets the first one's compiled filter (crun), and so do commands in it.
func TestFilterIsReused(t *testing.T) {
	boxes(t, func(l *lab) {
		for _, node := range []string{"a", "b"} {
			l.start(kernel.Process{Node: node, Container: true, Argv: []string{"sleep", "1000"}})
			pid := l.state(node).PID
			if got := testhost.Run(l, "grep", "Seccomp:", fmt.Sprintf("/proc/%d/status", pid)); got != "Seccomp:\t2\n" {
				l.Errorf("%s: %q", node, got)
			}
			code, out, _ := l.exec(ExecRequest{Node: node, Argv: []string{"grep", "-E", "^(Seccomp|CapEff):", "/proc/self/status"}})
			if want := "CapEff:\t00000000a80425fb\nSeccomp:\t2\n"; code != 0 || out != want {
				l.Errorf("a command in %s: %d %q, want %q", node, code, out, want)
			}
			// A call that the profile forbids: unshare(2) of a user namespace.
			if code, out, stderr := l.exec(ExecRequest{Node: node, Argv: []string{"unshare", "-U", "true"}}); code == 0 {
				l.Errorf("unshare in %s worked: %q %q", node, out, stderr)
			}
		}
	})
}

func TestInit(t *testing.T) {
	boxes(t, func(l *lab) {
		got := l.run(kernel.Process{Init: true}, "echo $$; tr '\\0' ' ' < /proc/1/cmdline; echo; (sleep 0.05 & ) ; sleep 0.2; ps -e -o stat= | grep -c Z; exit 5")
		if want := "/run/topo-init topo-init sh -c"; !strings.Contains(got, want) || !strings.HasSuffix(got, "\n0\n") {
			l.Errorf("got %q", got)
		}
		if s := l.state("n"); s.ExitCode != 5 {
			l.Errorf("state %+v", s)
		}
		// Signals are passed on: sleep, which as PID 1 would ignore TERM, ends.
		l.start(kernel.Process{Container: true, Init: true, StopGrace: time.Minute, Argv: []string{"sleep", "1000"}})
		begin := time.Now()
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		if d := time.Since(begin); d > 10*time.Second {
			l.Errorf("stopping took %v", d)
		}
		p := l.complete(kernel.Process{Container: true, Init: true, Argv: []string{"no-such-program"}})
		l.do(kernel.ProcessStart{Process: p})
		if got := l.logged("n"); !strings.Contains(got, "no-such-program") || l.state("n").ExitCode != 127 {
			l.Errorf("printed %q, state %+v", got, l.state("n"))
		}
	})
}
