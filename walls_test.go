// Package topo_test keeps the walls between the packages.
package topo_test

import (
	"maps"
	"os/exec"
	"strings"
	"testing"
)

// A wall forbids a package some imports, with the reason. A forbidden path that ends in "/..." covers what is below it.
type wall struct {
	pkg    string
	forbid map[string]string
}

// effects is what makes a package more than a function of values.
var effects = map[string]string{
	"github.com/vishvananda/netlink/...": "the kernel is read and edited in internal/linux alone",
	"github.com/vishvananda/netns/...":   "namespaces are entered in internal/linux and internal/container alone",
	"github.com/coreos/go-iptables/...":  "iptables runs in internal/linux alone",
	"github.com/containerd/go-runc/...":  "OCI runtimes run in internal/container alone",
	"github.com/moby/moby/...":           "engines are asked in internal/container/dockerapi alone",
	"topo/internal/linux/...":            "the pure half is tested without a kernel",
	"topo/internal/container/...":        "the pure half is tested without a runtime",
	"topo/internal/image/...":            "the pure half is tested without a store of images",
	"golang.org/x/sys/unix":              "no system calls",
	"os/exec":                            "no other programs",
	"log":                                "what happened is data; cmd/topo prints",
}

var walls = []wall{
	{"topo/spec", map[string]string{
		"topo/...": "the file's meaning depends on nothing else of topo",
	}},
	{"topo/internal/kernel", map[string]string{
		"topo/...": "the vocabulary is below everything",
	}},
	{"topo/planner", with(effects, map[string]string{
		"os":            "a plan depends on its input alone: no environment, no files",
		"topo/executor": "deciding and acting stay apart",
	})},
	{"topo/executor", effects},
	{"topo/internal/linux", map[string]string{
		"topo/planner":  "it does as it is told",
		"topo/executor": "it does as it is told",
		"topo/spec":     "it knows kernel objects, not files",
	}},
	{"topo/internal/container", map[string]string{
		"topo/planner":  "it does as it is told",
		"topo/executor": "it does as it is told",
		"topo/spec":     "it knows processes, not files",
	}},
	{"topo/internal/image", map[string]string{
		"topo/planner":            "it does as it is told",
		"topo/executor":           "it does as it is told",
		"topo/spec":               "it knows images, not files",
		"topo/internal/container": "it keeps files, and runs nothing",
		"os/exec":                 "it runs nothing",
	}},
	{"topo/internal/transfer", map[string]string{
		"topo/...": "it copies files, wherever they are from",
		"os/exec":  "it runs nothing",
	}},
	{"topo/cmd/topo", map[string]string{
		"github.com/vishvananda/netlink/...": "what it shows comes from the one reading of internal/linux",
		"github.com/vishvananda/netns/...":   "as above",
		"github.com/coreos/go-iptables/...":  "as above",
		"github.com/containerd/go-runc/...":  "processes are internal/container's",
		"topo/internal/fake":                 "for tests alone",
		"topo/internal/testhost":             "for tests alone",
		"topo/internal/topogen":              "for tests alone",
		"topo/internal/tracer":               "for tests alone",
	}},
}

func with(parts ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range parts {
		maps.Copy(all, m)
	}
	return all
}

// TestWalls looks at the imports of topo's own packages, on the whole way down from each: a forbidden import is
// found behind any number of packages of topo, but libraries may import what they need.
func TestWalls(t *testing.T) {
	imports := ownImports(t)
	for _, w := range walls {
		if _, ok := imports[w.pkg]; !ok {
			t.Errorf("%s does not exist, or go list did not find it", w.pkg)
			continue
		}
		// Package → how it was reached. A package with effects of its own ends the search below it.
		reached := map[string]string{w.pkg: w.pkg}
		for queue := []string{w.pkg}; len(queue) > 0; queue = queue[1:] {
			for _, to := range imports[queue[0]] {
				path := reached[queue[0]] + " → " + to
				if reason, ok := forbidden(w, to); ok {
					t.Errorf("%s: %s", path, reason)
					continue
				}
				// From cmd/topo everything is reached: there, only its own imports count.
				if _, seen := reached[to]; !seen && strings.HasPrefix(to, "topo/") && w.pkg != "topo/cmd/topo" {
					reached[to] = path
					queue = append(queue, to)
				}
			}
		}
	}
}

func forbidden(w wall, path string) (reason string, ok bool) {
	for pattern, reason := range w.forbid {
		below, wide := strings.CutSuffix(pattern, "/...")
		if path == below || wide && strings.HasPrefix(path, below+"/") {
			return reason, true
		}
	}
	return "", false
}

// ownImports are the imports of each package of this module, without those of its tests.
func ownImports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		imports[words[0]] = words[1:]
	}
	return imports
}

// A wall that forbids nothing real would hold for ever: each forbidden package of topo must exist.
func TestWallsAreReal(t *testing.T) {
	imports := ownImports(t)
	for _, w := range walls {
		for pattern := range w.forbid {
			path := strings.TrimSuffix(pattern, "/...")
			if !strings.HasPrefix(path, "topo/") {
				continue
			}
			if _, ok := imports[path]; !ok {
				t.Errorf("%s is forbidden to import %s, which does not exist", w.pkg, path)
			}
		}
	}
}
