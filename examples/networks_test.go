package examples_test

import (
	"strings"
	"testing"

	"topo/internal/testhost"
)

func TestDocker0(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l := start(t, "docker0.yaml")
	if out := l.topo("port", "box", "22"); strings.TrimSpace(out) != "0.0.0.0:49153" {
		t.Errorf("topo port box 22: %q", out)
	}
	l.shows("ip -brief address show docker0", "172.17.0.1/16")
	l.shows("iptables-save -t nat", "--to-destination 172.17.0.2:22", "MASQUERADE")
	l.sh(get("http://127.0.0.1:49153/"))
	l.sh(get("http://203.0.113.1:49153/"))
	remote.Run("sh", "-c", get("http://203.0.113.1:49153/"))
	l.topo("exec", "neighbour", "sh", "-c", get("http://172.17.0.2:22/"))
	l.topo("exec", "neighbour", "sh", "-c", get("http://203.0.113.1:49153/"))
	l.topo("exec", "neighbour", "sh", "-c", ping("203.0.113.9"))

	l.heal("iptables -t nat -F TOPO-DNAT", "~ chain/ipv4/nat")
	remote.Run("sh", "-c", get("http://203.0.113.1:49153/"))
	l.down()
}

func TestTwoNetworks(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "two-networks.yaml")
	l.topo("exec", "app", "ping", "-c", "1", "-W", "5", "web")
	l.topo("exec", "app", "ping", "-c", "1", "-W", "5", "db")
	l.topo("exec", "app", "ping", "-c", "1", "-W", "5", "172.30.2.2")
	l.topo("exec", "db", "ping", "-c", "1", "-W", "5", "app")
	if _, code := l.try("exec", "web", "getent", "hosts", "db"); code == 0 {
		t.Error("web resolves db, which is on the other network")
	}
	if _, code := l.try("exec", "web", "ping", "-c", "1", "-W", "1", "172.30.2.2"); code == 0 {
		t.Error("web reaches db, which is on the other network")
	}

	// docker network connect back web
	pid := l.pid("web")
	l.edited("  web:\n    bridges: [front]", "  web:\n    bridges: [front, back]")
	l.up()
	l.settled()
	if now := l.pid("web"); now != pid {
		t.Errorf("joining a second bridge restarted web: process %s is now %s", pid, now)
	}
	l.topo("exec", "web", "ping", "-c", "1", "-W", "5", "db")
	l.shows("ip -n two-networks-web -brief address", "eth1@", "172.30.2.")
	// Its name would have more than 15 bytes: it is found by its mark.
	l.heal("ip link delete $(ip -o link show type bridge | awk '/:bridge.back/ {print $2}' | tr -d :)",
		"+ bridge/back", "+ up/back", "+ address/host:br-52f1c22ac663/172.30.2.1/24", "~ port/app:eth1", "~ port/db:eth0", "~ port/web:eth1")
	l.down()
}

func TestDefaultBridge(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "default-bridge.yaml")
	l.topo("exec", "test2", "ping", "-c", "1", "-W", "5", "test1")
	l.topo("exec", "test1", "ping", "-c", "1", "-W", "5", "172.31.0.3")
	if out, code := l.try("exec", "test1", "getent", "hosts", "test2"); code == 0 {
		t.Errorf("test1 resolves test2: %s", out)
	}
	l.heal("sed -i /test1/d /etc/netns/default-bridge-test2/hosts", "~ hosts/test2")
	l.down()
}

func TestNames(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "names.yaml")
	l.topo("exec", "test1", "ping", "-c", "1", "-W", "5", "test2")
	l.topo("exec", "test2", "ping", "-c", "1", "-W", "5", "test1")
	for _, alias := range []string{"db", "store"} {
		if out := l.topo("exec", "test1", "getent", "hosts", alias); !strings.HasPrefix(out, "172.31.1.3") {
			t.Errorf("test1 resolves %s to %q", alias, out)
		}
	}
	// Also for who comes by ip netns exec.
	l.shows(in("names-test1", "getent hosts db"), "172.31.1.3")
	l.heal("echo '10.9.9.9 test2' >> /etc/netns/names-test1/hosts", "~ hosts/test1")
	l.heal("rm /etc/netns/names-test2/hosts", "+ hosts/test2")
	l.down()
}

func TestNetworkNone(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "network-none.yaml")
	if links := strings.Fields(l.topo("exec", "alone", "ls", "/sys/class/net")); len(links) != 1 || links[0] != "lo" {
		t.Errorf("the container has %q, not lo alone", links)
	}
	l.topo("exec", "alone", "ping", "-c", "1", "127.0.0.1")
	if n := strings.Count(l.sh("ip -n network-none-alone -o link"), "\n"); n != 1 {
		t.Errorf("the namespace has %d links, not lo alone", n)
	}
	l.down()
}

func TestInspect(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "inspect.yaml")
	// As it is found by hand: the number of eth0's other end, and which link of the host has that.
	peer := strings.TrimSpace(l.sh(`ip netns exec inspect-box ethtool -S eth0 | awk '/peer_ifindex/ {print $2}'`))
	name := strings.TrimSpace(l.sh(`ip -o link show type veth | awk -F '[:@ ]+' '$1 == "` + peer + `" {print $2}'`))
	if name == "" {
		t.Fatalf("no veth of the host has index %q", peer)
	}
	own := strings.TrimSpace(l.sh("ip netns exec inspect-box cat /sys/class/net/eth0/ifindex"))
	for _, out := range []string{l.topo("inspect", "box"), l.topo("inspect", "box", "--json")} {
		for _, want := range []string{"eth0", name, peer, own, "inspect-net", "172.31.3.2"} {
			if !strings.Contains(out, want) {
				t.Errorf("topo inspect box has no %q:\n%s", want, out)
			}
		}
	}
	l.down()
}

func TestAllocation(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "allocation.yaml")
	address := func(node string) string {
		return strings.TrimSpace(l.sh(`ip -n allocation-` + node + ` -4 -o address show dev eth0 | awk '{print $4}'`))
	}
	expect := func(want map[string]string) {
		t.Helper()
		for node, a := range want {
			if got := address(node); got != a {
				t.Errorf("%s has %q, want %s", node, got, a)
			}
		}
	}
	expect(map[string]string{"a": "10.44.0.2/24", "fixed": "10.44.0.3/24", "b": "10.44.0.4/24", "c": "10.44.0.5/24"})
	l.shows("ip -n allocation-a route", "default via 10.44.0.1 dev eth0")
	// Its bridge's name would have more than 15 bytes: it is found by its mark.
	const onChosen = "ip -4 -o address show dev $(ip -o link | awk '/:bridge.chosen/ {print $2}' | tr -d :)"
	chosen := l.sh(onChosen)
	l.sh(in("allocation-c", ping("10.44.0.1")))

	// b goes: nobody moves.
	l.edited("  b:\n    bridges: [net]              # 10.44.0.4: .3 is reserved below\n", "")
	l.up()
	l.settled()
	l.fails("ip netns exec allocation-b true")
	expect(map[string]string{"a": "10.44.0.2/24", "fixed": "10.44.0.3/24", "c": "10.44.0.5/24"})
	// d comes, before all others in the file, and takes the freed one.
	l.edited("namespaces:\n", "namespaces:\n  d: {bridges: [net]}\n  e: {bridges: [net]}\n")
	l.up()
	l.settled()
	expect(map[string]string{"a": "10.44.0.2/24", "fixed": "10.44.0.3/24", "d": "10.44.0.4/24", "c": "10.44.0.5/24", "e": "10.44.0.6/24"})
	if now := l.sh(onChosen); now != chosen {
		t.Errorf("the chosen subnet moved: %q, then %q", chosen, now)
	}
	l.down()
}
