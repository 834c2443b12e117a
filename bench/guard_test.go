package main

import (
	"os"
	"path/filepath"
	"testing"

	"topo/internal/testhost"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "round" { // see onFreshHost
		main()
		return
	}
	os.Exit(m.Run())
}

// TestNoSlower holds topo to about twice the processor time that it takes beside the floor, which does the same work at the same time: what
// else the machine does falls on both. It is for what makes topo several times slower, such as something that grows with the square of
// the nodes. Containers are left out: this machine stands on file systems that theirs could not be laid over once more.
// docs/performance.md has what it takes on a quiet machine, and TestCostOfANode of internal/reliability counts exactly.
func TestNoSlower(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	bin := t.TempDir()
	if err := runAll([][]string{
		{"../scripts/build", bin},
		{"go", "build", "-o", bin + string(filepath.Separator), "./floor", "./decode", "./empty"},
	}); err != nil {
		t.Fatal(err)
	}
	const room = 20e6
	info, err := os.Stat(filepath.Join(bin, "topo"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("figure: topo has %.2f MB, of %.0f at most", float64(info.Size())/1e6, room/1e6)
	if info.Size() > room {
		t.Error("topo is too large")
	}
	most := map[string]map[string]float64{ // by work and verb
		"wide:200":  {"up": 3, "plan": 6, "again": 7, "repair": 3, "down": 4},
		"chain:200": {"up": 3, "plan": 8, "again": 9, "repair": 3},
		"mesh:16":   {"up": 4, "plan": 9, "again": 10, "repair": 3},
		"fattree:6": {"up": 3, "plan": 7, "again": 8, "repair": 3},
		"ports:300": {"up": 12, "repair": 12},
		"file:3000": {"validate": 5, "plan --offline": 12},
		"start:1":   {"start": 12},
	}
	for name, most := range most {
		w, err := parseWork(name)
		if err != nil {
			t.Fatal(err)
		}
		samples, err := measure([]work{w}, 3, bin, "")
		if err != nil {
			t.Fatal(err)
		}
		f, _ := sorted(samples)
		for _, c := range comparisons {
			limit, guarded := most[c.verb]
			mine, theirs := f[w]["topo"][c.verb], f[w][c.tool][c.base]
			if !guarded || !c.of(w) || len(mine) == 0 {
				continue
			}
			delete(most, c.verb)
			if ratio := median(ratios(mine, theirs, cpu)); ratio > limit {
				t.Errorf("%s: %s takes %.1f times the processor time of what it is held against, and %.0f at most", w, c.title, ratio, limit)
			} else {
				t.Logf("figure: %s: %s: %.1f times the processor time, of %.0f at most", w, c.title, ratio, limit)
			}
		}
		for verb := range most {
			t.Errorf("%s: there is no %s", w, verb)
		}
	}
}
