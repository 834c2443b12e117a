package fake

import (
	"syscall"

	"topo/internal/kernel"
)

func contractCard(h *host) {
	h.addNetns("a", "b")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Name: "card", MAC: "02:00:00:00:00:0c", MTU: 1400, Up: true}, B: kernel.VethEnd{Netns: "a", Name: "far", Up: true}})
	h.do(
		kernel.LinkSet{Name: "card", Alias: ref("mine")},
		kernel.AddrAdd{Link: "card", Prefix: prefix("10.0.0.5/24")}, kernel.AddrAdd{Link: "card", Prefix: prefix("fd00::5/64")},
		kernel.RouteReplace{Dst: prefix("10.9.0.0/16"), Via: addr("10.0.0.1"), Link: "card", Metric: 5},
	)
	lend := kernel.CardLend{Project: contractProject, Card: "card", Netns: "b", Name: "eth0", MTU: 1300, Group: contractGroupNumber, Up: true}
	back := kernel.CardReturn{Project: contractProject, Card: "card"}
	h.do(back) // nothing to give back
	h.refuse(syscall.ENOENT, kernel.CardLend{Project: contractProject, Card: "card", Netns: "none", Name: "eth0"})
	h.refuse(syscall.ENODEV, kernel.CardLend{Project: contractProject, Card: "none", Netns: "b", Name: "eth0"})
	equal(h, "records of what was refused", len(h.read().Lent), 0)
	for _, what := range []string{"lent", "lent again"} {
		h.do(lend)
		l := h.link("b", "eth0")
		equal(h, what+": MTU", l.MTU, 1300)
		equal(h, what+": MAC", l.MAC, "02:00:00:00:00:0c")
		equal(h, what+": group", l.Group, contractGroupNumber)
		equal(h, what+": up", l.Up, true)
		equal(h, what+": addresses", h.addrs("b", "eth0"), nil)
		h.noLink("", "card")
		h.hasRoute("", "10.9.0.0/16", 5, false)
		want := kernel.LentCard{Project: contractProject, Card: "card", Netns: "b", Name: "eth0", MTU: 1400, MAC: "02:00:00:00:00:0c"}
		equal(h, what+": records", h.read().Lent, []kernel.LentCard{want})
	}
	h.refuse(syscall.EBUSY, kernel.CardLend{Project: contractProject, Card: "card", Netns: "a", Name: "eth0"})
	h.refuse(syscall.EBUSY, kernel.CardLend{Project: "others", Card: "card", Netns: "b", Name: "eth0"})
	h.do(kernel.AddrAdd{Netns: "b", Link: "eth0", Prefix: prefix("10.0.7.5/24")}, kernel.CardReturn{Project: "others", Card: "card"}, back, back)
	l := h.link("", "card")
	equal(h, "back: MTU", l.MTU, 1400)
	equal(h, "back: group", l.Group, uint32(0))
	equal(h, "back: alias", l.Alias, "mine")
	equal(h, "back: up", l.Up, true)
	equal(h, "back: addresses", h.addrs("", "card"), []string{"10.0.0.5/24", "fd00::5/64"})
	h.hasRoute("", "10.9.0.0/16", 5, true)
	h.noLink("b", "eth0")
	equal(h, "records after it is back", len(h.read().Lent), 0)
	// A veth goes with its namespace; the record goes at the next return.
	h.do(lend, kernel.NetnsDelete{Name: "b"})
	h.settle()
	h.do(back)
	equal(h, "records of a card that is gone", len(h.read().Lent), 0)
}
