package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// shortFile needs everything that a machine can be short of. Its lines are counted below.
const shortFile = `name: lab
bridges:
  app: {subnet: [10.20.0.0/24, "fd20::/64"]}
namespaces:
  r: {bridges: [app], sysctls: {net.ipv4.ip_forward: "1"}}
containers:
  web:
    bridges: [app]
    ports: ["8080:80"]
    command: [sleep, inf]
    stop_signal: SIGKILL
`

// without makes PATH one that has all programs of this one but those.
func without(t *testing.T, programs ...string) (undo func()) {
	t.Helper()
	dir := t.TempDir()
	before := os.Getenv("PATH")
	for _, folder := range filepath.SplitList(before) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			hidden := slices.ContainsFunc(programs, func(p string) bool { return e.Name() == p || strings.HasPrefix(e.Name(), p+"-") })
			if !hidden {
				_ = os.Symlink(filepath.Join(folder, e.Name()), filepath.Join(dir, e.Name())) // the first of a name counts
			}
		}
	}
	set := func(path string) {
		if err := os.Setenv("PATH", path); err != nil { // of this test's process alone
			t.Fatal(err)
		}
	}
	set(dir)
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			t.Fatalf("%s is still there", p)
		}
	}
	return func() { set(before) }
}

// readOnly makes a folder read-only.
func readOnly(t *testing.T, path string) (undo func()) {
	t.Helper()
	testhost.Run(t, "mount", "--bind", path, path)
	testhost.Run(t, "mount", "-o", "remount,bind,ro", path)
	if err := unix.Access(path, unix.W_OK); err == nil {
		t.Fatalf("%s can still be written", path)
	}
	return func() { testhost.Run(t, "umount", "-l", path) }
}

// hide puts nothing in the place of a folder.
func hide(t *testing.T, path string) (undo func()) {
	t.Helper()
	testhost.Run(t, "mount", "-t", "tmpfs", "tmpfs", path)
	return func() { testhost.Run(t, "umount", path) }
}

func noOverlay(t *testing.T) (undo func()) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "filesystems")
	if err := os.WriteFile(list, []byte("nodev\tproc\nnodev\ttmpfs\n\text4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	testhost.Run(t, "mount", "--bind", list, "/proc/filesystems")
	modules := func() {}
	if _, err := os.Stat("/lib/modules"); err == nil {
		modules = hide(t, "/lib/modules")
	}
	return func() {
		modules()
		testhost.Run(t, "umount", "/proc/filesystems")
	}
}

func noHostIPv6(t *testing.T) (undo func()) {
	t.Helper()
	testhost.Run(t, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")
	return func() { testhost.Run(t, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=0") }
}

func readOnlyGroups(t *testing.T) (undo func()) {
	t.Helper()
	mounts := strings.Fields(testhost.Run(t, "findmnt", "-rn", "-o", "TARGET", "-t", "cgroup,cgroup2"))
	if len(mounts) == 0 {
		t.Fatal("no control groups are mounted")
	}
	remount := func(how string) {
		for _, m := range mounts {
			testhost.Run(t, "mount", "-o", "remount,bind,"+how, m)
		}
	}
	remount("ro")
	return func() { remount("rw") }
}

// shortages are machines that are short of one thing: what topo says of it, and what it says is to be done.
var shortages = map[string]struct {
	take func(*testing.T) (undo func())
	want []string
}{
	"iptables": {
		func(t *testing.T) func() { return without(t, "iptables", "ip6tables") },
		[]string{"/topo.yaml:3:3: chain/ipv4/", " needs iptables, ", "iptables-save: not installed", "sudo apt-get install iptables"},
	},
	"ip6tables": {
		func(t *testing.T) func() { return without(t, "ip6tables") },
		[]string{"/topo.yaml:3:3: chain/ipv6/", " needs ip6tables, ", "ip6tables-save: not installed", "sudo apt-get install iptables"},
	},
	"overlay": {
		noOverlay,
		[]string{"/topo.yaml:10:", ": process/web needs overlay, ", "sudo modprobe overlay"},
	},
	"runtime": {
		func(t *testing.T) func() { return without(t, "crun", "runc") },
		[]string{"/topo.yaml:10:", ": process/web needs OCI runtime, and no crun and no runc in PATH", "sudo apt-get install crun"},
	},
	"control groups": {
		readOnlyGroups,
		[]string{"/topo.yaml:10:", ": process/web needs /sys/fs/cgroup, ", "read-only file system", "remount,rw /sys/fs/cgroup"},
	},
	"IPv6": {
		func(t *testing.T) func() { return hide(t, "/proc/sys/net/ipv6") },
		[]string{"/topo.yaml:3:", ": address/", "fd20::1/64 needs IPv6, ", "ipv6.disable=1"},
	},
	"IPv6 of the host's": {
		noHostIPv6,
		[]string{"/topo.yaml:3:", ": address/", "fd20::1/64 needs IPv6 of the host's, ", "disable_ipv6=0"},
	},
	"run": {
		func(t *testing.T) func() { return readOnly(t, "/run") },
		[]string{"/topo.yaml:3:3: ", " needs /run/topo, ", "read-only file system", "mount -o remount,rw /run"},
	},
	"var": {
		func(t *testing.T) func() { return readOnly(t, "/var/lib") },
		[]string{"/topo.yaml:10:", " needs /var/lib/topo, ", "read-only file system", "remount,rw /var"},
	},
	"etc": {
		func(t *testing.T) func() { return readOnly(t, "/etc") },
		[]string{"/topo.yaml:5:3: hosts/r needs /etc/netns, ", "read-only file system", "/etc/netns writable"},
	},
	"sysctls": {
		func(t *testing.T) func() { return readOnly(t, "/proc/sys") },
		[]string{"/topo.yaml:3:3: ", " needs /proc/sys/net, ", "read-only file system", "remount,rw /proc/sys"},
	},
	"root": {
		nil, // see setpriv below
		[]string{"reading the kernel: operation not permitted", "CAP_NET_ADMIN and CAP_SYS_ADMIN"},
	},
}

// On a machine that is short of something plan and up say what, for which line of the file, and what to do; up changes nothing.
func TestShort(t *testing.T) {
	for name, c := range shortages {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			file := writeFile(t, shortFile)
			topo := topo
			if c.take == nil {
				topo = asRootWithout(t, "net_admin")
			} else {
				defer c.take(t)()
			}
			before := testhost.Machine(t)
			for _, verb := range []string{"plan", "up"} {
				code, said := topo(verb, "-f", file)
				if code != exitError {
					t.Errorf("%s ends with %d:\n%s", verb, code, said)
				}
				for _, want := range c.want {
					if !strings.Contains(said, want) {
						t.Errorf("%s says nothing of %q:\n%s", verb, want, said)
					}
				}
				if after := testhost.Machine(t); after != before {
					t.Errorf("%s changed the machine: \n%s", verb, cmp.Diff(before, after))
				}
			}
		})
	}
}

// Of a topology that is up, down says the same, and changes nothing; or it does without what is missing. In the end nothing is left.
func TestShortDown(t *testing.T) {
	for name, does := range map[string]bool{
		"iptables": false, "run": false, "var": false, "etc": false, "sysctls": false,
		"runtime": true, "overlay": true, "IPv6 of the host's": true,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			file, c := writeFile(t, shortFile), shortages[name]
			before := testhost.Machine(t)
			must(t, "up", "-f", file)
			undo := c.take(t)
			if does {
				must(t, "down", "-f", file)
				undo()
			} else {
				isUp := settled(t)
				hint := c.want[len(c.want)-1]
				if code, said := topo("down", "-f", file); code != exitError || !strings.Contains(said, hint) {
					t.Errorf("down ends with %d, and says nothing of %q:\n%s", code, hint, said)
				}
				if after := testhost.Machine(t); after != isUp {
					t.Errorf("down changed the machine: \n%s", cmp.Diff(isUp, after))
				}
				undo()
				must(t, "down", "-f", file)
			}
			if after := testhost.Machine(t); after != before {
				t.Errorf("something is left: \n%s", cmp.Diff(before, after))
			}
		})
	}
}

// What a file doesn't need need not be there: namespaces and cables are had on a machine that is short of all that containers, rules and
// addresses of IPv6 take.
func TestShortOfWhatIsNotNeeded(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	file := writeFile(t, "name: lab\nnamespaces: {a: {}, b: {}}\nlinks: [[a:x, b:y]]\n")
	before := testhost.Machine(t)
	undo := []func(){without(t, "iptables", "ip6tables", "crun", "runc"), noOverlay(t), noHostIPv6(t), readOnlyGroups(t), readOnly(t, "/var/lib")}
	must(t, "up", "-f", file)
	testhost.Run(t, "ip", "-n", "lab-a", "link", "show", "x")
	must(t, "down", "-f", file)
	for i := range undo {
		undo[len(undo)-1-i]()
	}
	if after := testhost.Machine(t); after != before {
		t.Errorf("something is left: \n%s", cmp.Diff(before, after))
	}
}

// settled is the machine once the kernel is through with addresses and bridges.
func settled(t *testing.T) (machine string) {
	t.Helper()
	testhost.Poll(t, func() error {
		machine = testhost.Machine(t)
		for _, passing := range []string{"tentative", "NO-CARRIER"} {
			if strings.Contains(machine, passing) {
				return errors.New("something is still " + passing)
			}
		}
		return nil
	})
	return machine
}

// All that can be missing has a line in docs/requirements.md, and a way out.
func TestEveryNeedIsWrittenDown(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/requirements.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, need := range kernel.Needs {
		if !strings.Contains(string(doc), "| `"+string(need)+"` |") {
			t.Errorf("%s is not in the table", need)
		}
		if ways[need] == "" {
			t.Errorf("%s has no way out", need)
		}
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "topo.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// topo runs it in this process; said is what it printed on stderr.
func topo(args ...string) (code int, said string) {
	var out, err strings.Builder
	code = run(append([]string{"topo"}, args...), strings.NewReader(""), &out, &err)
	return code, err.String()
}

func must(t *testing.T, args ...string) {
	t.Helper()
	if code, said := topo(args...); code != exitDone {
		t.Fatalf("topo %v ends with %d:\n%s", args, code, said)
	}
}

// asRootWithout runs topo as a root that lacks a capability.
func asRootWithout(t *testing.T, capability string) func(args ...string) (int, string) {
	t.Helper()
	program := topoProgram(t)
	return func(args ...string) (int, string) {
		cmd := exec.Command("setpriv", append([]string{"--bounding-set=-" + capability, "--inh-caps=-" + capability, program}, args...)...)
		var said strings.Builder
		cmd.Stderr = &said
		err := cmd.Run()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), said.String()
	}
}
