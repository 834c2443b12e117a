package testhost

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Legacy makes "iptables" and its relatives those of iptables-legacy (the kernel's old tables), for
// this process and what it starts. It skips where they are not installed.
func Legacy(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, verb := range []string{"", "-save", "-restore"} {
			path, err := exec.LookPath(tool + "-legacy" + verb)
			if err != nil {
				t.Skipf("needs %s-legacy%s", tool, verb)
			}
			if err := os.Symlink(path, filepath.Join(dir, tool+verb)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Not t.Setenv: it refuses parallel tests, and here the process has only this test.
	before := os.Getenv("PATH")
	if err := os.Setenv("PATH", dir+":"+before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Setenv("PATH", before); err != nil {
			t.Error(err)
		}
	})
	if v := Run(t, "iptables", "-V"); !strings.Contains(v, "legacy") {
		t.Fatalf("iptables is %s", v)
	}
}
