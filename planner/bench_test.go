package planner

import (
	"fmt"
	"strings"
	"testing"

	"topo/internal/kernel"
)

func star(n int) string {
	var b strings.Builder
	b.WriteString("name: star\nbridges: {sw: {names: false}}\nnamespaces:\n")
	for i := range n {
		fmt.Fprintf(&b, "  n%d: {bridges: [sw]}\n", i)
	}
	return b.String()
}

// BenchmarkBuild plans a first up: the cost per node must not grow with the number of nodes.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			top := load(b, star(n))
			for b.Loop() {
				a, err := Allocate(top, kernel.Snapshot{})
				if err != nil {
					b.Fatal(err)
				}
				p, err := Build(Options{Topology: a, Project: "star"})
				if err != nil || len(p.Changes) < 4*n {
					b.Fatal(err, len(p.Changes))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/node")
		})
	}
}
