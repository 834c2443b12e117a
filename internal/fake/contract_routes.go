package fake

import (
	"net/netip"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

// fork makes a node with two links: a, with eth0 to b and eth1 to c, and an address of each family on both.
func (h *host) fork() {
	h.Helper()
	h.wire()
	h.addNetns("c")
	h.do(
		kernel.VethAdd{
			A: kernel.VethEnd{Netns: "a", Name: "eth1", MAC: "02:00:00:00:01:0a", Group: contractGroupNumber, Up: true},
			B: kernel.VethEnd{Netns: "c", Name: "eth0", MAC: "02:00:00:00:01:0c", Group: contractGroupNumber, Up: true},
		},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("10.0.0.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth1", Prefix: prefix("10.0.1.1/24")},
		kernel.AddrAdd{Netns: "a", Link: "eth0", Prefix: prefix("fd00::1/64")},
		kernel.AddrAdd{Netns: "a", Link: "eth1", Prefix: prefix("fd00:1::1/64")},
	)
}

func (h *host) routeOf(dst string) (kernel.Route, bool) {
	h.Helper()
	routes := h.netns("a").Routes
	i := slices.IndexFunc(routes, func(r kernel.Route) bool { return r.Dst == prefix(dst) })
	if i < 0 {
		return kernel.Route{}, false
	}
	return routes[i], true
}

// Routes of every form, each replaced by each other one in one message, and removed by its destination alone.
func contractRouteForms(h *host) {
	h.fork()
	for _, family := range []struct {
		dst, src         string
		metric           int
		near, far, third netip.Addr
	}{
		{"10.9.0.0/16", "10.0.1.1", 0, addr("10.0.0.9"), addr("10.0.1.9"), addr("192.0.2.9")},
		{"fd09::/64", "fd00:1::1", metricIPv6, addr("fd00::9"), addr("fd00:1::9"), addr("2001:db8::9")},
	} {
		route := func(edit func(*kernel.RouteReplace)) kernel.RouteReplace {
			r := kernel.RouteReplace{Netns: "a", Dst: prefix(family.dst), Table: kernel.TableMain}
			edit(&r)
			return r
		}
		ways := []kernel.Way{{Via: family.near, Link: "eth0", Weight: 3}, {Via: family.far, Link: "eth1", Weight: 1}}
		forms := []kernel.RouteReplace{
			route(func(r *kernel.RouteReplace) { r.Via, r.Link = family.near, "eth0" }),
			route(func(r *kernel.RouteReplace) { r.Type = "blackhole" }),
			route(func(r *kernel.RouteReplace) { r.Type = "unreachable" }),
			route(func(r *kernel.RouteReplace) { r.Type = "prohibit" }),
			route(func(r *kernel.RouteReplace) { r.Type = "throw" }),
			route(func(r *kernel.RouteReplace) { r.Ways = ways }),
			route(func(r *kernel.RouteReplace) {
				r.Ways = []kernel.Way{{Via: family.near, Link: "eth0", Weight: 256}, {Via: family.far, Link: "eth1", Weight: 255}}
				r.Src = addr(family.src)
			}),
			route(func(r *kernel.RouteReplace) {
				r.Via, r.Link, r.Src, r.MTU = family.near, "eth0", addr(family.src), 1300
			}),
			route(func(r *kernel.RouteReplace) { r.Via, r.Link, r.OnLink = family.third, "eth0", true }),
			route(func(r *kernel.RouteReplace) {
				r.Ways = []kernel.Way{{Via: family.third, Link: "eth0", Weight: 1, OnLink: true}, {Via: family.far, Link: "eth1", Weight: 1}}
			}),
			route(func(r *kernel.RouteReplace) { r.Link = "eth1" }),
		}
		for i, from := range forms {
			for j, to := range forms {
				h.do(from, to)
				got, _ := h.routeOf(family.dst)
				want := kernel.Route{
					Dst: to.Dst, Via: to.Via, Link: to.Link, Metric: family.metric, Table: to.Table, Protocol: kernel.Protocol, Type: "unicast", RouteMore: to.RouteMore,
				}
				if to.Type != "" {
					want.Type = to.Type
				}
				if !deepEqual(got, want) {
					h.Fatalf("%s: form %d after %d is %+v, want %+v", family.dst, j, i, got, want)
				}
			}
			h.do(kernel.RouteDelete{Netns: "a", Dst: from.Dst, Table: kernel.TableMain})
			if r, ok := h.routeOf(family.dst); ok {
				h.Errorf("form %d was not removed: %+v", i, r)
			}
		}
		h.refuse(syscall.EINVAL, route(func(r *kernel.RouteReplace) { r.Via, r.Link, r.Src = family.near, "eth0", family.far }))
		h.refuse(syscall.ENODEV, route(func(r *kernel.RouteReplace) {
			r.Ways = []kernel.Way{ways[0], {Via: family.far, Link: "gone", Weight: 1}}
		}))
	}
	// Of two routes to one place, that without a metric goes, whichever was there first.
	for _, dst := range []string{"10.9.0.0/16", "fd09::/64"} {
		none := kernel.RouteReplace{Netns: "a", Dst: prefix(dst), Type: "blackhole", Table: kernel.TableMain}
		fifty := kernel.RouteReplace{Netns: "a", Dst: prefix(dst), Link: "eth0", Metric: 50, Table: kernel.TableMain}
		for _, both := range [][]kernel.Op{{none, fifty}, {fifty, none}} {
			h.do(both...)
			h.do(kernel.RouteDelete{Netns: "a", Dst: prefix(dst), Table: kernel.TableMain})
			r, _ := h.routeOf(dst)
			equal(h, "metric of what is left", r.Metric, 50)
			h.do(kernel.RouteDelete{Netns: "a", Dst: prefix(dst), Metric: 50, Table: kernel.TableMain})
		}
	}
}

// What becomes of routes with several ways, a source or none of either, when what they stand on goes.
func contractRouteFormsCascade(h *host) {
	h.fork()
	two := func(dst string, near, far netip.Addr) kernel.RouteReplace {
		return kernel.RouteReplace{Netns: "a", Dst: prefix(dst), Table: kernel.TableMain, RouteMore: kernel.RouteMore{
			Ways: []kernel.Way{{Via: near, Link: "eth0", Weight: 1}, {Via: far, Link: "eth1", Weight: 2}},
		}}
	}
	four, six := two("10.9.0.0/16", addr("10.0.0.9"), addr("10.0.1.9")), two("fd09::/64", addr("fd00::9"), addr("fd00:1::9"))
	src4 := kernel.RouteReplace{Netns: "a", Dst: prefix("10.8.0.0/16"), Via: addr("10.0.0.9"), Link: "eth0", Table: kernel.TableMain, RouteMore: kernel.RouteMore{Src: addr("10.0.1.1")}}
	src6 := kernel.RouteReplace{Netns: "a", Dst: prefix("fd08::/64"), Via: addr("fd00::9"), Link: "eth0", Table: kernel.TableMain, RouteMore: kernel.RouteMore{Src: addr("fd00:1::1")}}
	no4 := kernel.RouteReplace{Netns: "a", Dst: prefix("10.7.0.0/16"), Type: "blackhole", Table: kernel.TableMain}
	no6 := kernel.RouteReplace{Netns: "a", Dst: prefix("fd07::/64"), Type: "blackhole", Table: kernel.TableMain}
	h.do(four, six, src4, src6, no4, no6)
	there := func(what, dst string, want bool) kernel.Route {
		h.Helper()
		r, ok := h.routeOf(dst)
		if ok != want {
			h.Errorf("%s: route to %s there %t, want %t", what, dst, ok, want)
		}
		return r
	}
	// One end down: that way is dead, and the route stays.
	h.do(kernel.LinkSet{Netns: "a", Name: "eth1", Up: ref(false)})
	equal(h, "ways, one of them dead", there("link down", "10.9.0.0/16", true).Ways, four.Ways)
	equal(h, "ways, one of them dead", there("link down", "fd09::/64", true).Ways, six.Ways)
	there("link down", "10.8.0.0/16", true)
	equal(h, "source, of a link that is down", there("link down", "fd08::/64", true).Src, src6.Src)
	h.do(kernel.LinkSet{Netns: "a", Name: "eth1", Up: ref(true)}, kernel.AddrAdd{Netns: "a", Link: "eth1", Prefix: prefix("fd00:1::1/64")}, src6)
	// Its addresses gone.
	h.do(kernel.AddrDelete{Netns: "a", Link: "eth1", Prefix: prefix("10.0.1.1/24")}, kernel.AddrDelete{Netns: "a", Link: "eth1", Prefix: prefix("fd00:1::1/64")})
	there("no source", "10.8.0.0/16", false)
	equal(h, "source that is gone", there("no source", "fd08::/64", true).Src, netip.Addr{})
	equal(h, "ways without an address", there("no address", "10.9.0.0/16", true).Ways, four.Ways)
	equal(h, "ways without an address", there("no address", "fd09::/64", true).Ways, six.Ways)
	h.do(kernel.AddrAdd{Netns: "a", Link: "eth1", Prefix: prefix("10.0.1.1/24")}, kernel.AddrAdd{Netns: "a", Link: "eth1", Prefix: prefix("fd00:1::1/64")}, src4, src6)
	// The link gone.
	h.do(kernel.LinkDelete{Netns: "a", Name: "eth1"})
	there("link gone", "10.9.0.0/16", false)
	there("link gone", "10.8.0.0/16", false)
	equal(h, "source that went with its link", there("link gone", "fd08::/64", true).Src, src6.Src)
	left := there("link gone", "fd09::/64", true)
	equal(h, "way that is left", left.Via, addr("fd00::9"))
	equal(h, "ways that are left", left.Ways, nil)
	// All links gone; and lo.
	h.do(kernel.LinkDelete{Netns: "a", Name: "eth0"})
	there("links gone", "fd09::/64", false)
	there("links gone", "10.7.0.0/16", true)
	there("links gone", "fd07::/64", true)
	h.do(kernel.LinkSet{Netns: "a", Name: "lo", Up: ref(false)})
	there("lo down", "10.7.0.0/16", true)
	there("lo down", "fd07::/64", false)
}
