package linux

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "web", Name: "eth0", MAC: "02:00:00:00:00:0a", Up: true}, B: kernel.VethEnd{Name: "v0", Up: true}})
	v4 := kernel.AddrAdd{Netns: "web", Link: "eth0", Prefix: prefix("10.0.0.2/24")}
	v6 := kernel.AddrAdd{Netns: "web", Link: "eth0", Prefix: prefix("2001:db8::2/64")}
	do(t, h, v4, v6)
	testhost.Run(t, "ip", "-n", "web", "address", "add", "fe80::99/64", "dev", "eth0")
	refused(t, h, unix.EEXIST, v4)
	refused(t, h, unix.EEXIST, v6)
	refused(t, h, unix.ENODEV, kernel.AddrAdd{Netns: "web", Link: "none", Prefix: v4.Prefix})
	refused(t, h, unix.ENOENT, kernel.AddrAdd{Netns: "none", Link: "eth0", Prefix: v4.Prefix})

	want := map[string]bool{ // address → made by the kernel
		"lo 127.0.0.1/8": true, "lo ::1/128": true, "eth0 fe80::ff:fe00:a/64": true,
		"eth0 10.0.0.2/24": false, "eth0 2001:db8::2/64": false, "eth0 fe80::99/64": false,
	}
	for _, a := range netnsOf(t, snapshot(t, h), "web").Addrs {
		key := a.Link + " " + a.Prefix.String()
		made, ok := want[key]
		if !ok || a.Kernel != made {
			t.Errorf("read %+v", a)
		}
		if key == "eth0 2001:db8::2/64" && a.Tentative {
			t.Errorf("%s is tentative", key)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("not read: %v", want)
	}
	for _, op := range []kernel.AddrDelete{{Netns: "web", Link: "eth0", Prefix: v4.Prefix}, {Netns: "web", Link: "eth0", Prefix: v6.Prefix}} {
		do(t, h, op, op)
	}
	do(t, h, kernel.AddrDelete{Netns: "web", Link: "none", Prefix: v4.Prefix}, kernel.AddrDelete{Netns: "none", Link: "eth0", Prefix: v4.Prefix})
	if a := testhost.Run(t, "ip", "-n", "web", "address"); strings.Contains(a, "10.0.0.2") || strings.Contains(a, "2001:db8") {
		t.Errorf("left: %s", a)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "web", Name: "eth0", Up: true}, B: kernel.VethEnd{Name: "v0", Up: true}},
		kernel.AddrAdd{Netns: "web", Link: "eth0", Prefix: prefix("10.0.0.2/24")},
		kernel.AddrAdd{Netns: "web", Link: "eth0", Prefix: prefix("2001:db8::2/64")})
	routes := []kernel.RouteReplace{
		{Netns: "web", Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.1"), Link: "eth0", Table: 254},
		{Netns: "web", Dst: prefix("::/0"), Via: addr("2001:db8::1"), Link: "eth0", Table: 254, Metric: 1024},
		{Netns: "web", Dst: prefix("10.1.0.0/16"), Link: "eth0", Table: 254, Metric: 7},
		{Netns: "web", Dst: prefix("10.2.0.0/16"), Via: addr("10.0.0.9"), Link: "eth0", Table: 1000},
		{Netns: "web", Dst: prefix("10.3.0.0/16"), Via: addr("2001:db8::9"), Link: "eth0", Table: 254},
		{Netns: "web", Dst: prefix("2001:db8:1::/48"), Link: "eth0", Table: 254, Metric: 5},
	}
	for _, r := range routes {
		do(t, h, r, r) // replacing is no error
	}
	got := netnsOf(t, snapshot(t, h), "web").Routes
	read := func(want kernel.Route) bool {
		return slices.ContainsFunc(got, func(r kernel.Route) bool { return reflect.DeepEqual(r, want) })
	}
	for _, r := range routes {
		want := kernel.Route{Dst: r.Dst, Via: r.Via, Link: r.Link, Metric: r.Metric, Table: r.Table, Protocol: kernel.Protocol, Type: "unicast"}
		if !read(want) {
			t.Errorf("missing %+v in %v", want, got)
		}
	}
	if want := (kernel.Route{Dst: prefix("10.0.0.0/24"), Link: "eth0", Table: 254, Protocol: unix.RTPROT_KERNEL, Type: "unicast", RouteMore: kernel.RouteMore{Src: addr("10.0.0.2")}}); !read(want) {
		t.Errorf("the kernel's own is missing: %v", got)
	}
	if out := testhost.Run(t, "ip", "-n", "web", "route", "show", "default"); !strings.Contains(out, "via 10.0.0.1 dev eth0 proto 116") {
		t.Errorf("default route is %s", out)
	}
	// Another gateway replaces the route.
	do(t, h, kernel.RouteReplace{Netns: "web", Dst: prefix("0.0.0.0/0"), Via: addr("10.0.0.3"), Link: "eth0", Table: 254})
	if out := testhost.Run(t, "ip", "-n", "web", "route", "show", "default"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "10.0.0.3") {
		t.Errorf("default route is %s", out)
	}
	routes[0].Via = addr("10.0.0.3")
	for _, r := range routes {
		do(t, h, r.Delete(), r.Delete())
	}
	for _, r := range netnsOf(t, snapshot(t, h), "web").Routes {
		if r.Protocol == kernel.Protocol {
			t.Errorf("left: %+v", r)
		}
	}
	e := refused(t, h, unix.ENETUNREACH, kernel.RouteReplace{Netns: "web", Dst: prefix("0.0.0.0/0"), Via: addr("192.0.2.1"), Link: "eth0", Table: 254})
	if !strings.Contains(e.Error(), "gateway") {
		t.Errorf("the kernel's explanation is missing: %v", e)
	}
	do(t, h, kernel.RouteDelete{Netns: "none", Dst: prefix("0.0.0.0/0"), Table: 254})
}

func TestForeignRoutesAreRead(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	testhost.Run(t, "ip", "address", "add", "10.0.0.1/24", "dev", "v0")
	testhost.Run(t, "ip", "link", "set", "v0", "up")
	testhost.Run(t, "ip", "link", "set", "v1", "up")
	testhost.Run(t, "ip", "route", "add", "10.5.0.0/16", "nexthop", "via", "10.0.0.3", "nexthop", "via", "10.0.0.2")
	testhost.Run(t, "ip", "route", "add", "blackhole", "10.6.0.0/16", "proto", "static")
	want := []kernel.Route{
		{Dst: prefix("10.5.0.0/16"), Table: 254, Protocol: unix.RTPROT_BOOT, Type: "unicast", RouteMore: kernel.RouteMore{
			Ways: []kernel.Way{{Via: addr("10.0.0.2"), Link: "v0", Weight: 1}, {Via: addr("10.0.0.3"), Link: "v0", Weight: 1}},
		}},
		{Dst: prefix("10.6.0.0/16"), Table: 254, Protocol: unix.RTPROT_STATIC, Type: "blackhole"},
	}
	for _, r := range snapshot(t, h).Host.Routes {
		if len(want) > 0 && reflect.DeepEqual(r, want[0]) {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		t.Errorf("not read, in this order: %+v", want)
	}
}
