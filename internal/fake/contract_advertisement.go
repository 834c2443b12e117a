package fake

import "topo/internal/kernel"

func contractAdvertisements(h *host) {
	h.wire()
	equal(h, "a node's", h.link("a", "eth0").AcceptRA, 0)
	for _, value := range []struct {
		text string
		is   int
	}{{"1", 1}, {"2", 2}, {"0", 0}} {
		h.do(kernel.SysctlSet{SysctlKey: kernel.AcceptRAKey("a", "eth0"), Value: value.text})
		equal(h, "a node's, set", h.link("a", "eth0").AcceptRA, value.is)
	}
	h.do(
		kernel.BridgeAdd{Name: "br0"}, kernel.BridgeAdd{Name: "br1", MTU: 1000}, kernel.BridgeAdd{Name: "br2", MTU: 9000},
		kernel.VethAdd{A: kernel.VethEnd{Name: "x", Up: true}, B: kernel.VethEnd{Netns: "a", Name: "y"}},
	)
	for _, bridge := range []string{"br0", "br1", "br2"} {
		equal(h, bridge+"'s", h.link("", bridge).AcceptRA, 0)
	}
	equal(h, "that of a link that is the host's own", h.link("", "x").AcceptRA, 1)
	equal(h, "that of its other end", h.link("a", "y").AcceptRA, 0)
}
