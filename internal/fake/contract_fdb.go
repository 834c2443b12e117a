package fake

import (
	"syscall"

	"topo/internal/kernel"
)

func contractFDB(h *host) {
	h.addNetns("a", "b")
	h.do(
		kernel.BridgeAdd{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "one", Master: "br0", Up: true}},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "b", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "two", Master: "br0", Up: true}},
	)
	const mac = "02:00:00:00:00:aa"
	// those is the entries of a bridge that filters no VLANs: others are there for each VLAN that the port is in.
	those := func(port string) []string {
		var out []string
		for _, e := range h.link("", port).FDB {
			if e.VLAN == 0 {
				out = append(out, e.MAC)
			}
		}
		return out
	}
	entry := kernel.FDBEntry{MAC: mac}
	h.do(kernel.FDBReplace{Link: "one", FDBEntry: entry}, kernel.FDBReplace{Link: "one", FDBEntry: entry})
	equal(h, "entries", those("one"), []string{mac})
	h.do(kernel.FDBReplace{Link: "two", FDBEntry: entry})
	equal(h, "entries of the port that it was behind", those("one"), nil)
	equal(h, "entries of the port that it is behind", those("two"), []string{mac})
	h.do(kernel.FDBDelete{Link: "two", FDBEntry: entry})
	equal(h, "all entries once it is forgotten", h.link("", "two").FDB, nil)
	h.do(kernel.FDBDelete{Link: "two", FDBEntry: entry}, kernel.FDBDelete{Link: "gone", FDBEntry: entry})
	h.refuse(syscall.ENODEV, kernel.FDBReplace{Link: "gone", FDBEntry: entry})
	h.refuse(syscall.EINVAL, kernel.FDBReplace{Link: "one", FDBEntry: kernel.FDBEntry{MAC: "00:00:00:00:00:00"}})
	h.do(kernel.FDBReplace{Link: "one", FDBEntry: entry}, kernel.LinkSet{Name: "one", Master: ref("")}, kernel.LinkSet{Name: "one", Master: ref("br0")})
	equal(h, "entries of a port that was off the bridge", h.link("", "one").FDB, nil)
	if h.builtWithout("BRIDGE_VLAN_FILTERING") {
		return
	}
	in7 := kernel.FDBEntry{MAC: mac, VLAN: 7}
	h.refuse(syscall.EINVAL, kernel.FDBReplace{Link: "one", FDBEntry: in7})
	h.do(
		kernel.BridgeSet{Name: "br0", VLANFiltering: ref(true)}, kernel.VLANAdd{Link: "one", VLAN: kernel.VLAN{First: 7, Last: 7}},
		kernel.FDBReplace{Link: "one", FDBEntry: in7},
	)
	equal(h, "entries of a VLAN", h.link("", "one").FDB, []kernel.FDBEntry{in7})
	h.do(kernel.FDBReplace{Link: "one", FDBEntry: entry})
	equal(h, "entries of none, and of all", h.link("", "one").FDB, []kernel.FDBEntry{entry, {MAC: mac, VLAN: 1}, in7})
	h.do(kernel.FDBDelete{Link: "one", FDBEntry: in7})
	equal(h, "entries but that of a VLAN", h.link("", "one").FDB, []kernel.FDBEntry{entry, {MAC: mac, VLAN: 1}})
	h.do(kernel.FDBDelete{Link: "one", FDBEntry: entry})
	equal(h, "all entries once it is forgotten", h.link("", "one").FDB, nil)
}
