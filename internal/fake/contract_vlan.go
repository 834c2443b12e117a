package fake

import (
	"syscall"

	"topo/internal/kernel"
)

func contractVLAN(h *host) {
	h.addNetns("a")
	h.do(
		kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "near", Master: "br0", Up: true}},
	)
	equal(h, "VLANs of a port where none are filtered", h.link("", "near").VLANs, nil)
	if h.lacks("BRIDGE_VLAN_FILTERING", kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 7, Last: 7}}) {
		return
	}
	equal(h, "the default PVID", h.link("", "br0").Bridge.DefaultPVID, 1)
	h.do(kernel.BridgeSet{Name: "br0", VLANFiltering: ref(true)})
	equal(h, "filtering", h.link("", "br0").Bridge.VLANFiltering, true)
	equal(h, "VLANs of a new port", h.link("", "near").VLANs, kernel.DefaultVLANs(1))
	equal(h, "VLANs of a new bridge", h.link("", "br0").VLANs, kernel.DefaultVLANs(1))
	h.do(
		kernel.VLANDelete{Link: "near", First: 1, Last: 1},
		kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 20, Last: 30}},
		kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 10, Last: 10, PVID: true, Untagged: true}},
		kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 4094, Last: 4094, Untagged: true}},
	)
	equal(h, "VLANs", h.link("", "near").VLANs, []kernel.VLAN{
		{First: 10, Last: 10, PVID: true, Untagged: true}, {First: 20, Last: 30}, {First: 4094, Last: 4094, Untagged: true},
	})
	// The PVID moves, and what it was before stays, untagged.
	h.do(kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 22, Last: 22, PVID: true}}, kernel.VLANDelete{Link: "near", First: 4094, Last: 4094})
	equal(h, "VLANs", h.link("", "near").VLANs, []kernel.VLAN{
		{First: 10, Last: 10, Untagged: true}, {First: 20, Last: 21}, {First: 22, Last: 22, PVID: true}, {First: 23, Last: 30},
	})
	h.do(kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 20, Last: 30, Untagged: true}})
	equal(h, "VLANs", h.link("", "near").VLANs, []kernel.VLAN{{First: 10, Last: 10, Untagged: true}, {First: 20, Last: 30, Untagged: true}})
	h.do(kernel.VLANAdd{Link: "br0", Self: true, VLAN: kernel.VLAN{First: 10, Last: 10}}, kernel.VLANDelete{Link: "br0", Self: true, First: 1, Last: 1})
	equal(h, "VLANs of the bridge", h.link("", "br0").VLANs, []kernel.VLAN{{First: 10, Last: 10}})
	h.do(kernel.VLANDelete{Link: "near", First: 11, Last: 12}, kernel.VLANDelete{Link: "gone", First: 1, Last: 1})
	h.refuse(syscall.EINVAL, kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 4095, Last: 4095}})
	h.refuse(syscall.EOPNOTSUPP, kernel.VLANAdd{Link: "near", Self: true, VLAN: kernel.VLAN{First: 5, Last: 5}})
	h.refuse(syscall.ENODEV, kernel.VLANAdd{Link: "gone", VLAN: kernel.VLAN{First: 5, Last: 5}})
	// Off the bridge and on it again.
	h.do(kernel.LinkSet{Name: "near", Master: ref("")})
	equal(h, "VLANs of no port", h.link("", "near").VLANs, nil)
	h.refuse(0, kernel.VLANAdd{Link: "near", VLAN: kernel.VLAN{First: 5, Last: 5}})
	h.do(kernel.LinkSet{Name: "near", Master: ref("br0")})
	equal(h, "VLANs of a port that joined anew", h.link("", "near").VLANs, kernel.DefaultVLANs(1))
	// Those of a bridge that doesn't filter are read when they are asked for.
	h.do(kernel.BridgeSet{Name: "br0", VLANFiltering: ref(false)})
	equal(h, "VLANs of a port where none are filtered any more", h.link("", "near").VLANs, nil)
	s, err := h.machine.Snapshot(h.Context(), kernel.Query{Project: contractProject, VLANs: true})
	if err != nil {
		h.Fatal(err)
	}
	for _, l := range s.Host.Links {
		if l.Name == "near" {
			equal(h, "VLANs that are asked for", l.VLANs, kernel.DefaultVLANs(1))
		}
	}
}
