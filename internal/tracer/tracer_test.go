package tracer_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// shell traces a shell's script, and gives what it changed.
func shell(t *testing.T, script string, act func(tracer.Call) tracer.Action) (tracer.Result, []string) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	r, err := tracer.Run(t.Context(), tracer.Program{Args: []string{sh, "-c", script}}, func(c tracer.Call) tracer.Action {
		if !c.After {
			calls = append(calls, c.By+": "+c.What)
		}
		return act(c)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, calls
}

func pass(tracer.Call) tracer.Action { return tracer.Continue }

func TestSeesWhatChanges(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Run(t, "ip", "netns", "add", "n")
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"a link":       {"exec ip link add br0 type bridge", []string{`ip: netlink host: new link "br0"`}},
		"an address":   {"exec ip address add 10.0.0.1/24 dev lo", []string{"ip: netlink host: new address 10.0.0.1/24"}},
		"a namespace":  {"exec ip netns add m", []string{"ip: make a network namespace", "ip: mount /run/netns/m"}},
		"a link in it": {"exec ip -n n link add br1 type bridge", []string{`ip: netlink n: new link "br1"`}},
		"a rule":       {"exec iptables-nft -A FORWARD -j ACCEPT", []string{"netlink host: nftables"}},
		"an old rule":  {"exec iptables-legacy -A FORWARD -j ACCEPT", []string{"iptables filter"}},
		"a sysctl":     {"echo 1 > /proc/sys/net/ipv4/ip_forward", []string{"sh: write /proc/sys/net/ipv4/ip_forward 1"}},
		"a file":       {"echo hello > /run/a; exec mv /run/a /run/b", []string{"sh: create /run/a", "sh: write /run/a", "mv: rename to /run/b"}},
		// 8 hexadecimal digits are a random name, 5 that are decimal are a process ID: a name can begin with what could be one.
		"a random name": {"mkdir -p /run/web-01234f0d/x", []string{"mkdir: make folder /run/web…/x"}},
		"a process":     {"ip link show lo; true", []string{"sh: start a process", "sh: execute /"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, calls := shell(t, c.script, pass)
			for _, want := range c.want {
				if !slices.ContainsFunc(calls, func(call string) bool { return strings.Contains(call, want) }) {
					t.Errorf("%q is not among %q", want, calls)
				}
			}
		})
	}
}

// What only reads changes nothing but the processes that do it.
func TestSeesNoChangeInReading(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	_, calls := shell(t, "ip address; ip route; ip rule; bridge vlan; ls -l /run; cat /etc/hosts; iptables-nft-save", pass)
	calls = slices.DeleteFunc(calls, func(c string) bool {
		return strings.HasSuffix(c, "start a process") || strings.Contains(c, ": execute ")
	})
	if len(calls) > 0 {
		t.Errorf("these read only: %q", calls)
	}
}

func TestFails(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	r, _ := shell(t, "exec ip link add br0 type bridge", func(c tracer.Call) tracer.Action {
		if strings.Contains(c.What, "new link") && !c.After {
			return tracer.Fail(unix.ENOBUFS)
		}
		if strings.Contains(c.What, "new link") && c.Err != unix.ENOBUFS {
			t.Errorf("it ended with %v", c.Err)
		}
		return tracer.Continue
	})
	if r.Code == 0 || !strings.Contains(r.Output, unix.ENOBUFS.Error()[1:]) {
		t.Errorf("it ended with %d: %s", r.Code, r.Output)
	}
	if out := testhost.Run(t, "ip", "link"); strings.Contains(out, "br0") {
		t.Errorf("the link was made:\n%s", out)
	}
}

func TestKills(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	for name, c := range map[string]struct {
		after bool
		made  bool
	}{"before": {false, false}, "after": {true, true}} {
		t.Run(name, func(t *testing.T) {
			file := "/run/" + name
			r, _ := shell(t, "exec mkdir "+file, func(call tracer.Call) tracer.Action {
				if strings.HasPrefix(call.What, "make folder") && call.After == c.after {
					return tracer.Kill
				}
				return tracer.Continue
			})
			if r.Signal != unix.SIGKILL {
				t.Errorf("it ended with %+v", r)
			}
			if _, err := os.Stat(file); (err == nil) != c.made {
				t.Errorf("the folder: %v", err)
			}
		})
	}
}

// What a program leaves running goes on untraced.
func TestLetsGo(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	_, _ = shell(t, "(sleep 0.2; echo done > /run/later) & exit 0", pass)
	testhost.Poll(t, func() error {
		_, err := os.ReadFile("/run/later")
		return err
	})
}
