package reliability_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// TestNoTrace brings topologies up, changes them and takes them down. The machine is then what it was: that which
// testhost.Machine has of it, the control groups, and the files of all folders that programs write to.
func TestNoTrace(t *testing.T) { noTrace(t, false) }

// TestVMNoTrace is the same of what needs a kernel with everything.
func TestVMNoTrace(t *testing.T) { noTrace(t, true) }

func noTrace(t *testing.T, all bool) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	if all {
		testhost.Netem(t)
		testhost.VLANFiltering(t)
	}
	ownTmp(t)
	h := drawnHost(t)
	h.file = "/run/topo.yaml"
	// Control groups are of the real machine; by its name it is clear which are this test's.
	project := fmt.Sprintf("t%05d", h.random.IntN(100_000))
	files := 2
	if *whole {
		files = 200
	}
	var residue, groups int
	for range files {
		o := drawn(all)
		f := draw(h.random.Uint64()>>1, project, o)
		h.write(f)
		h.before = h.entire(project)
		h.must("up")
		groups += len(testhost.ControlGroups(t, "topo-"+project+"-"))
		if h.random.IntN(2) == 0 {
			f = alter(h.random.Uint64()>>1, f, o)
			h.write(f)
			h.must("up")
		}
		h.must("down", "-v")
		if diff := testhost.Await(h.before, func() []string { return h.entire(project) }); diff != "" {
			residue++
			t.Errorf("down leaves (-before +after):\n%s\n%s", diff, f.YAML())
		}
	}
	if *whole && groups == 0 {
		t.Error("no topology had a control group: the test sees none")
	}
	t.Logf("figure: no trace, %s: %d topologies up, changed and down, %d with residue (%d control groups in between)",
		map[bool]string{false: "plain kernel", true: "full kernel"}[all], files, residue, groups)
}

// ownTmp gives the test a /tmp of its own, with the topo that is tested; it is also its home.
func ownTmp(t *testing.T) {
	t.Helper()
	binary, err := os.ReadFile(os.Getenv(binaryVariable))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"); err != nil {
		t.Fatal(err)
	}
	const path = "/tmp/topo"
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{binaryVariable: path, "HOME": "/tmp"} {
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// entire is the machine with all that testhost.Machine leaves to others: it compares what a test may change, this what topo may.
func (h *host) entire(project string) []string {
	h.Helper()
	lines := h.machine()
	lines = append(lines, "== control groups")
	lines = append(lines, testhost.ControlGroups(h.T, "topo-"+project+"-")...)
	lines = append(lines, "== all files")
	lines = append(lines, written(h.T, "/etc", "/tmp", "/var/lib")...)
	return slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, " "+h.file+" ") }) // the test's own
}

// others are folders of the real machine in which programs that have nothing to do with a test may be at work.
var others = []string{"/var/lib/apt", "/var/lib/dpkg", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd"}

// written lists all files with what changes when they are written. The times of folders are not among it: in one of them
// something may have been for a while.
func written(t *testing.T, roots ...string) []string {
	t.Helper()
	var lines []string
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			if slices.Contains(others, path) {
				return filepath.SkipDir
			}
			info, err := d.Info()
			if os.IsNotExist(err) {
				return nil
			}
			if err != nil {
				return err
			}
			line := path + " " + info.Mode().String()
			if !d.IsDir() {
				line += fmt.Sprintf(" %d bytes %d", info.Size(), info.ModTime().UnixNano())
			}
			lines = append(lines, line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}
