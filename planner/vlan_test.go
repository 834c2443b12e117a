package planner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

const trunkYAML = `
name: p
bridges:
  sw: {subnet: none, vlan_filtering: true}
  flat: {subnet: none}
namespaces:
  a: {bridges: {sw: {vlan: 10, host_interface: a0}}}
  b: {bridges: {sw: {host_interface: b0}}}
  c: {bridges: {flat: {host_interface: c0}}}
links:
  - endpoints: [{node: sw, interface: up, vlan: {tagged: [10, 20-30]}}, {node: flat, interface: down}]
`

// The plan has what an edit of VLANs, or somebody else's, makes necessary, and no other; up takes them all.
func TestVLANPlans(t *testing.T) {
	testEdits(t, trunkYAML, func(t *testing.T) *lab { return on(t, trunkYAML) }, map[string]edit{
		"another one": {
			replace: []string{"vlan: 10,", "vlan: 20,"},
			want:    []string{"~ vlan/a:eth0 pvid 10 → 20, untagged 10 → 20 edited"},
			ops:     []string{"bridge vlan delete dev a0 vid 10", "bridge vlan add dev a0 vid 20 pvid untagged"},
		},
		"more and less on a trunk": {
			replace: []string{"[10, 20-30]", "[10, 15, 25-40]"},
			want:    []string{"~ vlan/sw:up tagged 10,20-30 → 10,15,25-40 edited"},
			ops:     []string{"bridge vlan delete dev up vid 20-24", "bridge vlan add dev up vid 15", "bridge vlan add dev up vid 31-40"},
		},
		"one that has none any more": {
			replace: []string{"vlan: 10, ", ""},
			want:    []string{"- vlan/a:eth0 not in the file"},
			ops:     []string{"bridge vlan delete dev a0 vid 10", "bridge vlan add dev a0 vid 1 pvid untagged"},
		},
		"one that had none": {
			replace: []string{"{host_interface: b0}", "{host_interface: b0, vlan: {pvid: 10, untagged: [10, 11]}}"},
			want:    []string{"+ vlan/b:eth0 pvid 10 untagged 10-11 missing"},
			ops:     []string{"bridge vlan delete dev b0 vid 1", "bridge vlan add dev b0 vid 10 pvid untagged", "bridge vlan add dev b0 vid 11 untagged"},
		},
		"none of the bridge itself": {
			replace: []string{"vlan_filtering: true}", "vlan_filtering: true, vlan: none}"},
			want:    []string{"+ vlan/sw none missing"},
			ops:     []string{"bridge vlan delete dev p-sw vid 1 self"},
		},
		"no filtering": {
			replace: []string{", vlan_filtering: true", "", "vlan: 10, ", "", ", vlan: {tagged: [10, 20-30]}", ""},
			want:    []string{"- vlan/sw:up not in the file", "- vlan/a:eth0 not in the file", "~ bridge/sw vlan_filtering on → off edited"},
		},
		"filtering where there was none": {
			replace: []string{"flat: {subnet: none}", "flat: {subnet: none, vlan_filtering: true}", "{host_interface: c0}", "{host_interface: c0, vlan: 5}"},
			want:    []string{"~ bridge/flat vlan_filtering off → on edited", "+ vlan/c:eth0 pvid 5 untagged 5 missing"},
		},
		"to another bridge": {
			replace: []string{"a: {bridges: {sw: {vlan: 10,", "a: {bridges: {flat: {"},
			want:    []string{"~ port/a:eth0 bridge p-sw → p-flat edited"},
		},
		"from another bridge": {
			replace: []string{"c: {bridges: {flat: {", "c: {bridges: {sw: {vlan: 10, "},
			want:    []string{"~ port/c:eth0 bridge p-flat → p-sw edited", "+ vlan/c:eth0 pvid 10 untagged 10 missing"},
		},
		"changed by hand": {
			foreign: []kernel.Op{kernel.VLANAdd{Link: "a0", VLAN: kernel.VLAN{First: 7, Last: 9}}},
			want:    []string{"~ vlan/a:eth0 tagged 7-9 → none changed outside topo"},
			ops:     []string{"bridge vlan delete dev a0 vid 7-9"},
		},
		"changed by hand where nothing is said": {
			foreign: []kernel.Op{kernel.VLANAdd{Link: "b0", VLAN: kernel.VLAN{First: 7, Last: 7}}},
			want:    []string{"- vlan/b:eth0 not in the file"},
		},
		"changed by hand where it is of no effect": {
			foreign: []kernel.Op{kernel.VLANAdd{Link: "c0", VLAN: kernel.VLAN{First: 7, Last: 7}}},
		},
		"changed by hand while nothing is filtered": {
			foreign: []kernel.Op{kernel.BridgeSet{Name: "p-sw", VLANFiltering: new(bool)}, kernel.VLANDelete{Link: "a0", First: 10, Last: 10}},
			want:    []string{"~ bridge/sw vlan_filtering off → on changed outside topo", "~ vlan/a:eth0 pvid none → 10, untagged none → 10 changed outside topo"},
		},
		"off the bridge": {
			foreign: []kernel.Op{kernel.LinkSet{Name: "a0", Master: new(string)}},
			want:    []string{"~ port/a:eth0 bridge none → p-sw changed outside topo", "+ vlan/a:eth0 pvid 10 untagged 10 missing"},
		},
	})
}

// The ports of somebody else's bridge start with what that bridge gives them.
func TestVLANsOnAnExternalBridge(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	filtering := true
	if err := l.m.Foreign(kernel.BridgeAdd{Name: "theirs"}, kernel.BridgeSet{Name: "theirs", VLANFiltering: &filtering}); err != nil {
		t.Fatal(err)
	}
	const yaml = "name: p\nbridges: {theirs: {external: true}}\nnamespaces: {a: {bridges: {theirs: {vlan: 1}}}, b: {bridges: [theirs]}}\n"
	l.load(yaml)
	l.up()
	if rest := lines(l.plan()); len(rest) > 0 {
		t.Errorf("left to do: %q", rest)
	}
	l.load(strings.Replace(yaml, "vlan: 1", "vlan: {tagged: 7}", 1))
	if diff := cmp.Diff([]string{"~ vlan/a:eth0 pvid 1 → none, untagged 1 → none, tagged none → 7 edited"}, lines(l.plan())); diff != "" {
		t.Error(diff)
	}
	l.up()
	if rest := lines(l.plan()); len(rest) > 0 {
		t.Errorf("left to do: %q", rest)
	}
}

// What the kernel was built without is a mistake of the plan, with the place in the file.
func TestKernelWithoutVLANFiltering(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(trunkYAML)
	o := l.options()
	o.Snapshot.Lacking = []string{"BRIDGE_VLAN_FILTERING"}
	_, err := planner.Build(o)
	var mistakes spec.Errors
	if !errors.As(err, &mistakes) {
		t.Fatal(err)
	}
	const want = "p.yaml:4:3: this kernel can't do vlan_filtering: it was built without CONFIG_BRIDGE_VLAN_FILTERING\n" +
		"p.yaml:7:28: this kernel can't do vlan: it was built without CONFIG_BRIDGE_VLAN_FILTERING\n" +
		"p.yaml:11:49: this kernel can't do vlan: it was built without CONFIG_BRIDGE_VLAN_FILTERING"
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
}
