package examples_test

import (
	"fmt"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// Two lines to the outside, shared by weight; guests have one of them; what leads nowhere is refused; all of it in both families.
func TestRouter(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "router.yaml")
	l.shows("ip -n router-router route show default", "proto 116 src 10.60.1.1", "via 192.0.2.2 dev a weight 3", "via 192.0.2.6 dev b weight 1")
	l.shows("ip -n router-router -6 route show default", "src fd00:60:1::1", "via 2001:db8:a::2 dev a weight 3", "via 2001:db8:b::2 dev b weight 1")
	for _, server := range []string{"198.51.100.10", "2001:db8:100::10"} {
		for _, node := range []string{"desk", "guest", "router"} {
			l.sh(in("router-"+node, ping(server)))
		}
	}
	l.shows(in("router-guest", "ping -c 1 -W 5 10.60.1.2 || true"), "Packet filtered")
	l.shows(in("router-guest", "ping -c 1 -W 5 fd00:60:1::2 || true"), "Administratively prohibited")
	l.shows(in("router-desk", "ping -c 1 -W 5 10.99.1.1 || true"), "From 10.60.1.1", "Unreachable")
	l.shows(in("router-desk", "ping -c 1 -W 5 fd00:99::1 || true"), "From fd00:60:1::1", "No route")
	l.shows("ip -n router-router route get 198.51.100.10", "src 10.60.1.1")

	// Of 400 pairs three of four take the first line: 300, give or take four deviations of 8.7.
	var pairs strings.Builder
	for i := range 200 {
		fmt.Fprintf(&pairs, "route get 198.51.100.10 from 10.60.1.%d iif office\nroute get 2001:db8:100::10 from fd00:60:1::%x iif office\n", 3+i, 3+i)
	}
	lines := func() int {
		t.Helper()
		got := l.sh("ip -n router-router -batch - <<'END'\n" + pairs.String() + "END")
		if a, b := strings.Count(got, "dev a "), strings.Count(got, "dev b "); a+b != 400 {
			t.Fatalf("of 400 pairs %d take one line and %d the other:\n%s", a, b, got)
		}
		return strings.Count(got, "dev a ")
	}
	if n := lines(); n < 265 || n > 335 {
		t.Errorf("%d of 400 pairs take the line with three of four shares", n)
	}
	l.shows("ip -n router-router route get 198.51.100.10 from 10.60.2.77 iif guests", "via 192.0.2.6 dev b table 100")
	l.shows("ip -n router-router route get 2001:db8:100::10 from fd00:60:2::77 iif guests", "via 2001:db8:b::2 dev b table 100")

	l.heal("ip -n router-router route change default src 10.60.1.1 proto 116 nexthop via 192.0.2.2 weight 1 nexthop via 192.0.2.6", "~ route/router:default")
	l.heal("ip -n router-router -6 route delete default via 2001:db8:a::2", "~ route/router:default-ipv6")
	l.heal("ip -n router-router route replace default via 192.0.2.2", "~ route/router:default")
	l.heal("ip -n router-router route change blackhole 10.0.0.0/8", "~ route/router:10.0.0.0/8")
	l.heal("ip -n router-router route add throw 10.5.0.0/16", "- route/router:10.5.0.0/16")
	l.heal("ip -n router-router -6 route delete unreachable fc00::/7", "+ route/router:fc00::/7")
	l.heal("ip -n router-router rule delete priority 100", "+ rule/router:100")
	l.heal("ip -n router-router rule delete priority 90; ip -n router-router rule add priority 90 iif a prohibit proto 116", "~ rule/router:90")
	l.heal("ip -n router-router -6 rule add priority 7 lookup 7 proto 116", "- rule/router:7 ipv6")
	l.heal("ip netns exec router-router sysctl -qw net.ipv4.ip_forward=0", "~ sysctl/router:net.ipv4.ip_forward")
	// What somebody else says is theirs.
	l.sh("ip -n router-router rule add priority 95 from 10.60.9.0/24 lookup 9")
	l.settled()
	l.shows("ip -n router-router rule", "95:\tfrom 10.60.9.0/24 lookup 9")

	// One line's far end is taken down by an edit: all take the other one.
	l.edited("{node: isp-a, interface: router,", "{node: isp-a, interface: router, up: false,")
	l.up()
	testhost.Poll(t, func() error { // the kernel takes up to a second to see that a cable is out (linkwatch)
		if n := lines(); n > 0 {
			return fmt.Errorf("%d of 400 pairs take the line that is down", n)
		}
		return nil
	})
	l.file = "router.yaml"
	l.edited("weight: 3", "weight: 1", "{priority: 100, iif: guests, table: 100}", "{priority: 100, iif: guests, from: 10.60.2.0/25, table: 100}")
	l.up()
	testhost.Poll(t, func() error {
		if n := lines(); n < 160 || n > 240 { // 200, give or take four deviations of 10
			return fmt.Errorf("%d of 400 pairs take a line with half the shares", n)
		}
		return nil
	})
	l.shows("ip -n router-router rule", "100:\tfrom 10.60.2.0/25 iif guests lookup 100")
	l.down()
}
