package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"topo/internal/container"
	"topo/internal/testhost"
)

var update = flag.Bool("update", false, "rewrite goldens and docs/reference/commands.md")

// TestMain makes "topo" a command of the scripts, which is this test binary. It is also what
// topo starts again as a supervisor.
func TestMain(m *testing.M) {
	if handled, code := container.Reexec(); handled {
		os.Exit(code)
	}
	if handled, code := reexec(); handled {
		os.Exit(code)
	}
	// The first process of a test's machine only starts the test; it ends without
	// cleaning up, and would leave testscript's folder.
	if os.Getpid() == 1 && os.Getenv("TOPO_TESTHOST") != "" {
		os.Exit(m.Run())
	}
	testscript.Main(m, map[string]func(){"topo": main})
}

// TestOffline runs the stories that touch no machine.
func TestOffline(t *testing.T) {
	t.Parallel()
	testscript.Run(t, parameters(t, stories(t, "offline")...))
}

// TestHost runs the stories that change a machine, each on one of its own.
func TestHost(t *testing.T) {
	for _, file := range stories(t, "host") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			before := testhost.Machine(t)
			testscript.Run(t, parameters(t, file))
			if after := testhost.Machine(t); after != before {
				t.Errorf("something is left on the machine:\nbefore:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func stories(t *testing.T, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "script", kind, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories in %s: %v", kind, err)
	}
	return files
}

func parameters(t *testing.T, files ...string) testscript.Params {
	t.Helper()
	return testscript.Params{
		Files:               files,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":        exits,
			"eventually":   eventually,
			"unprivileged": unprivileged,
		},
	}
}
