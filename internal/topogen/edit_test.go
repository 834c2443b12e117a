package topogen_test

import (
	"testing"

	"topo/internal/kernel"
	"topo/internal/topogen"
)

// A port that is in no VLAN is given the default one when it joins its bridge anew: that has to be taken back.
func TestMasterOfAPortWithoutVLANs(t *testing.T) {
	bridge := kernel.Link{Name: "b", Kind: "bridge", Alias: "topo:p:bridge/b", Bridge: &kernel.BridgeAttrs{VLANFiltering: true}}
	for name, c := range map[string]struct {
		filtering bool
		vlans     []kernel.VLAN
		exact     bool
	}{
		"not filtered": {false, nil, true},
		"default":      {true, kernel.DefaultVLANs(1), true},
		"none":         {true, nil, false},
	} {
		bridge.Bridge.VLANFiltering = c.filtering
		port := kernel.Link{Name: "x", Kind: "veth", Alias: "topo:p:port/n:x", Master: "b", Port: &kernel.PortAttrs{}, VLANs: c.vlans}
		found := false
		for _, e := range topogen.Edits(kernel.Snapshot{Host: kernel.Netns{Links: []kernel.Link{bridge, port}}}, "p") {
			if e.Name == "master of port/n:x" {
				found = true
				if e.Exact != c.exact {
					t.Errorf("%s: nothing follows from the edit: %t, want %t", name, e.Exact, c.exact)
				}
			}
		}
		if !found {
			t.Errorf("%s: no edit of the master", name)
		}
	}
}
