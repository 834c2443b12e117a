package main

import (
	"strings"
	"testing"
	"time"
)

func TestPlot(t *testing.T) {
	up := func(nodes int, tool string, took time.Duration) sample {
		return sample{Work: work{"star", nodes}, Tool: tool, Verb: "up", Wall: took}
	}
	all := []sample{
		up(10, "floor", 20*time.Millisecond), up(10, "topo", 50*time.Millisecond),
		up(1000, "floor", time.Second), up(1000, "topo", 2*time.Second),
		{Work: work{"chain", 300}, Tool: "topo", Verb: "up", Wall: time.Hour},
	}
	var b strings.Builder
	if err := plot(&b, all); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{"<polyline": 2, "<circle": 4, ">topo<": 1, ">Podman<": 0, ">1000<": 1, ">100 ms<": 1, ">10 s<": 1, "</svg>": 1} {
		if got := strings.Count(b.String(), text); got != want {
			t.Errorf("%d times %s, want %d", got, text, want)
		}
	}
	if err := plot(&b, all[:2]); err == nil {
		t.Error("one star is drawn")
	}
}
