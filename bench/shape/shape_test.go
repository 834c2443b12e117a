package shape

import (
	"testing"

	"topo/spec"
)

// Each shape is a file that topo takes as it is meant.
func TestShapesAreFiles(t *testing.T) {
	for kind, want := range map[string]struct{ size, bridges, nodes, links int }{
		"star":    {300, 1, 300, 0},
		"wide":    {500, 10, 500, 0},
		"chain":   {70, 0, 70, 69},
		"mesh":    {12, 0, 12, 66},
		"fattree": {4, 0, 36, 48},
	} {
		t.Run(kind, func(t *testing.T) {
			s, err := Make(kind, want.size)
			if err != nil {
				t.Fatal(err)
			}
			topology, err := spec.Load([]spec.Source{{Name: "shape.yaml", Data: []byte(s.YAML("shape"))}}, spec.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if b, n, l := len(topology.Bridges), len(topology.Nodes), len(topology.Links); b != want.bridges || n != want.nodes || l != want.links {
				t.Errorf("%d bridges, %d nodes, %d links; want %+v", b, n, l, want)
			}
		})
	}
}

func TestNoShape(t *testing.T) {
	for kind, size := range map[string]int{"moon": 3, "star": 1, "fattree": 3, "wide": 15} {
		if _, err := Make(kind, size); err == nil {
			t.Errorf("there is a %s of %d", kind, size)
		}
	}
}
