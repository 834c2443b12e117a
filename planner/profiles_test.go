package planner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/planner"
	"topo/spec"
)

// Named, an entry with a scale loses what is beyond it; a node that the file does not have stays.
func TestANamedEntryIsScaledDown(t *testing.T) {
	const yaml = `
name: p
bridges: {app: {subnet: 10.1.0.0/24}}
containers:
  web: {scale: 3, bridges: [app]}
  web-x: {bridges: [app]}
`
	l := &lab{t: t, m: fake.New()}
	l.choose(yaml)
	l.up()
	l.choose(strings.Replace(strings.Replace(yaml, "scale: 3", "scale: 1", 1), "  web-x: {bridges: [app]}\n", "", 1))
	o := l.options()
	o.Nodes = []string{"web-1", "web"}
	p, err := planner.Build(o)
	if err != nil {
		t.Fatal(err)
	}
	removed := map[string]bool{}
	for _, line := range lines(p) {
		if id, ok := strings.CutPrefix(line, "- netns/"); ok {
			node, _, _ := strings.Cut(id, " ")
			removed[node] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{"web-2": true, "web-3": true}, removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

// choose is load with active profiles.
func (l *lab) choose(yaml string, profiles ...string) {
	l.t.Helper()
	top, err := spec.Load([]spec.Source{{Name: "p.yaml", Data: []byte(yaml)}}, spec.Options{Dir: "/p", Profiles: profiles})
	if err != nil {
		l.t.Fatal(err)
	}
	l.top = top
}

// What there is of a profile that is no longer active is removed, and the plan says why.
func TestAProfileThatIsNoLongerActive(t *testing.T) {
	const yaml = `
name: p
bridges: {app: {subnet: 10.1.0.0/24}}
containers:
  debug: {scale: 2, profiles: [debug], bridges: [app], ports: ["80"]}
namespaces:
  red: {bridges: [app]}
  switch: {}
links:
  - [switch:p1, red:up1]
`
	without := &lab{t: t, m: fake.New()}
	without.choose(yaml)
	without.up()

	l := &lab{t: t, m: fake.New()}
	l.choose(yaml, "debug")
	l.up()
	l.choose(yaml)
	removed := 0
	for _, line := range lines(l.plan()) {
		if !strings.Contains(line, "/debug-") {
			continue
		}
		removed++
		if !strings.HasPrefix(line, "- ") || !strings.HasSuffix(line, " its profile is not active") {
			t.Error(line)
		}
	}
	if removed < 10 {
		t.Errorf("the plan:\n%s", strings.Join(lines(l.plan()), "\n"))
	}
	l.up()
	for _, line := range strings.Split(l.m.String(), "\n") {
		if strings.Contains(line, "debug") {
			t.Errorf("left: %s", line)
		}
	}
	if rest := lines(l.plan()); len(rest) > 0 {
		t.Errorf("left to do: %q", rest)
	}
}

// More of a node leave those alone that there are, fewer end the last ones.
func TestScaleTouchesOnlyTheLast(t *testing.T) {
	const yaml = `
name: p
bridges: {app: {subnet: 10.1.0.0/24}}
containers:
  web: {scale: 2, bridges: [app], ports: ["8000-8009:80"]}
  other: {bridges: [app]}
`
	l := &lab{t: t, m: fake.New()}
	l.choose(yaml)
	l.up()
	two := l.m.String()
	only := func(action, node string) {
		t.Helper()
		plan := lines(l.plan())
		if len(plan) < 5 {
			t.Errorf("the plan has but %q", plan)
		}
		for _, line := range plan {
			if !strings.HasPrefix(line, "~ hosts/") && (!strings.HasPrefix(line, action) || !strings.Contains(line, "/"+node)) {
				t.Errorf("besides %s: %s", node, line)
			}
		}
	}
	l.choose(strings.Replace(yaml, "scale: 2", "scale: 3", 1))
	only("+ ", "web-3")
	l.up()
	l.choose(yaml)
	only("- ", "web-3")
	l.up()
	if got := l.m.String(); got != two {
		t.Errorf("the machine:\n%s\nwant:\n%s", got, two)
	}
}
