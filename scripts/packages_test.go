// Package scripts_test runs the scripts of this folder on machines of their own.
package scripts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

const policy = "/usr/sbin/policy-rc.d"

// install runs install-packages with an apt-get of the test's, which asks the policy as packages do, and
// ends with the given code. It returns what the policy said during it.
func install(t *testing.T, code string) (said string, err error) {
	t.Helper()
	dir := t.TempDir()
	answer := filepath.Join(dir, "answer")
	for name, text := range map[string]string{
		"dpkg-query": "#!/bin/sh\nexit 1\n", // nothing is installed
		"apt-get": "#!/bin/sh\nfor word; do [ \"$word\" != update ] || exit 0; done\n" +
			policy + " redis-server start; echo $? > " + answer + "\nexit " + code + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err = testhost.Try(t, "env", "PATH="+dir+":"+os.Getenv("PATH"), "./install-packages", "redis-server")
	text, readErr := os.ReadFile(answer)
	if readErr != nil {
		t.Fatalf("apt-get did not run: %v, %v", readErr, err)
	}
	return strings.TrimSpace(string(text)), err
}

// No service is started while packages are installed, and the machine's own policy is afterwards what it was.
func TestInstallStartsNothing(t *testing.T) {
	allow, deny := "#!/bin/sh\nexit 0\n", "#!/bin/sh\n# the machine's own\nexit 101\n"
	for _, c := range []struct{ name, before, code string }{
		{"no policy", "", "0"},
		{"no policy, apt fails", "", "100"},
		{"a policy that allows", allow, "0"},
		{"a policy that allows, apt fails", allow, "100"},
		{"a policy that denies", deny, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			ownFolder(t, "/usr/sbin")
			if err := os.Remove(policy); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if c.before != "" {
				if err := os.WriteFile(policy, []byte(c.before), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			said, err := install(t, c.code)
			if said != "101" {
				t.Errorf("while packages were installed, the policy answered %s, not 101", said)
			}
			if (err != nil) != (c.code != "0") {
				t.Errorf("apt-get ended with %s, and install-packages with: %v", c.code, err)
			}
			after, err := os.ReadFile(policy)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if string(after) != c.before {
				t.Errorf("the policy was %q, and is %q", c.before, after)
			}
		})
	}
}

// ownFolder lays a copy of a folder over it that this machine alone writes to.
func ownFolder(t *testing.T, dir string) {
	t.Helper()
	scratch, err := os.MkdirTemp("/run", "overlay-")
	if err != nil {
		t.Fatal(err)
	}
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	for _, d := range []string{upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
		t.Fatal(err)
	}
}
