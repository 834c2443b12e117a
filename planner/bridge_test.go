package planner_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

const switchYAML = `
name: p
bridges:
  sw: {subnet: none, stp: true, forward_delay: 4s}
namespaces:
  a: {bridges: {sw: {port: {isolated: true, cost: 50}, host_interface: a0}}}
  b: {bridges: {sw: {host_interface: b0}}}
`

// The plan has what an edit of a bridge or a port, or somebody else's, makes necessary, and no other; up takes them all.
func TestBridgePlans(t *testing.T) {
	testEdits(t, switchYAML, func(t *testing.T) *lab { return on(t, switchYAML) }, map[string]edit{
		"a priority": {
			replace: []string{"stp: true", "stp: true, priority: 4096"},
			want:    []string{"~ bridge/sw priority 32768 → 4096 edited"},
			ops:     []string{"ip link set p-sw type bridge priority 4096"},
		},
		"times": {
			replace: []string{"stp: true", "stp: true, hello_time: 1s, max_age: 10s, ageing_time: 0s"},
			want:    []string{"~ bridge/sw hello_time 2s → 1s, max_age 20s → 10s, ageing_time 5m0s → 0s edited"},
			ops:     []string{"ip link set p-sw type bridge hello_time 100 max_age 1000 ageing_time 0"},
		},
		"no spanning tree": {
			replace: []string{"stp: true", "stp: false"},
			want:    []string{"~ bridge/sw stp on → off edited"},
			ops:     []string{"ip link set p-sw type bridge stp_state 0 ageing_time 30000"},
		},
		"no snooping": {
			replace: []string{"stp: true", "stp: true, mcast_snooping: false"},
			want:    []string{"~ bridge/sw mcast_snooping on → off edited"},
			ops:     []string{"ip link set p-sw type bridge mcast_snooping 0"},
		},
		"what a port had": {
			replace: []string{"isolated: true, cost: 50", "learning: false, flood: false, mcast_flood: false, bcast_flood: false, priority: 0"},
			want: []string{"~ port/a:eth0 isolated on → off, learning on → off, flood on → off, mcast_flood on → off, bcast_flood on → off, " +
				"priority 32 → 0, cost 50 → 2 edited"},
			ops: []string{"bridge link set dev a0 isolated off learning off flood off mcast_flood off bcast_flood off cost 2 priority 0"},
		},
		"by hand": {
			foreign: []kernel.Op{kernel.PortSet{Name: "b0", Hairpin: ptr(true)}},
			want:    []string{"~ port/b:eth0 hairpin on → off changed outside topo"},
		},
		"a port that was off the bridge": {
			foreign: []kernel.Op{kernel.LinkSet{Name: "a0", Master: ptr("")}},
			want:    []string{"~ port/a:eth0 bridge none → p-sw, isolated off → on, cost 2 → 50 changed outside topo"},
			ops:     []string{"ip link set a0 master p-sw", "bridge link set dev a0 isolated on cost 50"},
		},
	})
}

// The times of a bridge that is not the root are the root's, and the ageing time of one whose tree changes is another: the kernel
// shows nothing else, and they are no difference.
func TestBridgeThatFollows(t *testing.T) {
	l := on(t, switchYAML)
	o := l.options()
	sw := bridgeOf(o.Snapshot, "p-sw")
	sw.ForwardDelay, sw.HelloTime, sw.MaxAge, sw.AgeingTime = 20*time.Second, time.Second, 40*time.Second, 40*time.Second
	plan := func() []string {
		p, err := planner.Build(o)
		if err != nil {
			t.Fatal(err)
		}
		return lines(p)
	}
	if got := plan(); len(got) != 1 {
		t.Fatalf("the root's own times: %q", got)
	}
	sw.Follows, sw.Changing = true, true
	if got := plan(); len(got) > 0 {
		t.Errorf("somebody else's times: %q", got)
	}
	sw.Changing = false
	if diff := cmp.Diff([]string{"~ bridge/sw ageing_time 40s → 5m0s changed outside topo"}, plan()); diff != "" {
		t.Error(diff)
	}
}

func bridgeOf(s kernel.Snapshot, name string) *kernel.BridgeAttrs {
	for _, l := range s.Host.Links {
		if l.Name == name {
			return l.Bridge
		}
	}
	return nil
}

func TestKernelWithoutSnooping(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load("name: p\nbridges: {sw: {subnet: none, mcast_snooping: true}}\n")
	o := l.options()
	o.Snapshot.Lacking = []string{"BRIDGE_IGMP_SNOOPING"}
	_, err := planner.Build(o)
	var mistakes spec.Errors
	if !errors.As(err, &mistakes) || err.Error() != "p.yaml:2:11: this kernel can't do mcast_snooping: it was built without CONFIG_BRIDGE_IGMP_SNOOPING" {
		t.Error(err)
	}
}
