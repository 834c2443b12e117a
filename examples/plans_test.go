package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

// The whole plan of every example for an empty machine, with its commands, is kept as text: what
// topo plan --offline --commands prints.
func TestPlans(t *testing.T) {
	for _, file := range yamlFiles(t) {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml"), planText(t, file, data, true))
		})
	}
}

// planText is the plan of a file for an empty machine.
func planText(t *testing.T, name string, data []byte, commands bool) string {
	t.Helper()
	topology, err := spec.Load([]spec.Source{{Name: name, Data: data}}, spec.Options{
		Dir:      "/examples", // not where this checkout is: the plan names the folders of volumes
		ReadFile: os.ReadFile,
	})
	if err != nil {
		t.Fatal(err)
	}
	topology, err = planner.Allocate(topology, kernel.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planner.Build(planner.Options{Topology: topology, Project: topology.Name})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Text(planner.TextOptions{Commands: commands})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "plans", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the plan is another one (-want +got; go test ./examples -run TestPlans -update writes it anew):\n%s", diff)
	}
}
