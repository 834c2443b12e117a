package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"topo/internal/testhost"
)

// Four routers find their ways; an edit takes a link away, no process is touched, and traffic goes the other way.
func TestOSPF(t *testing.T) { testRing(t, "ospf.yaml") }

func TestBGP(t *testing.T) { testRing(t, "bgp.yaml") }

func testRing(t *testing.T, file string) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	if _, err := exec.LookPath("/usr/lib/frr/zebra"); err != nil {
		t.Skip("needs frr")
	}
	project := file[:len(file)-len(".yaml")]
	l := start(t, beside(t, file, "frr"))
	reaches := func(by string) {
		t.Helper()
		testhost.Poll(t, func() error {
			way, err := testhost.Try(t, "sh", "-c", "ip -n "+project+"-r1 route get 10.255.0.2 | grep 'dev "+by+"' && "+in(project+"-r1", "ping -c 1 -W 1 10.255.0.2"))
			if err != nil {
				return fmt.Errorf("r1 does not reach r2 by %s: %w\n%s", by, err, way)
			}
			return nil
		})
	}
	reaches("east")
	l.settled() // what a routing daemon adds is its own
	pid := l.pid("r2")
	l.edit("r2, interface: west, address", "r2, interface: west, up: false, address")
	l.plans("a link less", "~ link/r2:west")
	l.up()
	reaches("west")
	l.edit("up: false, ", "")
	l.up()
	reaches("east")
	if now := l.pid("r2"); now != pid {
		t.Errorf("r2's process is another one: %s, before %s", now, pid)
	}
	l.down()
}

// beside copies an example into a folder of its own, with a folder that it uses, where it can be edited.
func beside(t *testing.T, file, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, file)
	if err := os.WriteFile(copied, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return copied
}
