package examples_test

import (
	"strings"
	"testing"

	"topo/internal/testhost"
)

// A card of the host's is a node's, and comes back as it was; also when a crash took the node.
func TestCard(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	wire := testhost.Remote(t, "em2", "192.0.2.10/24", "198.51.100.1/24")
	wire.Run("ip", "route", "add", "10.7.0.0/24", "via", "198.51.100.2")
	l := &lab{T: t}
	l.sh("ip address add 2001:db8:2::10/64 dev em2 nodad; ip route add 203.0.113.0/24 via 192.0.2.1 dev em2 proto static; ip link set em2 alias outside; sysctl -qw net.ipv4.conf.em2.rp_filter=2")
	l = start(t, "card.yaml")
	l.fails("ip link show em2")
	l.shows(in("card-fw", "ip address show wan"), "198.51.100.2/24")
	l.sh(in("card-web", ping("198.51.100.1")))
	wire.Run(strings.Fields(ping("10.7.0.2"))...)
	l.heal("ip -n card-fw link set wan mtu 1400", "~ link/fw:wan")
	l.heal("ip -n card-fw link set wan down", "~ link/fw:wan")
	l.heal("ip -n card-fw address flush dev wan scope global", "+ address/fw:wan/198.51.100.2/24")
	l.sh("ip -n card-fw link set wan netns 1 name em9") // somebody takes it out, and calls it otherwise
	l.plans("the card is taken out", "± link/fw:wan", "+ address/fw:wan/198.51.100.2/24")
	l.sh("ip link set em9 netns card-fw name wan && ip -n card-fw link set wan up")
	l.up()
	l.settled()
	l.sh(in("card-web", ping("198.51.100.1")))
	l.down()

	// The host's way out goes with it.
	l.sh("ip route add default via 192.0.2.1 dev em2")
	l.before = testhost.Machine(t)
	out, code := l.try("up")
	if code != 3 || !strings.Contains(out, "em2 carries the default route (via 192.0.2.1); nothing was changed") || !strings.Contains(out, "em2 goes into node fw, and the host is not reached by it any more") {
		t.Errorf("without --yes: exit code %d\n%s", code, out)
	}
	l.asBefore()
	l.topo("up", "--yes")
	l.down()
}
