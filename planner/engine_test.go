package planner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const engineYAML = `
name: p
bridges:
  app: {subnet: 10.1.0.0/24}
volumes: {data: {}}
containers:
  web:
    runtime: crun
    image: redis
    bridges: [app]
    ports: ["8080:80"]
    volumes: ["data:/data"]
    mem_limit: 64m
    depends_on: [store]
  store: {image: redis, bridges: [app]}
`

// With an engine a plan is the same, but for where the image is.
func TestEnginesHaveTheSamePlan(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	for _, ref := range []string{"redis", kernel.EngineImages + "redis"} {
		l.m.Publish(ref, "sha256:1")
	}
	l.load(engineYAML)
	here := lines(l.plan())
	l.load(strings.Replace(engineYAML, "runtime: crun", "runtime: docker", 1))
	by := lines(l.plan())
	image := slices.Index(by, "+ image/docker-daemon:redis")
	if image < 0 {
		t.Fatalf("no image of the engine's: %q", by)
	}
	if diff := cmp.Diff(here, slices.Delete(by, image, image+1)); diff != "" {
		t.Errorf("-by topo +by an engine:\n%s", diff)
	}
	// To change who runs it replaces that one process.
	l.load(engineYAML)
	l.up()
	l.load(strings.Replace(engineYAML, "runtime: crun", "runtime: docker", 1))
	want := []string{
		"+ image/docker-daemon:redis missing",
		"± process/web image id config of sha256:1 → that to be pulled, runtime crun → docker edited; can't be changed in a running process",
	}
	if diff := cmp.Diff(want, lines(l.plan())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	l.up()
}

// A container of somebody else's that has our name is never touched; one that an earlier start of ours left makes room.
func TestForeignContainerInTheWay(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.m.Publish(kernel.EngineImages+"redis", "sha256:1")
	l.load("name: p\ncontainers:\n  web: {image: redis, runtime: docker}\n")
	names := planner.Query(l.top, "p").Containers
	if want := []string{"p-web", "p-web.sandbox"}; !slices.Equal(names, want) {
		t.Fatalf("looks for %q, want %q", names, want)
	}
	for _, name := range names {
		for holder, c := range map[string]struct {
			mark kernel.Mark
			want string
		}{
			"a person":        {want: "the engine has one that is not topo's"},
			"another project": {mark: kernel.Mark{Project: "q", ID: "process/x"}, want: "belongs to process/x of project q"},
			"this project":    {mark: kernel.Mark{Project: "p", ID: "process/web"}},
		} {
			o := l.options()
			o.Snapshot.Containers = []kernel.EngineContainer{{Name: name, Mark: c.mark}}
			_, err := planner.Build(o)
			var conflict planner.Conflicts
			switch {
			case c.want == "" && err == nil:
			case c.want == "" || !errors.As(err, &conflict) || len(conflict) != 1:
				t.Errorf("%s of %s: %v", name, holder, err)
			case !strings.Contains(conflict[0].Object, name) || !strings.Contains(conflict[0].Holder, c.want) || !strings.Contains(strings.Join(conflict[0].Ways, "\n"), "docker rm "+name):
				t.Errorf("%s of %s: %+v", name, holder, conflict[0])
			}
		}
	}
}
