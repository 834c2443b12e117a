package planner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

const limitedYAML = `
name: p
containers:
  box:
    network_mode: none
    command: [serve]
    mem_limit: 64m
    cpus: 0.5
    ulimits: {nofile: 100}
`

// TestLimitsChangeInPlace: a limit is changed in the running process, everything else by another one.
func TestLimitsChangeInPlace(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"raised", "64m", "1g", "~ process/box  mem_limit 64MiB → 1GiB  edited"},
		{"not round", "64m", "10000001", "~ process/box  mem_limit 64MiB → 10000001  edited"},
		{"taken back", "    cpus: 0.5\n", "", "~ process/box  cpus 0.5 → none  edited"},
		{"put on", "cpus: 0.5", "cpus: 1.25\n    pids_limit: 10", "~ process/box  cpus 0.5 → 1.25, pids_limit none → 10  edited"},
		{"with another change", "64m\n", "1g\n    user: nobody\n", "± process/box  user none → nobody, mem_limit 64MiB → 1GiB  edited; can't be changed in a running process"},
		{"of each process", "nofile: 100", "nofile: 200", "± process/box  ulimit nofile 100 to 100 → 200 to 200  edited; can't be changed in a running process"},
		{"capabilities", "cpus", "cap_drop: [ALL]\n    cap_add: [chown]\n    cpus", "± process/box  cap_add none → CAP_CHOWN, cap_drop none → ALL  edited; can't be changed in a running process"},
		{"tmpfs", "cpus", "tmpfs: /t\n    cpus", "± process/box  tmpfs /t none → defaults  edited; can't be changed in a running process"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.load(limitedYAML)
			l.up()
			l.load(strings.Replace(limitedYAML, c.from, c.to, 1))
			p := l.plan()
			_, got, _ := strings.Cut(p.Text(planner.TextOptions{}), "\n\n")
			if diff := cmp.Diff("  "+c.want+"\n", got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			l.up()
			if p := l.plan(); !p.Empty() {
				t.Errorf("a second plan is not empty:\n%s", p.Text(planner.TextOptions{}))
			}
		})
	}
}

// One that died is started again, with the limits that hold now.
func TestLimitsOfEnded(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(limitedYAML)
	l.up()
	l.m.Exit("p", "box", 3)
	l.load(strings.Replace(limitedYAML, "64m", "1g", 1))
	got := l.plan().Text(planner.TextOptions{Commands: true})
	for _, want := range []string{"~ process/box", "# limit box", "# start box again"} {
		if !strings.Contains(got, want) {
			t.Errorf("the plan lacks %q:\n%s", want, got)
		}
	}
	l.up()
	if p := l.plan(); !p.Empty() {
		t.Errorf("a second plan is not empty:\n%s", p.Text(planner.TextOptions{}))
	}
}

// TestUnconfinable: what the machine can't do is said before anything is done, all at once, each where it stands.
func TestUnconfinable(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(`
name: p
containers:
  box:
    mem_limit: 64m
    cpus: 1
    pids_limit: 50
    ulimits: {nofile: 4096, nproc: -1, core: {soft: 5, hard: 10}}
    cap_add: [SYS_TIME, ALL, chown]
`)
	o := l.options()
	for _, c := range []struct {
		host *kernel.Confinement
		want string
	}{
		{nil, ""},
		{&kernel.Confinement{Controllers: []string{"cpu", "memory", "pids"}, Capabilities: []string{"CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_SYS_TIME"}, HardLimits: map[string]int64{"nofile": 4096}}, ""},
		{&kernel.Confinement{Controllers: []string{"cpu"}, Capabilities: []string{"CAP_CHOWN", "CAP_SYS_RESOURCE"}, HardLimits: map[string]int64{"nofile": 4095}}, `
p.yaml:5:16: mem_limit of box can't be set here: containers have no cgroup controller memory
p.yaml:7:17: pids_limit of box can't be set here: containers have no cgroup controller pids
p.yaml:8:15: ulimit nofile of box can't be 4096 here: the most that topo can give is 4095, the kernel's fs.nr_open
p.yaml:9:15: cap_add CAP_SYS_TIME of box can't be given here: topo has not got it itself`},
		{&kernel.Confinement{Capabilities: []string{"CAP_CHOWN"}, HardLimits: map[string]int64{"nofile": -1, "nproc": 100, "core": 0}}, `
p.yaml:5:16: mem_limit of box can't be set here: containers have no cgroup controller memory
p.yaml:6:11: cpus of box can't be set here: containers have no cgroup controller cpu
p.yaml:7:17: pids_limit of box can't be set here: containers have no cgroup controller pids
p.yaml:8:40: ulimit core of box can't be 10 here: the most that topo can give is 0, its own hard limit, since it lacks the capability SYS_RESOURCE
p.yaml:8:29: ulimit nproc of box can't be unlimited here: the most that topo can give is 100, its own hard limit, since it lacks the capability SYS_RESOURCE
p.yaml:9:15: cap_add CAP_SYS_TIME of box can't be given here: topo has not got it itself`},
	} {
		o.Snapshot.Confinement = c.host
		_, err := planner.Build(o)
		got := ""
		if err != nil {
			got = "\n" + err.Error()
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestNoUserns: a machine that can't give a container a user namespace of its own says so, and why, before anything is done.
func TestNoUserns(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.m.Publish("redis", "sha256:1")
	l.load(`
name: p
volumes: {data: {}}
containers:
  view: {userns_mode: private}
  folder: {userns_mode: private, rootfs: /srv/root}
  keeper: {userns_mode: private, rootfs: /srv/other, volumes: ["data:/data"]}
  image: {userns_mode: private, image: redis}
  without: {userns_mode: host, volumes: ["data:/data"]}
`)
	o := l.options()
	if got, want := o.Topology.Nodes, 5; len(got) != want {
		t.Fatalf("%d nodes", len(got))
	}
	query := planner.Query(o.Topology, "p")
	if diff := cmp.Diff([]string{"/", "/srv/root", "/srv/other", kernel.DataFolder, kernel.DataFolder}, query.Mapped); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		no         string
		unmappable map[string]string
		want       string
	}{
		{"", nil, ""},
		{"too old", nil, `
p.yaml:5:23: userns_mode private of view can't be had here: too old
p.yaml:6:25: userns_mode private of folder can't be had here: too old
p.yaml:7:25: userns_mode private of keeper can't be had here: too old
p.yaml:8:24: userns_mode private of image can't be had here: too old`},
		{"", map[string]string{"/": "/ is NFS", kernel.DataFolder: "/var is NFS"}, `
p.yaml:5:23: userns_mode private of view can't be had here: / is NFS
p.yaml:7:25: userns_mode private of keeper can't be had here: /var is NFS
p.yaml:8:24: userns_mode private of image can't be had here: /var is NFS`},
		{"", map[string]string{"/srv/root": "it is NFS"}, `
p.yaml:6:25: userns_mode private of folder can't be had here: it is NFS`},
	} {
		o.Snapshot.Confinement, o.Snapshot.Unmappable = &kernel.Confinement{NoUserns: c.no}, c.unmappable
		_, err := planner.Build(o)
		got := ""
		if err != nil {
			got = "\n" + err.Error()
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
