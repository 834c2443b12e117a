package kernel

import (
	"net/netip"
	"strconv"
	"strings"
)

// A flow is a connection that the kernel tracks (conntrack). It decides once, with the first packet, whether and how the rules have it
// translated; the others follow, whatever becomes of the rules. Where the kernel was built without conntrack's netlink interface
// (CONFIG_NF_CT_NETLINK) the two ops do nothing: flows end in their own time.
type (
	// FlowsDelete has the kernel forget the flows that it translates to an address of the subnets: those whose packets of either
	// direction get such a destination from it, by DNAT or on the way back of SNAT. All others stay.
	FlowsDelete struct {
		Family  Family
		Subnets []netip.Prefix
	}
	// FlowsRenew has the kernel forget the flows of UDP to published ports of the host that don't lead where the ports lead now: who
	// began to send before would go on to be led as then, as long as he sends. Those that lead there stay.
	FlowsRenew struct {
		Family Family
		Ports  []PublishedPort
	}
)

// PublishedPort is a port of the host, and where it leads.
type PublishedPort struct {
	Addr netip.Addr // of the host; invalid: all
	Port uint16
	To   netip.AddrPort
}

func (FlowsDelete) op() {}
func (FlowsRenew) op()  {}

// String is no command: conntrack(8) can't name a subnet that flows are translated to.
func (o FlowsDelete) String() string {
	words := make([]string, len(o.Subnets))
	for i, s := range o.Subnets {
		words[i] = s.String()
	}
	return "# forget flows translated to " + strings.Join(words, ", ")
}

// String is no command, either: conntrack(8) can't leave out what leads to the right place.
func (o FlowsRenew) String() string {
	words := make([]string, len(o.Ports))
	for i, p := range o.Ports {
		words[i] = strconv.Itoa(int(p.Port))
		if p.Addr.IsValid() {
			words[i] = netip.AddrPortFrom(p.Addr, p.Port).String()
		}
		words[i] += " but to " + p.To.String()
	}
	return "# forget flows of UDP to " + strings.Join(words, ", ")
}
