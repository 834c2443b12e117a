package fake

import (
	"net/netip"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

func contractUplink(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Name: "card", Up: true}, B: kernel.VethEnd{Netns: "a", Name: "eth0", Up: true}})
	h.do(kernel.VethAdd{A: kernel.VethEnd{Name: "other", Up: true}, B: kernel.VethEnd{Netns: "a", Name: "eth1", Up: true}})
	for _, p := range []string{"10.0.0.5/24", "10.0.0.6/24", "fd00::5/64"} {
		h.do(kernel.AddrAdd{Link: "card", Prefix: prefix(p)})
	}
	// By topo's protocol: they go along, and nobody watches over them.
	h.do(
		kernel.RouteReplace{Dst: prefix("10.9.0.0/16"), Via: addr("10.0.0.1"), Link: "card", Metric: 5},
		kernel.RouteReplace{Dst: prefix("fd09::/64"), Via: addr("fd00::1"), Link: "card"},
	)
	h.do(kernel.BridgeAdd{Name: "br0", Group: contractGroupNumber}, kernel.BridgeAdd{Name: "br1"}, kernel.LinkSet{Name: "br0", Up: ref(true)})
	take := kernel.UplinkTake{Project: contractProject, Card: "card", Bridge: "br0"}
	release := kernel.UplinkRelease{Project: contractProject, Card: "card"}
	h.do(release) // nothing to release

	refuse := func(want syscall.Errno, card, bridge string) {
		h.Helper()
		h.refuse(want, kernel.UplinkTake{Project: contractProject, Card: card, Bridge: bridge})
	}
	refuse(syscall.ENODEV, "none", "br0")
	refuse(syscall.ENODEV, "card", "none")
	refuse(syscall.EOPNOTSUPP, "card", "other")
	equal(h, "records of what was refused", len(h.read().Uplinks), 0)

	all := []string{"10.0.0.5/24", "10.0.0.6/24", "fd00::5/64"}
	on := func(what, link string, master string) {
		h.Helper()
		none := map[string]string{"card": "br0", "br0": "card"}[link]
		equal(h, what+": addresses of "+link, h.addrs("", link), all)
		equal(h, what+": addresses of "+none, h.addrs("", none), nil)
		equal(h, what+": master", h.link("", "card").Master, master)
		for dst, metric := range map[string]int{"10.9.0.0/16": 5, "fd09::/64": metricIPv6, "10.0.0.0/24": 0} {
			r, _ := h.route("", dst, metric)
			equal(h, what+": link of route "+dst, r.Link, link)
		}
	}
	for _, what := range []string{"taken", "taken again"} {
		h.do(take)
		on(what, "br0", "br0")
		want := kernel.Uplink{Project: contractProject, Card: "card", Bridge: "br0", Addrs: []netip.Prefix{prefix(all[0]), prefix(all[1]), prefix(all[2])}}
		equal(h, what+": records", h.read().Uplinks, []kernel.Uplink{want})
	}
	h.refuse(syscall.EBUSY, kernel.UplinkTake{Project: "others", Card: "card", Bridge: "br0"})
	refuse(syscall.EBUSY, "card", "br1")
	// Pulled out by hand, and given another address.
	h.do(kernel.LinkSet{Name: "card", Master: ref("")}, kernel.AddrAdd{Link: "card", Prefix: prefix("10.0.1.1/24")}, take)
	equal(h, "addresses with the new one", h.addrs("", "br0"), append(slices.Clone(all[:2]), "10.0.1.1/24", all[2]))
	h.do(kernel.UplinkRelease{Project: "others", Card: "card"}) // not its own
	h.do(release, release, kernel.AddrDelete{Link: "card", Prefix: prefix("10.0.1.1/24")})
	on("released", "card", "")
	equal(h, "records after the release", len(h.read().Uplinks), 0)

	// With the bridge, all that is on it is gone; the record has it.
	h.do(take, kernel.LinkDelete{Name: "br0"}, release, kernel.BridgeAdd{Name: "br0"}, kernel.LinkSet{Name: "br0", Up: ref(true)})
	on("released without the bridge", "card", "")
	// What was down is down again.
	h.do(kernel.LinkSet{Name: "card", Up: ref(false)}, take)
	equal(h, "a card that was down, taken", h.link("", "card").Up, true)
	h.do(release)
	equal(h, "a card that was down, released", h.link("", "card").Up, false)
	h.do(take, kernel.LinkDelete{Name: "card"}, release)
	equal(h, "records of a card that is gone", len(h.read().Uplinks), 0)
	h.do(kernel.LinkSet{Name: "other", Master: ref("br1")})
	refuse(syscall.EBUSY, "other", "br0")
}
