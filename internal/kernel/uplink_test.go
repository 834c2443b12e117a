package kernel

import (
	"net/netip"
	"testing"
)

// The line moves what the card has: first all is on the bridge, then it is taken from the card.
func TestUplinkLineMovesWhatTheCardHas(t *testing.T) {
	t.Parallel()
	o := UplinkTake{
		Project: "lab", Card: "em1", Bridge: "lab-lan", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
		Routes: []Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.0.2.254"), Link: "em1", Metric: 100, Table: TableMain, Protocol: 4}},
	}
	const want = "ip link set em1 up master lab-lan && ip address add 192.0.2.1/24 dev lab-lan" +
		" && ip route append default via 192.0.2.254 dev lab-lan metric 100 proto 4" +
		" && ip route delete default via 192.0.2.254 dev em1 metric 100 && ip address delete 192.0.2.1/24 dev em1" +
		"  # with its static neighbours, too"
	if got := o.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A bridge whose MTU was only given to it when it was made follows its ports'.
func TestBridgeLineChangesTheMTU(t *testing.T) {
	t.Parallel()
	for mtu, want := range map[int]string{
		0:     "ip -n n link add br0 group 7 type bridge",
		1500:  "ip -n n link add br0 group 7 mtu 1501 type bridge && ip -n n link set br0 mtu 1500",
		65535: "ip -n n link add br0 group 7 mtu 65534 type bridge && ip -n n link set br0 mtu 65535",
	} {
		if got := (BridgeAdd{Netns: "n", Name: "br0", Group: 7, MTU: mtu}).String(); got != want {
			t.Errorf("MTU %d:\ngot  %s\nwant %s", mtu, got, want)
		}
	}
}
