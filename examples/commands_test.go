package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// The lines of plan --commands, typed by hand, make what topo makes: afterwards topo finds nothing to do.
// (Of the examples without processes: those are no matter of one line.)
func TestCommandsDoTheSame(t *testing.T) {
	for _, file := range []string{"veth-pair.yaml", "plain-switch.yaml", "red-blue.yaml", "allocation.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			l := &lab{T: t, file: file}
			out, _ := l.try("plan", "--json")
			var plan struct {
				Changes []struct {
					ID       string
					Commands []string
				}
			}
			if err := json.Unmarshal([]byte(out), &plan); err != nil {
				t.Fatalf("reading the plan: %v\n%s", err, out)
			}
			if len(plan.Changes) == 0 {
				t.Fatal("there is nothing to do on an empty machine")
			}
			script := "set -e\n"
			for _, c := range plan.Changes {
				script += "# " + c.ID + "\n" + strings.Join(c.Commands, "\n") + "\n"
			}
			path := filepath.Join(t.TempDir(), "by-hand.sh")
			if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := testhost.Try(t, "sh", "-x", path); err != nil {
				t.Fatalf("typing the lines: %v\n%s", err, out)
			}
			l.plans("typing the lines of the plan")
		})
	}
}
