package linux

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestHeldByOther(t *testing.T) {
	t.Parallel()
	const locks = `1: POSIX  ADVISORY  WRITE 100 00:2a:7 0 EOF
2: FLOCK  ADVISORY  WRITE 200 00:2a:8 0 EOF
2: -> FLOCK  ADVISORY  WRITE 300 00:2a:9 0 EOF
3: FLOCK  ADVISORY  WRITE 400 00:2b:10 0 EOF
`
	for file, want := range map[string]bool{
		"00:2a:7": false, "00:2a:8": true, "00:2a:9": false, "00:2b:10": false, "00:2a:80": false,
	} {
		if got := heldByOther(locks, file, 400); got != want {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
}

// What Remains says of a project follows what there is of it, and all is gone after RemoveState.
func TestRemains(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	before := testhost.Machine(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "topo.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := func(when string, r kernel.Remains) {
		t.Helper()
		all, err := Remains()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]kernel.Remains{"p": r}, all); diff != "" {
			t.Fatalf("%s: (-want +got)\n%s", when, diff)
		}
	}
	unlock, err := LockProject(t.Context(), "p", Wait{})
	if err != nil {
		t.Fatal(err)
	}
	want("a lock of our own", kernel.Remains{Project: "p"})
	if err := WriteSource("p", []string{file}); err != nil {
		t.Fatal(err)
	}
	want("up", kernel.Remains{Project: "p", State: true, Files: []string{file}})
	if err := os.MkdirAll(filepath.Join(kernel.KeyDir, "p"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteSource("p", []string{file}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(runDir, "projects")); err != nil {
		t.Fatal(err)
	}
	want("after a reboot, with a key", kernel.Remains{Project: "p", Files: []string{file}})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("without its file", kernel.Remains{Project: "p", Files: []string{file}, Gone: []string{file}})
	h := &Host{}
	if err := h.keepRecord(kernel.SysctlRecord{SysctlKey: kernel.SysctlKey{Netns: "p-a", Key: "net.ipv4.ip_forward"}, Project: "p"}); err != nil {
		t.Fatal(err)
	}
	if err := RemoveState("p"); err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if after := testhost.Machine(t); after != before {
		t.Errorf("something is left:\nbefore:\n%s\nafter:\n%s", before, after)
	}
}
