package fake

import (
	"syscall"
	"time"

	"topo/internal/kernel"
)

func contractTBF(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Group: contractGroupNumber, Up: true}, B: kernel.VethEnd{Name: "near", Up: true}})
	equal(h, "what a new link sends through", h.link("a", "eth0").Qdisc, nil)
	slow := kernel.TBF{Rate: 1_250_000, Burst: kernel.BurstTicks(6250, 1_250_000), Limit: 125_000}
	h.do(kernel.TBFSet{Netns: "a", Link: "eth0", TBF: slow})
	equal(h, "tbf", h.link("a", "eth0").Qdisc, &kernel.Qdisc{Kind: "tbf", TBF: &slow})
	fast := kernel.TBF{Rate: 12_500_000_000, Burst: kernel.BurstTicks(62_500_000, 12_500_000_000), Limit: 4_000_000_000}
	h.do(kernel.TBFSet{Netns: "a", Link: "eth0", TBF: fast})
	equal(h, "tbf of 100 gbit", h.link("a", "eth0").Qdisc, &kernel.Qdisc{Kind: "tbf", TBF: &fast})
	equal(h, "the other end", h.link("", "near").Qdisc, nil)
	h.refuse(0, kernel.TBFSet{Netns: "a", Link: "eth0", Below: true, TBF: slow})
	h.refuse(syscall.ENODEV, kernel.TBFSet{Netns: "a", Link: "eth9", TBF: slow})
	h.do(kernel.QdiscDelete{Netns: "a", Link: "eth0"})
	equal(h, "what it sends through after that is removed", h.link("a", "eth0").Qdisc, nil)
	h.do(kernel.QdiscDelete{Netns: "a", Link: "eth0"})
	h.do(kernel.QdiscDelete{Netns: "a", Link: "eth0", Below: true})
	h.do(kernel.QdiscDelete{Netns: "a", Link: "eth9"})
}

func contractNetem(h *host) {
	h.addNetns("a")
	h.do(kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0", Group: contractGroupNumber, Up: true}, B: kernel.VethEnd{Name: "near", Up: true}})
	n := kernel.Netem{Delay: 20 * time.Millisecond, Limit: 21000}
	set := kernel.NetemSet{Netns: "a", Link: "eth0", Netem: n}
	if h.lacks("NET_SCH_NETEM", set) {
		return
	}
	h.do(set)
	equal(h, "netem", h.link("a", "eth0").Qdisc, &kernel.Qdisc{Kind: "netem", Netem: &n})
	// A rate below it, which stays when the netem changes.
	tbf := kernel.TBF{Rate: 1_250_000, Burst: kernel.BurstTicks(6250, 1_250_000), Limit: 125_000}
	h.do(kernel.TBFSet{Netns: "a", Link: "eth0", Below: true, TBF: tbf})
	for _, set.Netem = range []kernel.Netem{
		{Delay: time.Hour, Jitter: 7 * time.Nanosecond, Distribution: "normal", DelayCorr: 5, Limit: 1},
		{Delay: 3, Jitter: 2, Distribution: "pareto", Limit: 1, Loss: kernel.Loss{P: [5]kernel.Chance{1, 2}}},
		{Delay: 3, Jitter: 2, Distribution: "uniform", Limit: 1, Loss: kernel.Loss{Model: "gemodel", P: [5]kernel.Chance{1, 2, 3, 4}}},
		{Limit: 7, Loss: kernel.Loss{Model: "state", P: [5]kernel.Chance{1, 2, 3, 4, 5}}},
		{
			Limit: 7, Duplicate: kernel.ChanceOf(1), DupCorr: 9, Corrupt: kernel.ChanceOf(0.1), CorruptCorr: 8,
			Delay: time.Second, Reorder: kernel.ChanceOf(25), ReorderCorr: 7, Gap: 5,
		},
		{Delay: 3, Jitter: 2, Distribution: "pareto", Limit: 1, Rate: 77_000},
		{Limit: 1, Rate: 12_500_000_000},
		{Delay: time.Millisecond, Limit: 1000},
	} {
		h.do(set)
		want := set.Netem
		equal(h, "netem "+want.String(), h.link("a", "eth0").Qdisc, &kernel.Qdisc{Kind: "netem", Netem: &want, Below: "tbf", TBF: &tbf})
	}
	h.do(kernel.QdiscDelete{Netns: "a", Link: "eth0", Below: true})
	equal(h, "netem alone", h.link("a", "eth0").Qdisc, &kernel.Qdisc{Kind: "netem", Netem: &set.Netem})
	h.do(kernel.TBFSet{Netns: "a", Link: "eth0", TBF: tbf})
	equal(h, "tbf in its place", h.link("a", "eth0").Qdisc, &kernel.Qdisc{Kind: "tbf", TBF: &tbf})
	h.do(kernel.QdiscDelete{Netns: "a", Link: "eth0"})
	equal(h, "nothing", h.link("a", "eth0").Qdisc, nil)
}
