package executor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"topo/executor"
	"topo/internal/fake"
	"topo/planner"
	"topo/spec"
)

// imageLab brings files with images up on a strict machine.
type imageLab struct {
	*testing.T
	m       *fake.Machine
	applied planner.Applied
}

func (l *imageLab) plan(yaml string, nodes ...string) (*planner.Plan, planner.Options, error) {
	l.Helper()
	topology, err := spec.Load([]spec.Source{{Name: "t.yaml", Data: []byte("name: p\ncontainers:\n" + yaml)}}, spec.Options{Dir: "/"})
	if err != nil {
		l.Fatal(err)
	}
	s, err := l.m.Snapshot(l.Context(), planner.Query(topology, "p"))
	if err != nil {
		l.Fatal(err)
	}
	if topology, err = planner.Allocate(topology, s); err != nil {
		l.Fatal(err)
	}
	o := planner.Options{Topology: topology, Project: "p", Snapshot: s, Applied: l.applied, Nodes: nodes}
	p, err := planner.Build(o)
	return p, o, err
}

// up carries a plan out, which must leave nothing to do, and gives its lines about images and processes.
func (l *imageLab) up(yaml string, nodes ...string) []string {
	l.Helper()
	p, _, err := l.plan(yaml, nodes...)
	if err != nil {
		l.Fatal(err)
	}
	if err := executor.Run(context.Background(), p, l.m, executor.Options{Workers: 4}).Err(); err != nil {
		l.Fatal(err)
	}
	again, _, err := l.plan(yaml, nodes...)
	if err != nil || !again.Empty() {
		l.Errorf("after it, there is still %s%v", again.Text(planner.TextOptions{}), err)
	}
	l.applied = again.Remember()
	var lines []string
	for line := range strings.Lines(p.Text(planner.TextOptions{})) {
		if strings.Contains(line, "image/") || strings.Contains(line, "process/") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return lines
}

func (l *imageLab) want(lines []string, want ...string) {
	l.Helper()
	if got, want := strings.Join(lines, "\n"), strings.Join(want, "\n"); got != want {
		l.Errorf("plan:\n%s\nwant:\n%s", got, want)
	}
}

func TestImages(t *testing.T) {
	l := &imageLab{T: t, m: fake.New()}
	l.m.Publish("redis:7", "sha256:one")
	l.m.Publish("nginx", "sha256:nginx")
	const redis, always, both = "  a: {image: \"redis:7\", network_mode: none}\n",
		"  a: {image: \"redis:7\", network_mode: none, pull_policy: always}\n",
		"  a: {image: \"redis:7\", network_mode: none}\n  b: {image: \"redis:7\", network_mode: none}\n  c: {image: nginx, network_mode: none}\n"
	l.want(l.up(redis), "+ image/redis:7", "+ process/a redis:7")
	// Who shares an image pulls nothing; with NODE, other nodes' images are left alone.
	l.want(l.up(both, "b"), "+ process/b redis:7 missing")
	l.want(l.up(both), "+ image/nginx missing", "+ process/c nginx missing")
	l.want(l.up(redis), "- process/c not in the file", "- process/b not in the file")
	// Another image of that name is seen by those who look for one.
	l.m.Publish("redis:7", "sha256:two")
	l.want(l.up(redis))
	l.want(l.up(always),
		"~ image/redis:7 digest sha256:one → sha256:two edited",
		"± process/a image id config of sha256:one → that to be pulled edited; can't be changed in a running process")
	l.want(l.up(always))
	l.want(l.up("  a: {image: nginx, network_mode: none, command: [x]}\n"),
		"± process/a command none → x, image redis:7 → nginx, image id config of sha256:two → config of sha256:nginx, image's command on → off edited; can't be changed in a running process")
}

// One reference for two platforms is two images; one that is named goes beside the machine's own.
func TestImagesOfPlatforms(t *testing.T) {
	l := &imageLab{T: t, m: fake.New()}
	l.m.Publish("redis:7", "sha256:one")
	l.want(l.up("  a: {image: \"redis:7\", network_mode: none}\n"), "+ image/redis:7", "+ process/a redis:7")
	l.want(l.up("  a: {image: \"redis:7\", network_mode: none, platform: linux/amd64}\n"),
		"+ image/redis:7[linux/amd64] missing",
		"± process/a platform none → linux/amd64, image id config of sha256:one → that to be pulled edited; can't be changed in a running process")
	l.want(l.up("  a: {image: \"redis:7\", network_mode: none, platform: linux/amd64}\n"))
}

func TestImageIsNotThere(t *testing.T) {
	l := &imageLab{T: t, m: fake.New()}
	for yaml, want := range map[string]string{
		"  a: {image: absent, pull_policy: never}\n":    "t.yaml:3:14: image absent of a is not in the store, and pull_policy is never",
		"  a: {image: absent, platform: linux/s390x}\n": "t.yaml:3:32: platform linux/s390x of a: this machine is linux/amd64",
		"  a: {image: absent, pull_policy: always}\n":   "t.yaml:3:14: image absent of a: no such image",
	} {
		_, _, err := l.plan(yaml)
		var mistakes spec.Errors
		if !errors.As(err, &mistakes) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	p, _, err := l.plan("  a: {image: absent}\n")
	if err != nil {
		t.Fatal(err)
	}
	r := executor.Run(t.Context(), p, l.m, executor.Options{Workers: 4})
	var step *executor.StepError
	if err := r.Err(); !errors.As(err, &step) || !strings.Contains(err.Error(), "image/absent") {
		t.Errorf("error %v", err)
	}
	if s, err := l.m.Snapshot(t.Context(), planner.Query(nil, "p")); err != nil || len(s.Processes) != 0 {
		t.Errorf("processes without their image: %+v, %v", s.Processes, err)
	}
}
