package planner

import (
	"strings"
	"testing"

	"topo/internal/kernel"
)

func TestALargeTopologyIsWarnedOfTheNeighbourTable(t *testing.T) {
	for nodes, want := range map[int]int{100: 0, 600: 1} {
		s := kernel.Snapshot{Neighbours: 1024}
		a, err := Allocate(load(t, star(nodes)), s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Build(Options{Topology: a, Project: "star", Snapshot: s})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Warnings) != want {
			t.Errorf("%d nodes: %q", nodes, p.Warnings)
		}
		for _, w := range p.Warnings {
			if !strings.Contains(w, "1200 entries") || !strings.Contains(w, "which has 1024") {
				t.Errorf("%q", w)
			}
		}
	}
}
