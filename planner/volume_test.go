package planner_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const volumesYAML = `
name: p
volumes:
  data: {labels: {tier: db}}
  logs:
containers:
  db:
    network_mode: none
    volumes: [data:/data, /cache]
  reader:
    network_mode: none
    volumes_from: [db:ro]
`

// on is a lab with a file that is up.
func on(t *testing.T, yaml string) *lab {
	t.Helper()
	l := &lab{t: t, m: fake.New()}
	l.load(yaml)
	l.up()
	return l
}

func (l *lab) volumes() []string {
	l.t.Helper()
	s, err := l.m.Snapshot(context.Background(), kernel.Query{})
	if err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, v := range s.Volumes {
		names = append(names, v.Name)
	}
	return names
}

// The plan has every step that a change of the file, or of the machine, makes necessary, and no other.
func TestVolumesChange(t *testing.T) {
	for name, c := range map[string]struct {
		replace []string // in the file
		foreign []kernel.Op
		want    []string
		only    bool // volumes matter: much else changes with a node's name
	}{
		"other labels": {
			replace: []string{"tier: db", "tier: cache"},
			want:    []string{"~ volume/data label tier db → cache edited"},
		},
		"the volume left the file": {
			replace: []string{"  logs:\n", ""},
		},
		"the node was renamed": {
			replace: []string{"  db:\n", "  store:\n", "[db:ro]", "[store:ro]"},
			want:    []string{"+ volume/store:/cache p_store_4f7cfe6fcd42 missing"},
			only:    true,
		},
		"another name on the machine": {
			replace: []string{"logs:", "logs: {name: other}"},
			want:    []string{"+ volume/logs other missing"},
		},
		"one more mount": {
			replace: []string{"[data:/data, /cache]", "[data:/data, /cache, logs:/logs]"},
			want: []string{
				"± process/db volume /logs none → volume p_logs edited; can't be changed in a running process",
				"± process/reader volume /logs none → volume p_logs ro nocopy from db edited; can't be changed in a running process",
			},
		},
		"nobody's volume was removed by hand": {
			foreign: []kernel.Op{kernel.VolumeDelete{Name: "p_logs", Project: "p"}},
			want:    []string{"+ volume/logs p_logs missing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := on(t, volumesYAML)
			before := l.volumes()
			if err := l.m.Foreign(c.foreign...); err != nil {
				t.Fatal(err)
			}
			if c.replace != nil {
				l.load(strings.NewReplacer(c.replace...).Replace(volumesYAML))
			}
			got := lines(l.plan())
			if c.only {
				got = slices.DeleteFunc(got, func(s string) bool { return !strings.Contains(s, "volume/") })
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			l.up()
			for _, v := range before {
				if !slices.Contains(l.volumes(), v) {
					t.Errorf("volume %s is lost", v)
				}
			}
		})
	}
}

// A volume that is gone is made anew, and so are the processes that have the old one.
func TestVolumeMissingBelowItsProcesses(t *testing.T) {
	l := on(t, volumesYAML)
	l.m.LoseVolume("p_data")
	want := []string{"+ volume/data p_data missing", "± process/db sleep infinity volume/data is replaced", "± process/reader sleep infinity volume/data is replaced"}
	if diff := cmp.Diff(want, lines(l.plan())); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
}

func (l *lab) downPlan(volumes bool) (*planner.Plan, error) {
	l.t.Helper()
	l.top = nil
	o := l.options()
	o.Volumes = volumes
	return planner.Build(o)
}

func (l *lab) run(p *planner.Plan) {
	l.t.Helper()
	if err := executor.Run(context.Background(), p, l.m, executor.Options{}).Err(); err != nil {
		l.t.Fatal(err)
	}
}

func TestDownKeepsVolumesAndDownVolumesRemovesThem(t *testing.T) {
	l := on(t, volumesYAML)
	l.m.PutVolume(kernel.Volume{Name: "q_data", Project: "q"})
	l.m.PutVolume(kernel.Volume{Name: "data", Project: "p"}) // of a file that called it so; "volume/data" is p_data
	p, err := l.downPlan(false)
	if err != nil {
		t.Fatal(err)
	}
	if text := p.Text(planner.TextOptions{}); strings.Contains(text, "volume") {
		t.Errorf("down:\n%s", text)
	}
	l.run(p)
	all := []string{"data", "p_data", "p_db_4f7cfe6fcd42", "p_logs", "q_data"}
	if diff := cmp.Diff(all, l.volumes()); diff != "" {
		t.Errorf("volumes after down (-want +got):\n%s", diff)
	}

	l.load(volumesYAML)
	l.up()
	if diff := cmp.Diff(all, l.volumes()); diff != "" {
		t.Errorf("volumes after up again (-want +got):\n%s", diff)
	}
	if p, err = l.downPlan(true); err != nil {
		t.Fatal(err)
	}
	var removed []string
	for _, line := range lines(p) {
		if strings.Contains(line, " volume/") {
			removed = append(removed, line)
		}
	}
	slices.Sort(removed)
	want := []string{
		"- volume//p_data not in the file", "- volume/data not in the file", "- volume/db:/cache not in the file", "- volume/logs not in the file",
	}
	if diff := cmp.Diff(want, removed); diff != "" {
		t.Errorf("down -v (-want +got):\n%s", diff)
	}
	l.run(p)
	if diff := cmp.Diff([]string{"q_data"}, l.volumes()); diff != "" {
		t.Errorf("volumes after down -v (-want +got):\n%s", diff)
	}
}

func TestVolumeConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		there []kernel.Volume
		yaml  string
		want  string
	}{
		"of another project":   {[]kernel.Volume{{Name: "p_data", Project: "q"}}, "", "volume p_data: belongs to project q"},
		"nobody's":             {[]kernel.Volume{{Name: "p_data"}}, "", "volume p_data: exists and is not topo's"},
		"external and missing": {nil, "external: true", "external volume data: there is no such volume on this machine"},
		"external, no volume":  {[]kernel.Volume{{Name: "data"}}, "external: true", "external volume data: there is no such volume on this machine"},
		"external":             {[]kernel.Volume{{Name: "data", Project: "q"}}, "external: true", ""},
		"external by name":     {[]kernel.Volume{{Name: "q_x", Project: "q"}}, "external: true, name: q_x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			for _, v := range c.there {
				l.m.PutVolume(v)
			}
			l.load("name: p\nvolumes: {data: {" + c.yaml + "}}\ncontainers: {a: {network_mode: none, volumes: [data:/d]}}\n")
			_, err := planner.Build(l.options())
			var conflict *planner.ConflictError
			switch {
			case c.want == "" && err != nil, c.want != "" && !errors.As(err, &conflict):
				t.Fatalf("error %v, want %q", err, c.want)
			case c.want != "" && conflict.Error() != c.want:
				t.Errorf("error %q, want %q", conflict, c.want)
			case c.want == "":
				l.up()
				if p, err := l.downPlan(true); err != nil || strings.Contains(p.Text(planner.TextOptions{}), "volume") {
					t.Errorf("down -v removes what is external: %v", err)
				}
			}
		})
	}
}

// A project's volumes stay while another project has one of them.
func TestVolumesThatOthersUseAreNotRemoved(t *testing.T) {
	l := on(t, volumesYAML)
	err := l.m.Foreign(kernel.SupervisorStart{Project: "q"}, kernel.ProcessStart{Process: kernel.Process{
		Project: "q", Node: "guest", Argv: []string{"sleep"}, Mounts: []kernel.Mount{{Kind: kernel.VolumeMount, Source: "p_data", Target: "/d"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.downPlan(true); err == nil || err.Error() != "volume p_data: guest of project q has it mounted" {
		t.Errorf("down -v: %v", err)
	}
	if _, err := l.downPlan(false); err != nil {
		t.Errorf("down: %v", err)
	}
}

// A crash at any step, and a failure of any, loses no volume, and up goes on from there.
func TestNoVolumeIsLost(t *testing.T) {
	for step := range 40 {
		for _, fails := range []bool{false, true} {
			l := on(t, volumesYAML)
			before := l.volumes()
			l.load(strings.NewReplacer("  db:\n", "  store:\n", "[db:ro]", "[store:ro]", "  logs:\n", "  logs: {name: journal}\n  more:\n").Replace(volumesYAML))
			p := l.plan()
			if fails {
				l.m.Fail(step+1, errors.New("no space left"))
			} else {
				l.m.Crash(step, true)
			}
			err := executor.Run(context.Background(), p, l.m, executor.Options{}).Err()
			l.m.Restart()
			if err == nil && step == 0 {
				t.Fatal("nothing went wrong")
			}
			l.up()
			after := map[string]bool{}
			for _, v := range l.volumes() {
				after[v] = true
			}
			for _, v := range append(before, "journal", "p_more") {
				if !after[v] {
					t.Errorf("step %d: volume %s is lost; there are %v", step, v, slices.Sorted(maps.Keys(after)))
				}
			}
		}
	}
}

// Which volumes an image has isn't known before it is there: who has them from its node is replaced with it, and nobody else.
func TestHandedOnFromAnotherImage(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.m.Publish("db", "sha256:1")
	l.load(`
name: p
containers:
  db: {network_mode: none, image: db, pull_policy: always, command: [serve]}
  reader: {network_mode: none, volumes_from: [db:ro]}
  second: {network_mode: none, volumes_from: [reader]}
  other: {network_mode: none}
`)
	l.up()
	l.m.Publish("db", "sha256:2")
	const edited = "edited; can't be changed in a running process"
	got := lines(l.plan())
	want := []string{
		"~ image/db digest sha256:1 → sha256:2 edited",
		"± process/db image id config of sha256:1 → that to be pulled " + edited,
		"± process/reader volumes_from db ro config of sha256:1 → db ro an image to be pulled " + edited,
		"± process/second volumes_from reader config of sha256:1 → reader an image to be pulled " + edited,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
	if left := lines(l.plan()); len(left) > 0 {
		t.Errorf("left to do: %q", left)
	}
}
