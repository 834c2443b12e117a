package planner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

// FuzzPlan: what a file may say can be planned, and no word of it makes a line of its own in what is printed, in iptables or in a hosts
// file.
func FuzzPlan(f *testing.F) {
	for _, pattern := range []string{"../examples/*.yaml", "../spec/testdata/good/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		topology, err := spec.Load([]spec.Source{{Name: "f", Data: data}}, spec.Options{Dir: "/p"})
		if err != nil {
			return
		}
		allocated, err := planner.Allocate(topology, kernel.Snapshot{})
		if err != nil {
			return // more than there are addresses
		}
		p, err := planner.Build(planner.Options{Topology: allocated, Project: topology.Name})
		if err != nil {
			return // a limit of the machine
		}
		const title = 2 // and an empty line
		if text := p.Text(planner.TextOptions{}); !p.Empty() && strings.Count(text, "\n") != title+len(p.Changes) {
			t.Errorf("%d changes in\n%s", len(p.Changes), text)
		}
		for _, s := range p.Steps {
			for _, op := range s.Ops {
				switch op := op.(type) {
				case kernel.Iptables:
					if strings.ContainsAny(op.Args, "\n\r") {
						t.Errorf("a rule of several lines: %q", op.Args)
					}
				case kernel.FileWrite:
					if filepath.Dir(filepath.Dir(op.Path)) != "/etc/netns" || filepath.Clean(op.Path) != op.Path {
						t.Errorf("a file at %q", op.Path)
					}
					hostsLines(t, op.Content.String())
				}
			}
		}
	})
}

// hostsLines checks that each line of a hosts(5) or resolv.conf(5) file begins as one of topo's.
func hostsLines(t *testing.T, content string) {
	for line := range strings.Lines(content) {
		first, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if rest == "" && first != "" || strings.ContainsAny(line, "\r\x00") {
			t.Errorf("a line %q in\n%s", line, content)
		}
	}
}
