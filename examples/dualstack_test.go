package examples_test

import (
	"fmt"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// advertise sends a router advertisement (RFC 4861, section 4.2) for 2001:db8:bad::/64 out by eth0.
const advertise = `python3 -c '
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xc0, 3600, 3600, 0, socket.inet_pton(socket.AF_INET6, "2001:db8:bad::"))
s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))
'`

// Both families: names, ports, what leaves as the host and what as itself, and who hears router advertisements.
func TestDualStack(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	testhost.Run(t, "ip", "address", "add", "2001:db8:77::1/64", "dev", "wan0", "nodad")
	remote.Run("ip", "address", "add", "2001:db8:77::9/64", "dev", "eth0", "nodad")
	remote.Run("ip", "route", "add", "10.64.2.0/24", "via", "203.0.113.1")
	remote.Run("ip", "route", "add", "2001:db8:64:2::/64", "via", "2001:db8:77::1")
	l := start(t, "dual-stack.yaml")
	l.shows(in("dual-stack-shop", "getent ahosts store"), "10.64.1.", "fd00:64:1::")
	for _, family := range []string{"-4", "-6"} {
		l.sh(in("dual-stack-shop", "ping "+family+" -c 1 -W 5 store"))
	}
	server := remote.Command("python3", "truth-table/whoami.py")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	// Who the outside sees.
	for _, c := range []struct{ node, url, as string }{
		{"shop", "203.0.113.9:8000", "203.0.113.1"},
		{"shop", "[2001:db8:77::9]:8000", "2001:db8:77::1"},
		{"public", "203.0.113.9:8000", "10.64.2.5"},
		{"public", "[2001:db8:77::9]:8000", "2001:db8:64:2::5"},
	} {
		if as := strings.TrimSpace(l.sh(in("dual-stack-"+c.node, get("'http://"+c.url+"/'")))); as != c.as {
			t.Errorf("%s is seen as %s by %s, want %s", c.node, as, c.url, c.as)
		}
	}
	_ = server.Process.Kill() // it may have ended by itself, which the rows above would have said
	_ = server.Wait()         // says only that it was killed
	// A published port, by both, from outside.
	for url, as := range map[string]string{"203.0.113.1:8090": "203.0.113.9", "[2001:db8:77::1]:8090": "2001:db8:77::9"} {
		if got := strings.TrimSpace(remote.Run("sh", "-c", get("'http://"+url+"/'"))); got != as {
			t.Errorf("%s answers to %s, want %s", url, got, as)
		}
	}
	l.heal("ip netns exec dual-stack-shop sysctl -qw net.ipv6.conf.eth0.accept_ra=1", "- accept_ra/shop:eth0")
	l.heal("sysctl -qw net.ipv6.conf.shops0.accept_ra=2", "- accept_ra/host:shops0")
	l.heal("ip netns exec dual-stack-auto sysctl -qw net.ipv6.conf.eth0.accept_ra=0", "+ accept_ra/auto:eth0")
	// An advertisement: who is to hear it has an address and a route of it, and nobody else, the host least of all.
	l.sh(in("dual-stack-rogue", advertise))
	testhost.Poll(t, func() error {
		if got := l.sh("ip -n dual-stack-auto -6 address show dev eth0"); !strings.Contains(got, "2001:db8:bad:") {
			return fmt.Errorf("no address of the advertisement:\n%s", got)
		}
		return nil
	})
	l.shows("ip -n dual-stack-auto -6 route show default", "proto ra")
	for _, space := range []string{"ip -n dual-stack-shop", "ip -n dual-stack-store", "ip"} {
		if got := l.sh(space + " -6 address; " + space + " -6 route"); strings.Contains(got, "2001:db8:bad:") || strings.Contains(got, "proto ra") {
			t.Errorf("%s has heard the advertisement:\n%s", space, got)
		}
	}
	l.settled() // what came of it is the kernel's
	l.down()
}
