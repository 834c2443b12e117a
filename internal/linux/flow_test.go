package linux

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// flowing is a host with tracked flows. Nobody is there to answer: the kernel tracks what is sent.
type flowing struct {
	*testing.T
	h *Host
}

func newFlowing(t *testing.T) *flowing {
	t.Helper()
	f := &flowing{t, open(t)}
	testhost.Run(t, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	for _, a := range []string{"10.5.0.1/24", "10.6.0.1/24", "192.0.2.1/24", "fd05::1/64", "fd06::1/64", "2001:db8::1/64"} {
		add := []string{"ip", "address", "add", a, "dev", "v0"}
		if strings.Contains(a, ":") {
			add = append(add, "nodad")
		}
		testhost.Run(t, add...)
	}
	testhost.Run(t, "ip", "link", "set", "v1", "up")
	testhost.Run(t, "ip", "link", "set", "v0", "up")
	// Without a rule that needs it, nothing is tracked.
	for _, p := range []string{"iptables", "ip6tables"} {
		testhost.Run(t, p, "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "1", "-j", "ACCEPT")
	}
	return f
}

// sends has packets sent from an address of the host's.
func (f *flowing) sends(network, from, to string) {
	f.Helper()
	address, err := net.ResolveUDPAddr(network, to)
	if err != nil {
		f.Fatal(err)
	}
	local := &net.UDPAddr{IP: net.ParseIP(from)}
	c, err := net.DialUDP(network, local, address)
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		f.Fatal(err)
	}
}

// tracked lists the flows of both families by where they go: as they are sent, and where to.
func (f *flowing) tracked() []string {
	f.Helper()
	var out []string
	for _, family := range []kernel.Family{kernel.IPv4, kernel.IPv6} {
		err := f.h.forget(family, func(l flow) bool {
			if l.original.protocol == unix.IPPROTO_UDP {
				out = append(out, fmt.Sprintf("%s > %s > %s", l.original.source.Addr(), l.original.target, l.reply.source))
			}
			return false
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	slices.Sort(out)
	return out
}

func (f *flowing) want(want ...string) {
	f.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, f.tracked()); diff != "" {
		f.Errorf("tracked flows (-want +got):\n%s", diff)
	}
}

func TestFlowsDeleteForgetsWhatLeadsIn(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	f := newFlowing(t)
	for _, rule := range []string{
		"iptables -t nat -A OUTPUT -p udp --dport 1005 -j DNAT --to-destination 10.5.0.2:9",
		"iptables -t nat -A OUTPUT -p udp --dport 1006 -j DNAT --to-destination 10.6.0.2:9",
		"iptables -t nat -A POSTROUTING -s 10.5.0.0/24 -d 192.0.2.0/24 -j SNAT --to-source 192.0.2.1",
		"ip6tables -t nat -A OUTPUT -p udp --dport 1005 -j DNAT --to-destination [fd05::2]:9",
		"ip6tables -t nat -A OUTPUT -p udp --dport 1006 -j DNAT --to-destination [fd06::2]:9",
		"ip6tables -t nat -A POSTROUTING -s fd05::/64 -d 2001:db8::/64 -j SNAT --to-source 2001:db8::1",
	} {
		testhost.Run(t, strings.Fields(rule)...)
	}
	f.sends("udp4", "192.0.2.1", "192.0.2.1:1005") // translated into it
	f.sends("udp4", "10.5.0.1", "192.0.2.9:7")     // out of it, so that the answers are translated into it
	f.sends("udp4", "192.0.2.1", "192.0.2.1:1006") // elsewhere
	f.sends("udp4", "10.5.0.1", "10.5.0.2:7")      // not translated
	f.sends("udp6", "2001:db8::1", "[2001:db8::1]:1005")
	f.sends("udp6", "fd05::1", "[2001:db8::9]:7")
	f.sends("udp6", "2001:db8::1", "[2001:db8::1]:1006")
	f.sends("udp6", "fd05::1", "[fd05::2]:7")
	others := []string{
		"192.0.2.1 > 192.0.2.1:1006 > 10.6.0.2:9", "10.5.0.1 > 10.5.0.2:7 > 10.5.0.2:7",
		"2001:db8::1 > [2001:db8::1]:1006 > [fd06::2]:9", "fd05::1 > [fd05::2]:7 > [fd05::2]:7",
	}
	into6 := []string{"2001:db8::1 > [2001:db8::1]:1005 > [fd05::2]:9", "fd05::1 > [2001:db8::9]:7 > [2001:db8::9]:7"}
	f.want(append(append(others, into6...), "192.0.2.1 > 192.0.2.1:1005 > 10.5.0.2:9", "10.5.0.1 > 192.0.2.9:7 > 192.0.2.9:7")...)

	do(t, f.h, kernel.FlowsDelete{Family: kernel.IPv4, Subnets: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("10.5.0.0/24")}})
	f.want(append(others, into6...)...)
	six := kernel.FlowsDelete{Family: kernel.IPv6, Subnets: []netip.Prefix{netip.MustParsePrefix("fd05::/64")}}
	do(t, f.h, six)
	f.want(others...)
	do(t, f.h, six) // nothing is left to forget
	f.want(others...)
}

func TestFlowsRenewForgetsWhatLeadsElsewhere(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	f := newFlowing(t)
	for _, rule := range []string{
		"iptables -t nat -A OUTPUT -p udp -d 192.0.2.1 --dport 1005 -j DNAT --to-destination 10.5.0.2:9",
		"iptables -t nat -A OUTPUT -p udp -d 10.6.0.1 --dport 1005 -j DNAT --to-destination 10.5.0.3:9",
	} {
		testhost.Run(t, strings.Fields(rule)...)
	}
	const right, wrong, here = "192.0.2.1 > 192.0.2.1:1005 > 10.5.0.2:9", "192.0.2.1 > 10.6.0.1:1005 > 10.5.0.3:9", "192.0.2.1 > 10.5.0.1:1005 > 10.5.0.1:1005"
	const another, other = "192.0.2.1 > 192.0.2.1:1006 > 192.0.2.1:1006", "192.0.2.1 > 192.0.2.9:1005 > 192.0.2.9:1005"
	for _, to := range []string{"192.0.2.1:1005", "10.6.0.1:1005", "10.5.0.1:1005", "192.0.2.1:1006", "192.0.2.9:1005"} {
		f.sends("udp4", "192.0.2.1", to)
	}
	f.want(right, wrong, here, another, other)
	port := kernel.PublishedPort{Addr: netip.MustParseAddr("10.5.0.1"), Port: 1005, To: netip.MustParseAddrPort("10.5.0.2:9")}
	do(t, f.h, kernel.FlowsRenew{Family: kernel.IPv4, Ports: []kernel.PublishedPort{port}})
	f.want(right, wrong, another, other)
	port.Addr = netip.Addr{}
	do(t, f.h, kernel.FlowsRenew{Family: kernel.IPv4, Ports: []kernel.PublishedPort{port}})
	f.want(right, another, other) // the last is to another machine
}
