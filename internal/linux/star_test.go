package linux

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func BenchmarkStar1000(b *testing.B) { benchmarkStar(b, 1000) }

func BenchmarkStar100(b *testing.B) { benchmarkStar(b, 100) }

// benchmarkStar makes and removes n nodes on one bridge, as the executor does: several calls of Do side by side.
func benchmarkStar(b *testing.B, n int) {
	if testhost.Outside(b) {
		return
	}
	h := open(b)
	var up, first, second, down time.Duration
	for b.Loop() {
		start := time.Now()
		do(b, h, bridge("br0")...)
		each(b, h, n, func(i int) []kernel.Op {
			return node(fmt.Sprintf("n%d", i), "br0", fmt.Sprintf("10.0.%d.%d/16", i/250, i%250+2), "10.0.0.1")
		})
		do(b, h, kernel.LinkSet{Name: "br0", Up: ptr(true)})
		settle(b, h)
		up += time.Since(start)

		fresh := open(b)
		start = time.Now()
		if s := snapshot(b, fresh); len(s.Netns) != n || len(s.Netns[0].Links) != 2 {
			b.Fatal("the nodes are not all there")
		}
		first += time.Since(start)
		start = time.Now()
		snapshot(b, fresh)
		second += time.Since(start)
		fresh.spaces.closeAll() // its sockets would keep the namespaces alive

		start = time.Now()
		each(b, h, n, func(i int) []kernel.Op {
			return []kernel.Op{kernel.NetnsDelete{Name: fmt.Sprintf("n%d", i)}}
		})
		do(b, h, kernel.LinkDelete{Name: "br0"})
		settle(b, h)
		down += time.Since(start)
	}
	for _, m := range []struct {
		d    time.Duration
		name string
	}{{up, "up"}, {first, "read"}, {second, "reread"}, {down, "down"}} {
		b.ReportMetric(m.d.Seconds()*1000/float64(b.N), m.name+"-ms")
	}
}

func each(b *testing.B, h *Host, n int, ops func(int) []kernel.Op) {
	b.Helper()
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(4)
	for i := range n {
		g.Go(func() error { return h.Do(ctx, ops(i)) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}
