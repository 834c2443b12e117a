package examples_test

import (
	"testing"

	"topo/internal/testhost"
)

func TestVethPair(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "veth-pair.yaml")
	l.shows("ip netns list", "test1", "test2")
	l.shows("ip -n test1 -brief address", "veth-test1@", "192.168.1.1/24")
	l.shows("ip -n test2 -brief address", "veth-test2@", "192.168.1.2/24")
	for _, n := range []string{"test1", "test2"} {
		l.shows("ip -n "+n+" link show lo", "LOOPBACK,UP,LOWER_UP")
		l.sh(in(n, ping("127.0.0.1")))
	}
	l.sh(in("test1", ping("192.168.1.2")))
	l.sh(in("test2", ping("192.168.1.1")))

	l.heal("ip -n test2 link set veth-test2 down", "~ link/test2:veth-test2")
	l.heal("ip -n test1 link set veth-test1 mtu 1400", "~ link/test1:veth-test1")
	l.heal("ip -n test1 link set veth-test1 address 02:00:00:00:00:99", "~ link/test1:veth-test1")
	l.heal("ip -n test1 link set lo down", "~ netns/test1")
	l.heal("ip -n test1 address flush dev veth-test1", "+ address/test1:veth-test1/192.168.1.1/24")
	l.heal("ip -n test1 address add 10.1.1.1/24 dev veth-test1", "- address/test1:veth-test1/10.1.1.1/24")
	l.down()
}

func TestVethPair177(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "veth-pair-177.yaml")
	l.shows("ip netns list", "veth-pair-177-test1", "veth-pair-177-test2")
	l.shows("ip -n veth-pair-177-test1 -brief address", "veth-test1@", "177.60.1.100/24")
	l.sh(in("veth-pair-177-test1", ping("177.60.1.101")))
	l.sh(in("veth-pair-177-test2", ping("177.60.1.100")))
	l.topo("exec", "test1", "ping", "-c", "1", "177.60.1.101")

	l.heal("ip -n veth-pair-177-test1 link delete veth-test1",
		"+ address/test1:veth-test1/177.60.1.100/24", "+ address/test2:veth-test2/177.60.1.101/24",
		"+ link/test1:veth-test1") // both ends are made at once
	l.down()
}

func TestPlainSwitch(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "plain-switch.yaml")
	l.shows("bridge link show", "v11@", "v22@", "master br0", "state forwarding")
	l.sh("test -z \"$(ip -4 -o address show dev br0)\"")
	l.sh(in("net1", ping("10.0.0.11")))
	l.sh(in("net2", ping("10.0.0.10")))
	l.fails(noPing("10.0.0.10"))

	l.heal("ip link set v11 nomaster", "~ port/net1:v1")
	l.heal("ip link set br0 down", "~ up/br0")
	l.heal("ip address add 10.0.0.1/24 dev br0", "- address/host:br0/10.0.0.1/24")
	l.heal("bridge link set dev v22 isolated on", "~ port/net2:v2")
	l.down()
}

// Each step of the tutorial, in its order.
func TestRedBlue(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	outside := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l := start(t, "red-blue.yaml")
	l.shows("ip -brief address show br0", "192.168.15.5/24")
	l.shows("ip -n red -brief address", "veth-red@", "192.168.15.1/24")
	l.shows("ip -n blue -brief address", "veth-blue@", "192.168.15.2/24")
	l.shows("bridge link show", "veth-red-br@", "veth-blue-br@", "master br0")
	l.shows("ip -n red route", "default via 192.168.15.5 dev veth-red")
	l.shows("cat /proc/sys/net/ipv4/ip_forward", "1")
	l.shows("iptables-save -t nat", "MASQUERADE", "192.168.15.0/24")

	l.sh(in("red", ping("192.168.15.2")))
	l.sh(ping("192.168.15.1"))
	l.sh(in("red", ping("192.168.15.5")))
	// The machine outside has no route to 192.168.15.0/24: an answer means that the address was translated.
	if routes := outside.Run("ip", "route"); routes != "203.0.113.0/24 dev eth0 proto kernel scope link src 203.0.113.9 \n" {
		t.Fatalf("the remote machine has other routes: %q", routes)
	}
	l.sh(in("red", ping("203.0.113.9")))
	l.sh(in("blue", ping("203.0.113.9")))

	server := startIn(t, "red", "python3", "-m", "http.server", "80", "--directory", "/usr/share/common-licenses")
	l.sh(in("blue", get("http://192.168.15.1/")))
	outside.Run("sh", "-c", get("http://203.0.113.1:8080/"))
	if out, err := outside.Try("sh", "-c", noGet("http://192.168.15.1/")); err == nil {
		t.Errorf("the remote machine reaches red itself: %s", out)
	}
	server.stop()

	l.heal("sysctl -w net.ipv4.ip_forward=0", "~ forwarding/ipv4")
	l.heal("ip -n red route delete default", "+ route/red:default")
	l.heal("ip -n red route add 198.51.100.0/24 via 192.168.15.2", "- route/red:198.51.100.0/24")
	l.heal("ip address flush dev br0 scope global", "+ address/host:br0/192.168.15.5/24")
	l.heal("iptables -t nat -F TOPO-SNAT", "~ chain/ipv4/nat")
	l.down()
}
