package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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
`

// without is a PATH that has all programs of this one but those.
func without(t *testing.T, programs ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			hidden := false
			for _, p := range programs {
				hidden = hidden || e.Name() == p || strings.HasPrefix(e.Name(), p+"-")
			}
			if !hidden {
				_ = os.Symlink(filepath.Join(folder, e.Name()), filepath.Join(dir, e.Name())) // the first of a name counts
			}
		}
	}
	if err := os.Setenv("PATH", dir); err != nil { // of this test's process alone
		t.Fatal(err)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			t.Fatalf("%s is still there", p)
		}
	}
}

// readOnly makes a folder read-only.
func readOnly(t *testing.T, path string) {
	t.Helper()
	testhost.Run(t, "mount", "--bind", path, path)
	testhost.Run(t, "mount", "-o", "remount,bind,ro", path)
	if err := unix.Access(path, unix.W_OK); err == nil {
		t.Fatalf("%s can still be written", path)
	}
}

// shortages are machines that are short of one thing: what topo says of it, and what it says is to be done.
var shortages = map[string]struct {
	take func(*testing.T)
	want []string
}{
	"iptables": {
		func(t *testing.T) { without(t, "iptables", "ip6tables") },
		[]string{"/topo.yaml:3:3: chain/ipv4/", " needs iptables, ", "iptables-save: not installed", "sudo apt-get install iptables"},
	},
	"ip6tables": {
		func(t *testing.T) { without(t, "ip6tables") },
		[]string{"/topo.yaml:3:3: chain/ipv6/", " needs ip6tables, ", "ip6tables-save: not installed", "sudo apt-get install iptables"},
	},
	"overlay": {
		func(t *testing.T) {
			list := filepath.Join(t.TempDir(), "filesystems")
			if err := os.WriteFile(list, []byte("nodev\tproc\nnodev\ttmpfs\n\text4\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			testhost.Run(t, "mount", "--bind", list, "/proc/filesystems")
			if _, err := os.Stat("/lib/modules"); err == nil {
				testhost.Run(t, "mount", "-t", "tmpfs", "tmpfs", "/lib/modules")
			}
		},
		[]string{"/topo.yaml:10:", ": process/web needs overlay, ", "sudo modprobe overlay"},
	},
	"runtime": {
		func(t *testing.T) { without(t, "crun", "runc") },
		[]string{"/topo.yaml:10:", ": process/web needs OCI runtime, and no crun and no runc in PATH", "sudo apt-get install crun"},
	},
	"control groups": {
		func(t *testing.T) { readOnlyGroups(t) },
		[]string{"/topo.yaml:10:", ": process/web needs /sys/fs/cgroup, ", "read-only file system", "remount,rw /sys/fs/cgroup"},
	},
	"IPv6": {
		func(t *testing.T) { testhost.Run(t, "mount", "-t", "tmpfs", "tmpfs", "/proc/sys/net/ipv6") },
		[]string{"/topo.yaml:3:", ": address/", "fd20::1/64 needs IPv6, ", "ipv6.disable=1"},
	},
	"IPv6 of the host's": {
		func(t *testing.T) { testhost.Run(t, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1") },
		[]string{"/topo.yaml:3:", ": address/", "fd20::1/64 needs IPv6 of the host's, ", "disable_ipv6=0"},
	},
	"run": {
		func(t *testing.T) { readOnly(t, "/run") },
		[]string{"/topo.yaml:3:3: ", " needs /run/topo, ", "read-only file system", "mount -o remount,rw /run"},
	},
	"var": {
		func(t *testing.T) { readOnly(t, "/var/lib") },
		[]string{"/topo.yaml:10:", " needs /var/lib/topo, ", "read-only file system", "remount,rw /var"},
	},
	"etc": {
		func(t *testing.T) { readOnly(t, "/etc") },
		[]string{"/topo.yaml:5:3: hosts/r needs /etc/netns, ", "read-only file system", "/etc/netns writable"},
	},
	"sysctls": {
		func(t *testing.T) { readOnly(t, "/proc/sys") },
		[]string{"/topo.yaml:3:3: ", " needs /proc/sys/net, ", "read-only file system", "remount,rw /proc/sys"},
	},
	"root": {
		nil, // see setpriv below
		[]string{"reading the kernel: operation not permitted", "CAP_NET_ADMIN and CAP_SYS_ADMIN"},
	},
}

func readOnlyGroups(t *testing.T) {
	t.Helper()
	mounts := strings.Fields(testhost.Run(t, "findmnt", "-rn", "-o", "TARGET", "-t", "cgroup,cgroup2"))
	if len(mounts) == 0 {
		t.Fatal("no control groups are mounted")
	}
	for _, m := range mounts {
		testhost.Run(t, "mount", "-o", "remount,bind,ro", m)
	}
}

// On a machine that is short of something plan and up say what, for which line of the file, and what to do; up changes nothing.
func TestShort(t *testing.T) {
	for name, c := range shortages {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			file := filepath.Join(t.TempDir(), "topo.yaml")
			if err := os.WriteFile(file, []byte(shortFile), 0o600); err != nil {
				t.Fatal(err)
			}
			topo := func(args ...string) (int, string) {
				var out, err strings.Builder
				code := run(append([]string{"topo"}, args...), strings.NewReader(""), &out, &err)
				return code, err.String()
			}
			if c.take == nil {
				topo = asRootWithout(t, "net_admin")
			} else {
				c.take(t)
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
					t.Errorf("%s changed the machine:\nbefore:\n%s\nafter:\n%s", verb, before, after)
				}
			}
		})
	}
}

// asRootWithout runs topo as a root that lacks a capability.
func asRootWithout(t *testing.T, capability string) func(args ...string) (int, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	topo := filepath.Join(t.TempDir(), "topo") // by this name the test binary is topo (testscript.Main)
	if err := os.Symlink(self, topo); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (int, string) {
		cmd := exec.Command("setpriv", append([]string{"--bounding-set=-" + capability, "--inh-caps=-" + capability, topo}, args...)...)
		var said strings.Builder
		cmd.Stderr = &said
		err := cmd.Run()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), said.String()
	}
}
