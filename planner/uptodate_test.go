package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"topo/internal/fake"
	"topo/planner"
)

// BenchmarkUpToDate plans for a machine that has all that is wanted.
func BenchmarkUpToDate(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var file strings.Builder
			file.WriteString("name: p\nbridges: {sw: {}}\nnamespaces:\n")
			for i := range n {
				fmt.Fprintf(&file, "  n%d: {bridges: [sw]}\n", i)
			}
			l := &lab{t: b, m: fake.New()}
			l.load(file.String())
			l.up()
			o := l.options()
			for b.Loop() {
				p, err := planner.Build(o)
				if err != nil || !p.Empty() {
					b.Fatal(p, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/node")
		})
	}
}
