package spec_test

import (
	"os"
	"path/filepath"
	"testing"

	"topo/spec"
)

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			topology, err := spec.Load([]spec.Source{{Name: name, Data: data}}, spec.Options{Dir: "/srv/lab"})
			if err != nil {
				t.Fatal(err)
			}
			if len(topology.Nodes) == 0 {
				t.Error("no nodes")
			}
		})
	}
}
