package executor_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/internal/topogen"
	"topo/planner"
	"topo/spec"
)

// project is the name of all drawn files.
const project = "p"

// lab is a machine, and topo at work on it: the whole road of up and down, without the command line.
type lab struct {
	rapid.TB
	m       executor.Machine
	applied planner.Applied
	workers int
	query   kernel.Query // of the last run
	// volumesStay has down without -v.
	volumesStay bool
}

func newLab(t rapid.TB) (*lab, *fake.Machine) {
	m := fake.New()
	return &lab{TB: t, m: m, workers: 1}, m
}

// options is what a plan for a file, or for down (nil), depends on now.
func (l *lab) options(f *topogen.File, s *kernel.Snapshot) (planner.Options, kernel.Query, error) {
	l.Helper()
	var topology *spec.Topology
	if f != nil {
		var err error
		if topology, err = spec.Load([]spec.Source{{Name: "topo.yaml", Data: f.YAML()}}, spec.Options{Dir: "/"}); err != nil {
			l.Fatalf("%v\n%s", err, f.YAML())
		}
	}
	q := planner.Query(topology, project)
	if s == nil {
		read, err := l.m.Snapshot(context.Background(), q)
		if err != nil {
			return planner.Options{}, q, err
		}
		s = &read
	}
	if topology != nil {
		var err error
		if topology, err = planner.Allocate(topology, *s); err != nil {
			return planner.Options{}, q, err
		}
	}
	return planner.Options{Topology: topology, Project: project, Snapshot: *s, Applied: l.applied, Volumes: f == nil && !l.volumesStay}, q, nil
}

// plan makes a plan without carrying it out.
func (l *lab) plan(f *topogen.File) *planner.Plan {
	l.Helper()
	o, _, err := l.options(f, nil)
	if err == nil {
		var p *planner.Plan
		if p, err = planner.Build(o); err == nil {
			return p
		}
	}
	l.Fatalf("planning: %v\n%s", err, yaml(f))
	return nil
}

// run plans for a file, or for down, carries that out and verifies.
func (l *lab) run(f *topogen.File) (*planner.Plan, error) {
	l.Helper()
	o, q, err := l.options(f, nil)
	if err != nil {
		return nil, err
	}
	l.query = q
	p, err := planner.Build(o)
	if err != nil {
		return nil, err
	}
	r := executor.Run(context.Background(), p, l.m, executor.Options{Workers: l.workers})
	if err := r.Err(); err != nil {
		return p, err
	}
	replan := func(s kernel.Snapshot) (*planner.Plan, error) {
		o, _, err := l.options(f, &s)
		if err != nil {
			return nil, err
		}
		return planner.Build(o)
	}
	if err := executor.Verify(context.Background(), l.m, replan, q, 5*time.Second); err != nil {
		return p, err
	}
	l.applied = nil
	if f != nil {
		l.applied = p.Remember()
	}
	return p, nil
}

// up makes it so, or fails the test.
func (l *lab) up(f *topogen.File) *planner.Plan {
	l.Helper()
	p, err := l.run(f)
	if err != nil {
		l.Fatalf("up: %v\n%s\n%s", err, text(p), yaml(f))
	}
	return p
}

// down removes all, or fails the test.
func (l *lab) down() *planner.Plan {
	l.Helper()
	p, err := l.run(nil)
	if err != nil {
		l.Fatalf("down: %v\n%s", err, text(p))
	}
	return p
}

func yaml(f *topogen.File) []byte {
	if f == nil {
		return nil
	}
	return f.YAML()
}

func text(p *planner.Plan) string {
	if p == nil {
		return "no plan"
	}
	return p.Text(planner.TextOptions{Commands: true})
}

// same compares two texts of machines.
func (l *lab) same(what, got, want string) {
	l.Helper()
	if got != want {
		l.Fatalf("%s:\n%s", what, cmp.Diff(want, got))
	}
}

// equal compares machines that came to the same end on different ways. Left out is what tells of
// the way: a link that ever had a carrier keeps its link-local address, one that becomes a bridge's port its
// MAC address, a node's sysctl that is wanted as it is has no record, and the record of
// forwarding names the project's own links that stood when it was made. A volume outlives what had
// it. Rules of a project's own chains stand in the order in which they were added; none overlaps another with another verdict.
func (l *lab) equal(what, got, want string) {
	l.Helper()
	l.same(what, withoutHistory(got), withoutHistory(want))
}

// portMAC is the MAC address in the line of a bridge's port: nobody states it.
var portMAC = regexp.MustCompile(`^(  link .*) address \S+( .* master )`)

func withoutHistory(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return ofOwnForwarding(line) || strings.HasPrefix(line, "record p: p-") || strings.HasPrefix(line, "volume ") || strings.HasPrefix(line, "fe80:") || strings.HasPrefix(line, "route fe80:")
	})
	for i, line := range lines {
		lines[i] = portMAC.ReplaceAllString(line, "$1$2")
	}
	return sortedOwnChains(lines)
}

// ofOwnForwarding: the line is of the record of forwarding, and about a link of the project's.
func ofOwnForwarding(line string) bool {
	rest, ok := strings.CutPrefix(line, "record forwarding ")
	return ok && !slices.Contains([]string{"all", "default", "lo", "eth0"}, strings.Split(rest, "/")[3])
}

// sortedOwnChains joins lines, those of each of a project's own chains sorted.
func sortedOwnChains(lines []string) string {
	for i := 0; i < len(lines); {
		chain := ownChain(lines[i])
		end := i + 1
		for chain != "" && end < len(lines) && ownChain(lines[end]) == chain {
			end++
		}
		if chain != "" {
			slices.Sort(lines[i:end])
		}
		i = end
	}
	return strings.Join(lines, "\n")
}

// ownChain is the chain of a line that is a rule of a project's own chain ("TOPO-A-f50c43ef"), or "".
func ownChain(line string) string {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "-A" || strings.Count(words[1], "-") != 2 {
		return ""
	}
	return words[1]
}

// isCrash: an error that is nothing but the crash that was asked for.
func isCrash(err error) bool { return errors.Is(err, fake.ErrCrashed) }
