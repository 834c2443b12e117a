package reliability_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// TestPlantedLinks: wherever topo is to make a file, or a folder that isn't its own, a symbolic link is there before, to somebody
// else's. Nothing is written through it and nothing of it is removed, whether up is refused or not. (docs/security.md)
func TestPlantedLinks(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "processes")
	h.must("up")
	places := map[string]fs.FileMode{}
	for _, top := range []string{"/run/topo", "/var/lib/topo", "/etc/netns"} {
		maps.Copy(places, modes(t, top))
	}
	h.must("down", "-v")
	maps.DeleteFunc(places, func(path string, mode fs.FileMode) bool {
		// Its own folders root may put elsewhere. Records of what was before say what down does: a link there is another record.
		own := strings.HasPrefix(path, "/run/topo") || strings.HasPrefix(path, "/var/lib/topo")
		return path == "/etc/netns" || programs(path) || own && (mode.IsDir() || strings.HasPrefix(path, "/run/topo/records/"))
	})
	paths := slices.Sorted(maps.Keys(places))
	if len(paths) < 20 {
		t.Fatalf("topo made %d files and folders only", len(paths))
	}
	if !*whole {
		h.random.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
		paths = paths[:8]
	}
	refused := 0
	for _, path := range paths {
		refused += h.plant(path, places[path].IsDir())
	}
	t.Logf("figure: planted links: %d places of files and folders, %d refused, 0 written through", len(paths), refused)
}

// plant makes a link at a path, and has the topology brought up and taken down.
func (h *host) plant(path string, dir bool) (refused int) {
	h.Helper()
	somebodys := h.TempDir()
	target := filepath.Join(somebodys, "target")
	testhost.Run(h.T, "sh", "-c", "cd "+somebodys+"; if "+map[bool]string{true: "true", false: "false"}[dir]+"; then mkdir -m 755 target; echo theirs > target/own; else echo theirs > target; fi; touch -d 2001-02-03 target")
	list := func() string {
		h.Helper()
		return testhost.Run(h.T, "sh", "-c", "cd "+somebodys+"; find . -printf '%P %M %u %TY%Tm%Td %s\n' -type f -exec cat {} + | sort")
	}
	before := list()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.Fatal(err)
	}
	_ = os.Remove(path) // one that outlives down
	if err := os.Symlink(target, path); err != nil {
		h.Fatal(err)
	}
	said, code := h.topo("up")
	if code != 0 {
		refused = 1
	}
	if after := list(); after != before {
		h.Errorf("a link at %s: up, which ended with %d, made of\n%s\nthis:\n%s\n%s", path, code, before, after, said)
	}
	if said, code := h.topo("down", "-v"); code != 0 {
		h.Logf("down ended with %d:\n%s", code, said)
	}
	if after := list(); after != before {
		h.Errorf("a link at %s: down made of\n%s\nthis:\n%s", path, before, after)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if err := os.Remove(path); err != nil {
			h.Error(err)
		}
	}
	h.must("down", "-v")
	for folder := filepath.Dir(path); folder != "/run" && folder != "/var/lib/topo" && folder != "/etc"; folder = filepath.Dir(folder) {
		if os.Remove(folder) != nil {
			break
		}
	}
	if diff := h.residue(); diff != "" {
		h.Fatalf("a link at %s: left behind:\n%s", path, diff)
	}
	return refused
}
