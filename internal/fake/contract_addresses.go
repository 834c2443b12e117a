package fake

import (
	"net/netip"
	"slices"
	"syscall"
	"time"

	"topo/internal/kernel"
)

func contractAddr(h *host) {
	h.wire()
	four, six := prefix("10.0.0.1/24"), prefix("fd00::1/64")
	h.do(kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: four}, kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: six})
	equal(h, "addresses", h.addrs("a", "eth0"), []string{"10.0.0.1/24", "fd00::1/64"})
	for _, a := range h.netns("a").Addrs {
		if (a.Prefix == four || a.Prefix == six) && a.Tentative {
			h.Errorf("%s is tentative", a.Prefix)
		}
	}
	for _, c := range []struct {
		dst    string
		metric int
	}{{"10.0.0.0/24", 0}, {"fd00::/64", 256}} {
		r, ok := h.route("a", c.dst, c.metric)
		if !ok {
			h.Errorf("no route to %s: %+v", c.dst, h.netns("a").Routes)
		}
		equal(h, "protocol of "+c.dst, r.Protocol, protocolKernel)
		equal(h, "gateway of "+c.dst, r.Via, netip.Addr{})
		equal(h, "link of "+c.dst, r.Link, "eth0")
		equal(h, "table of "+c.dst, r.Table, kernel.TableMain)
	}
	h.refuse(syscall.EEXIST, kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: four})
	h.refuse(syscall.EEXIST, kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: six})
	h.refuse(syscall.ENODEV, kernel.AddrAdd{Netns: "a", Link: "gone", Prefix: four})
	h.refuse(syscall.ENOENT, kernel.AddrAdd{Netns: "gone", Link: "eth0", Prefix: four})
	h.do(kernel.AddrAdd{Netns: "b", Link: "eth0", Prefix: four}) // nobody looks for duplicates
	h.do(kernel.AddrDelete{Netns: "b", Link: "eth0", Prefix: four})

	h.do(kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: four}, kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: six})
	equal(h, "addresses", h.addrs("a", "eth0"), nil)
	h.hasRoute("a", "10.0.0.0/24", 0, false)
	h.hasRoute("a", "fd00::/64", 256, false)
	h.do(kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: four})
	h.do(kernel.AddrDelete{Netns: "a", Link: "gone", Prefix: six})
	h.do(kernel.AddrDelete{Netns: "gone", Link: "eth0", Prefix: six})
}

// contractSecondary: the first address of a subnet takes the others with it (promote_secondaries is 0).
func contractSecondary(h *host) {
	h.wire()
	for _, s := range []string{"10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/32", "10.1.0.1/24", "fd00::1/64", "fd00::2/64"} {
		h.do(kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix(s)})
	}
	for _, a := range h.netns("a").Addrs {
		equal(h, a.Prefix.String()+" secondary", a.Secondary, a.Prefix == prefix("10.0.0.2/24"))
	}
	h.do(kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")})
	h.hasRoute("a", "fd00::/64", 256, true)
	h.do(kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")})
	equal(h, "addresses", h.addrs("a", "eth0"), []string{"10.0.0.3/32", "10.1.0.1/24", "fd00::2/64"})
	h.hasRoute("a", "10.0.0.0/24", 0, false)
	h.do(kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.2/24")})
}

func contractAddrDown(h *host) {
	h.wire()
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(false)})
	h.do(
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")},
	)
	h.hasRoute("a", "10.0.0.0/24", 0, false)
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(true)})
	h.hasRoute("a", "10.0.0.0/24", 0, true)
	h.hasRoute("a", "fd00::/64", 256, true)
	equal(h, "addresses", h.addrs("a", "eth0"), []string{"10.0.0.1/24", "fd00::1/64"})
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(false)})
	equal(h, "addresses", h.addrs("a", "eth0"), []string{"10.0.0.1/24"})
	h.hasRoute("a", "10.0.0.0/24", 0, false)
}

func contractSmallMTU(h *host) {
	h.wire()
	h.do(
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")},
		kernel.LinkSet{Netns: "a", Name: "eth0", MTU: ref(1279)},
	)
	equal(h, "addresses", h.addrs("a", "eth0"), []string{"10.0.0.1/24"})
	h.refuse(syscall.EINVAL, kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::2/64")})
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", MTU: ref(1280)})
	h.do(kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::2/64")})
}

// contractLinkLocal: the kernel gives a new link its address in its own time, a moment after the carrier.
func contractLinkLocal(h *host) {
	h.wire()
	h.settle()
	want := kernel.Addr{Link: "eth0", Prefix: prefix("fe80::ff:fe00:a/64"), Kernel: true}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		found := slices.DeleteFunc(h.netns("a").Addrs, func(a kernel.Addr) bool { return a.Link != "eth0" })
		for i := range found {
			found[i].Tentative = false // nobody waits for the kernel's own
		}
		r, ok := h.route("a", "fe80::/64", 256)
		switch {
		case slices.Equal(found, []kernel.Addr{want}) && ok && r.Protocol == protocolKernel:
			return
		case time.Now().After(end):
			h.Fatalf("addresses of a new link: %v, want %v; route to fe80::/64: %+v", found, want, r)
		}
	}
}

func contractRoute(h *host) {
	h.wire()
	h.do(
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")},
		kernel.RouteReplace{Netns: "a", Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.9"), Link: "eth0", Table: kernel.TableMain},
		kernel.RouteReplace{Netns: "a", Dst: prefix("::/0"), Via: addr("fd00::9"), Link: "eth0", Table: kernel.TableMain},
		kernel.RouteReplace{Netns: "a", Dst: prefix("10.50.0.0/16"), Link: "eth0", Table: kernel.TableMain},
		kernel.RouteReplace{Netns: "a", Dst: prefix("10.50.0.0/16"), Via: addr("10.0.0.8"), Link: "eth0", Metric: 7, Table: kernel.TableMain},
		kernel.RouteReplace{Netns: "a", Dst: prefix("10.60.0.0/16"), Via: addr("10.0.0.8"), Link: "eth0", Table: 100},
	)
	r, _ := h.route("a", "0.0.0.0/0", 0)
	equal(h, "route", r, kernel.Route{
		Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.9"), Link: "eth0", Table: kernel.TableMain, Protocol: kernel.Protocol, Type: "unicast",
	})
	r, _ = h.route("a", "::/0", metricIPv6)
	equal(h, "route", r, kernel.Route{
		Dst: prefix("::/0"), Via: addr("fd00::9"), Link: "eth0", Metric: metricIPv6, Table: kernel.TableMain, Protocol: kernel.Protocol, Type: "unicast",
	})
	r, _ = h.route("a", "10.50.0.0/16", 0)
	equal(h, "gateway of a direct route", r.Via, netip.Addr{})
	r, _ = h.route("a", "10.50.0.0/16", 7)
	equal(h, "gateway with metric 7", r.Via, addr("10.0.0.8"))
	r, _ = h.route("a", "10.60.0.0/16", 0)
	equal(h, "table", r.Table, 100)

	h.do(kernel.RouteReplace{Netns: "a", Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.10"), Link: "eth0", Table: kernel.TableMain})
	r, _ = h.route("a", "0.0.0.0/0", 0)
	equal(h, "gateway, replaced", r.Via, addr("10.0.0.10"))
	h.do(kernel.RouteReplace{Netns: "a", Dst: prefix("::/0"), Via: addr("fd00::10"), Link: "eth0", Metric: metricIPv6, Table: kernel.TableMain})
	r, _ = h.route("a", "::/0", metricIPv6)
	equal(h, "gateway, replaced", r.Via, addr("fd00::10"))

	h.do(
		kernel.RouteDelete{Netns: "a", Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.10"), Link: "eth0", Table: kernel.TableMain},
		kernel.RouteDelete{Netns: "a", Dst: prefix("10.50.0.0/16"), Via: addr("10.0.0.8"), Link: "eth0", Metric: 7, Table: kernel.TableMain},
		kernel.RouteDelete{Netns: "a", Dst: prefix("::/0"), Via: addr("fd00::10"), Link: "eth0", Metric: metricIPv6, Table: kernel.TableMain},
	)
	h.hasRoute("a", "0.0.0.0/0", 0, false)
	h.hasRoute("a", "::/0", metricIPv6, false)
	h.hasRoute("a", "10.50.0.0/16", 7, false)
	h.hasRoute("a", "10.50.0.0/16", 0, true)
	h.do(kernel.RouteDelete{Netns: "a", Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.10"), Link: "eth0", Table: kernel.TableMain})
	h.do(kernel.RouteDelete{Netns: "a", Dst: prefix("0.0.0.0/0"), Link: "gone", Table: kernel.TableMain})
	h.do(kernel.RouteDelete{Netns: "gone", Dst: prefix("0.0.0.0/0"), Link: "eth0", Table: kernel.TableMain})
}

func contractRouteRefused(h *host) {
	h.wire()
	h.do(kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")})
	four := kernel.RouteReplace{Netns: "a", Dst: prefix("10.9.0.0/16"), Via: addr("10.0.0.9"), Link: "eth0", Table: kernel.TableMain}
	with := func(edit func(*kernel.RouteReplace)) kernel.Op {
		r := four
		edit(&r)
		return r
	}
	six := func(r *kernel.RouteReplace) { r.Dst, r.Via = prefix("fd09::/64"), addr("fd00::9") }
	h.refuse(syscall.ENETUNREACH, with(func(r *kernel.RouteReplace) { r.Via = addr("10.77.0.1") }))
	h.refuse(syscall.EHOSTUNREACH, with(six))
	h.do(kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")})
	h.refuse(syscall.EINVAL, with(func(r *kernel.RouteReplace) { r.Dst, r.Via = prefix("fd09::/64"), addr("fd00::1") }))
	h.refuse(syscall.ENODEV, with(func(r *kernel.RouteReplace) { r.Link = "gone" }))
	h.refuse(syscall.ENOENT, with(func(r *kernel.RouteReplace) { r.Netns = "gone" }))
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(false)})
	h.refuse(syscall.ENETUNREACH, four) // the route to the gateway went with the link
	h.refuse(syscall.EHOSTUNREACH, with(six))
	h.refuse(syscall.ENETDOWN, with(func(r *kernel.RouteReplace) { r.Via = netip.Addr{} }))
}

func contractRouteCascade(h *host) {
	h.wire()
	four := kernel.RouteReplace{Netns: "a", Dst: prefix("10.9.0.0/16"), Via: addr("10.0.0.9"), Link: "eth0", Table: kernel.TableMain}
	six := kernel.RouteReplace{Netns: "a", Dst: prefix("fd09::/64"), Via: addr("fd00::9"), Link: "eth0", Table: kernel.TableMain}
	h.do(
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.1.0.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")}, four, six,
		kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")},
		kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")},
	)
	h.hasRoute("a", "10.9.0.0/16", 0, true) // its gateway is out of reach, and Linux doesn't mind
	h.hasRoute("a", "fd09::/64", metricIPv6, true)
	h.do(kernel.AddrDelete{Netns: "a", Link: "eth0", Prefix: prefix("10.1.0.1/24")})
	h.hasRoute("a", "10.9.0.0/16", 0, false) // the last address of the link takes all
	h.do(kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")}, four)

	h.do(kernel.LinkSet{Netns: "b", Name: "eth0", Up: ref(false)})
	h.hasRoute("a", "10.9.0.0/16", 0, true) // no carrier
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(false)})
	h.hasRoute("a", "10.9.0.0/16", 0, false)
	h.hasRoute("a", "fd09::/64", metricIPv6, false)
	h.do(kernel.LinkSet{Netns: "a", Name: "eth0", Up: ref(true)})
	h.hasRoute("a", "10.0.0.0/24", 0, true)
	h.hasRoute("a", "10.9.0.0/16", 0, false)
}
