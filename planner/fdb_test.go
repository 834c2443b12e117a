package planner_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
)

const staticYAML = `
name: p
bridges:
  sw: {subnet: none, vlan_filtering: true}
  flat: {subnet: none}
namespaces:
  a: {bridges: {sw: {vlan: 10, port: {fdb: ["02:00:00:00:00:0a"]}, host_interface: a0}}}
  b: {bridges: {sw: {host_interface: b0}}}
  c: {bridges: {flat: {port: {fdb: ["02:00:00:00:00:0c"]}, host_interface: c0}}}
  d: {bridges: {flat: {host_interface: d0}}}
`

// An entry was deleted beside, not before, what takes its port out of the entry's VLAN: that the port is to have its first VLANs of its
// own is a creation.
func TestEntryGoesBeforeItsPortLeavesTheVLAN(t *testing.T) {
	l := on(t, strings.Replace(staticYAML, "{host_interface: b0}", `{host_interface: b0, port: {fdb: ["02:00:00:00:00:0b"]}}`, 1))
	l.load(strings.Replace(staticYAML, "{host_interface: b0}", "{host_interface: b0, vlan: 20}", 1))
	p := l.plan()
	if diff := cmp.Diff([]string{"- fdb/b:eth0/02:00:00:00:00:0b/1 not in the file", "+ vlan/b:eth0 pvid 20 untagged 20 missing"}, lines(p)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]int{0}, p.Steps[1].After); diff != "" {
		t.Errorf("the second step waits for (-want +got):\n%s", diff)
	}
}

// The plan has what an edit of static entries, or somebody else's, makes necessary, and no other; up takes them all.
func TestFDBPlans(t *testing.T) {
	const a, c = "02:00:00:00:00:0a", "02:00:00:00:00:0c"
	testEdits(t, staticYAML, func(t *testing.T) *lab { return on(t, staticYAML) }, map[string]edit{
		"one more": {
			replace: []string{`["` + c + `"]`, `["` + c + `", "02:00:00:00:00:0d"]`},
			want:    []string{"+ fdb/c:eth0/02:00:00:00:00:0d c0 missing"},
			ops:     []string{"bridge fdb replace 02:00:00:00:00:0d dev c0 master static"},
		},
		"none": {
			replace: []string{`port: {fdb: ["` + a + `"]}, `, ""},
			want:    []string{"- fdb/a:eth0/" + a + "/10 not in the file"},
			ops:     []string{"bridge fdb delete " + a + " dev a0 master vlan 10"},
		},
		"in another VLAN": {
			replace: []string{"vlan: 10", "vlan: 20"},
			want: []string{
				"- fdb/a:eth0/" + a + "/10 not in the file",
				"~ vlan/a:eth0 pvid 10 → 20, untagged 10 → 20 edited",
				"+ fdb/a:eth0/" + a + "/20 a0 missing",
			},
		},
		"behind another port": {
			replace: []string{`c: {bridges: {flat: {port: {fdb: ["` + c + `"]}, `, "c: {bridges: {flat: {", "flat: {host_interface: d0", `flat: {port: {fdb: ["` + c + `"]}, host_interface: d0`},
			want:    []string{"- fdb/c:eth0/" + c + " not in the file", "+ fdb/d:eth0/" + c + " d0 missing"},
		},
		"behind another port by hand": {
			foreign: []kernel.Op{kernel.FDBReplace{Link: "d0", FDBEntry: kernel.FDBEntry{MAC: c}}},
			want:    []string{"- fdb/d:eth0/" + c + " not in the file", "+ fdb/c:eth0/" + c + " c0 missing"},
		},
		"without effect": {
			foreign: []kernel.Op{kernel.FDBReplace{Link: "d0", FDBEntry: kernel.FDBEntry{MAC: "02:00:00:00:00:0e", VLAN: 1}}},
		},
		"a port that was off the bridge": {
			foreign: []kernel.Op{kernel.LinkSet{Name: "c0", Master: ptr("")}},
			want:    []string{"~ port/c:eth0 bridge none → p-flat changed outside topo", "+ fdb/c:eth0/" + c + " c0 missing"},
		},
		"to another bridge": {
			replace: []string{"c: {bridges: {flat:", "c: {bridges: {sw:"},
			want:    []string{"~ port/c:eth0 bridge p-flat → p-sw edited", "+ fdb/c:eth0/" + c + "/1 c0 missing"},
		},
		"filtering where there was none": {
			replace: []string{"flat: {subnet: none}", "flat: {subnet: none, vlan_filtering: true}"},
			want:    []string{"~ bridge/flat vlan_filtering off → on edited"}, // the kernel had an entry for VLAN 1, too
		},
	})
}

// An entry that somebody put at a bridge's VXLAN was not seen.
func TestStaticEntryAtABridgesVXLAN(t *testing.T) {
	l := on(t, "{name: p, bridges: {far: {subnet: none, vxlan: {id: 5}}}}")
	link := ""
	for _, x := range l.options().Snapshot.Host.Links {
		if x.Kind == "vxlan" {
			link = x.Name
		}
	}
	if err := l.m.Foreign(kernel.FDBReplace{Link: link, FDBEntry: kernel.FDBEntry{MAC: "02:00:00:00:00:0c"}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"- fdb/host:" + link + "/02:00:00:00:00:0c not in the file"}, lines(l.plan())); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	l.up()
}
