package examples_test

import (
	"errors"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// Three networks are one by a VXLAN, and each part of it that somebody changes is put right alone.
func TestOverlay(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "overlay.yaml")
	for _, to := range []string{"10.42.0.2", "10.42.0.3"} {
		l.sh(in("overlay-red", ping(to)))
	}
	l.sh(in("overlay-red", "ping -c 1 -W 5 -M do -s 1422 10.42.0.3"))
	l.fails(in("overlay-red", "ping -c 1 -W 5 -M do -s 1423 10.42.0.3"))
	l.shows("bridge -n overlay-red fdb show dev vx0", "00:00:00:00:00:00 dst 10.1.2.2 self permanent", "00:00:00:00:00:00 dst 10.1.3.2 self permanent")
	l.heal("bridge -n overlay-red fdb delete 00:00:00:00:00:00 dev vx0 dst 10.1.3.2", "+ remote/red:vx0/10.1.3.2")
	l.heal("bridge -n overlay-red fdb append 00:00:00:00:00:00 dev vx0 dst 10.1.9.9", "- remote/red:vx0/10.1.9.9")
	l.heal("ip -n overlay-red link set vx0 mtu 1400", "~ link/red:vx0")
	index := l.sh("ip -n overlay-red -o link show vx0 | cut -d: -f1")
	// A remote less is one entry less, and nothing else.
	l.edited("remotes: [10.1.2.2, 10.1.3.2]", "remotes: [10.1.2.2]")
	l.plans("without a remote", "- remote/red:vx0/10.1.3.2")
	l.up()
	if after := l.sh("ip -n overlay-red -o link show vx0 | cut -d: -f1"); after != index {
		t.Errorf("the VXLAN is another one: %s, before %s", after, index)
	}
	l.edited("id: 42, local: 10.1.1.2", "id: 43, local: 10.1.1.2")
	l.plans("another number", "± link/red:vx0", "+ remote/red:vx0/10.1.2.2", "+ address/red:vx0/10.42.0.1/24")
	l.up()
	l.down()
}

// Links that are no cables: each end is a resource of its own, in a node or on the host.
func TestTunnel(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "tunnel.yaml")
	l.sh(in("tunnel-a", ping("10.7.0.2")))
	l.sh(in("tunnel-b", ping("10.8.0.1")))
	l.sh(in("tunnel-b", ping("10.8.0.2")))
	l.sh(ping("10.8.0.3"))
	l.sh(ping("10.8.0.9"))
	testhost.Poll(t, func() error { // where both ends of a veth have the same number, the kernel says late that it has a carrier
		if out := l.sh("ip link && ip -all netns exec ip link"); strings.Contains(out, "NO-CARRIER") {
			return errors.New(out)
		}
		return nil
	})
	l.shows("ip -d link show tunnel-mac", "macvlan mode bridge", "topo:tunnel:link/host:tunnel-mac")
	l.shows("ip -n tunnel-a -d link show eth1", "macvlan mode bridge")
	l.heal("ip link set tunnel-mac mtu 1400", "~ link/host:tunnel-mac")
	l.heal("ip link set tunnel-mac type macvlan mode private", "± link/host:tunnel-mac", "+ address/host:tunnel-mac/10.8.0.1/24")
	l.heal("ip link delete tunnel-mac", "+ link/host:tunnel-mac", "+ address/host:tunnel-mac/10.8.0.1/24")
	l.heal("ip -n tunnel-b link delete eth1", "+ link/b:eth1", "+ address/b:eth1/10.8.0.3/24")
	// What is somebody else's is not taken.
	l.sh("ip link add mine type bridge")
	file := l.file
	l.edited("interface: tunnel-mac", "interface: mine")
	if out, code := l.try("up"); code != 3 || !strings.Contains(out, "mine") {
		t.Errorf("up with a name that is taken: exit code %d\n%s", code, out)
	}
	l.file = file
	l.sh("ip link delete mine")
	l.settled()
	// An end less is one interface less.
	l.edited("      - {node: b, address: 10.8.0.3/24}\n", "")
	l.plans("without an end", "- link/b:eth1", "~ hosts/b")
	l.up()
	l.sh(ping("10.8.0.2"))
	l.down()
}

// A bond outlives the loss of a leg, and a VLAN stands on it.
func TestVMBond(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	testhost.Kernel(t, "CONFIG_BONDING", "ip", "link", "add", "probe", "type", "bond")
	l := start(t, "bond.yaml")
	l.shows("ip -n bond-server -d link show bond0.10", "vlan protocol 802.1Q id 10")
	l.sh(in("bond-server", "ping -c 3 -i 0.2 -W 5 10.10.0.2"))
	l.sh("ip -n bond-switch link set leg1 down")
	l.sh(in("bond-server", `sh -c 'for i in $(seq 50); do ping -c 1 -W 1 10.10.0.2 && exit; done; exit 1'`))
	l.plans("a cable is pulled", "~ link/switch:leg1")
	l.up()
	l.shows("ip netns exec bond-server cat /proc/net/bonding/bond0", "active-backup", "MII Polling Interval (ms): 100")
	l.heal("ip -n bond-server link set leg2 nomaster", "+ member/server:leg2", "~ link/server:leg2")
	l.heal("ip -n bond-server link set bond0 type bond miimon 500", "~ link/server:bond0")
	l.sh("ip -n bond-server link delete bond0.10")
	l.plans("the VLAN is gone", "+ link/server:bond0.10", "+ address/server:bond0.10/10.10.0.1/24")
	l.up()
	l.sh(in("bond-server", ping("10.10.0.2")))
	l.down()
}

// Two VRFs have the same addresses, and never meet.
func TestVMVRF(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	testhost.Kernel(t, "CONFIG_NET_VRF", "ip", "link", "add", "probe", "type", "vrf", "table", "7")
	l := start(t, "vrf.yaml")
	for _, customer := range []string{"red", "blue"} {
		l.sh(in("vrf-"+customer+"-pc", ping("10.0.2.2")))
		l.shows("ip -n vrf-router route show vrf "+customer, "10.0.1.0/24 dev "+customer+"-lan", "10.0.2.0/24 dev "+customer+"-dmz")
	}
	l.sh(in("vrf-red-pc", ping("10.0.9.1")))
	l.fails(in("vrf-blue-pc", noPing("10.0.9.1")))
	if routes := strings.TrimSpace(l.sh("ip -n vrf-router route")); routes != "" {
		t.Errorf("routes that are in no VRF: %s", routes)
	}
	// Who leaves a VRF loses its routes; they come back with it.
	l.heal("ip -n vrf-router link set red-dmz nomaster", "+ member/router:red-dmz", "+ route/router:10.0.9.0/24 table 10")
	l.sh(in("vrf-red-pc", ping("10.0.9.1")))
	l.down()
}

// Two machines with the same file are one layer 2, and a remote more is one entry more. The other machine is a network namespace, with
// folders of its own for topo.
func TestSites(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	remote := testhost.Remote(t, "wan0", "192.0.2.1/24", "192.0.2.2/24")
	t.Setenv("TOPO_PROFILE", "east")
	l := start(t, "sites.yaml")
	vxlan := strings.TrimSpace(l.sh("ip -o link show type vxlan | cut -d' ' -f2 | tr -d :"))
	l.shows("ip -d link show "+vxlan, "vxlan id 50 local 192.0.2.1", "mtu 1450", "master sites-lan", "bridge_slave")
	l.shows("bridge fdb show dev "+vxlan, "00:00:00:00:00:00 dst 192.0.2.2 self permanent")
	west := `mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /var/lib/topo && mount -t tmpfs tmpfs /etc/netns || exit
		topo=$` + binaryVariable + `
		$topo up -f sites.yaml --wait || exit
		ip netns exec sites-client curl --silent --fail --max-time 10 http://10.50.0.11/ && ip netns exec sites-client ping -c 1 -W 5 -M do -s 1422 10.50.0.11; code=$?
		bridge fdb show | grep 'dst 192.0.2.1 self permanent'
		$topo down -f sites.yaml && exit $code`
	out := remote.Run("unshare", "--mount", "--propagation", "private", "env", "TOPO_PROFILE=west", "GATEWAY=10.50.0.2", "sh", "-c", west)
	for _, text := range []string{"from the east", "1 received", "00:00:00:00:00:00"} {
		if !strings.Contains(out, text) {
			t.Errorf("the other machine does not say %q:\n%s", text, out)
		}
	}
	remote.Run("sh", "-c", get("http://192.0.2.1:8080/"))
	l.heal("bridge fdb delete 00:00:00:00:00:00 dev "+vxlan+" dst 192.0.2.2", "+ remote/host:"+vxlan+"/192.0.2.2")
	l.heal("ip link set "+vxlan+" nomaster", "~ link/host:"+vxlan)
	l.heal("ip link set "+vxlan+" mtu 1400", "~ link/host:"+vxlan)
	l.edited(`"${WEST:-192.0.2.2}"`, `"${WEST:-192.0.2.2}", 192.0.2.3`)
	l.plans("a third machine", "+ remote/host:"+vxlan+"/192.0.2.3")
	l.up()
	l.sh("ip link delete " + vxlan)
	l.plans("the VXLAN is gone", "+ link/host:"+vxlan, "+ remote/host:"+vxlan+"/192.0.2.2", "+ remote/host:"+vxlan+"/192.0.2.3")
	l.up()
	l.down()
}

// Every kind of interface works, and whatever of it somebody changes is named, and repaired alone.
func TestVMKinds(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	testhost.Kernel(t, "CONFIG_GENEVE", "ip", "link", "add", "probe", "type", "geneve", "id", "1", "remote", "192.0.2.1")
	l := start(t, "kinds.yaml")
	for _, to := range []string{"10.2.0.2", "10.3.0.2", "10.4.0.2", "10.5.0.2", "10.7.0.2", "10.8.0.2", "10.9.0.2"} {
		l.sh(in("kinds-a", ping(to)))
	}
	l.sh(in("kinds-a", "ping -c 1 -W 5 -I red 10.6.0.2"))
	l.fails(in("kinds-a", noPing("10.6.0.2")))
	for broken, changes := range map[string][]string{
		"ip -n kinds-a link set loop mtu 1500":                                              {"~ link/a:loop"},
		"ip -n kinds-a link set loop address 02:00:00:00:00:01":                             {"~ link/a:loop"},
		"ip -n kinds-a link set loop group 0":                                               {"~ link/a:loop"},
		"ip -n kinds-a link set mactap up":                                                  {"~ link/a:mactap"},
		"ip -n kinds-a link set inner address 02:00:00:00:00:01":                            {"~ link/a:inner"},
		"ip -n kinds-a link set mac2 type macvlan mode bridge":                              {"± link/a:mac2"},
		"ip -n kinds-a link set ipv type ipvlan mode l3":                                    {"~ link/a:ipv"},
		"ip -n kinds-a link set tunnel type gre ttl 9 local 10.1.0.1 remote 10.1.0.2 key 5": {"~ link/a:tunnel"},
		"ip -n kinds-a link set tunnel2 type ipip remote 10.1.0.9":                          {"~ link/a:tunnel2"},
		"ip -n kinds-a link set bond type bond updelay 500":                                 {"~ link/a:bond"},
		"ip -n kinds-a link set bond type bond min_links 2":                                 {"~ link/a:bond"},
		"ip -n kinds-a link set bond type bond xmit_hash_policy layer2":                     {"~ link/a:bond"},
		"ip -n kinds-a link set tap mtu 1300":                                               {"~ link/a:tap"},
		"ip -n kinds-a link set queue down":                                                 {"~ link/a:queue"},
		"ip -n kinds-a link delete tun":                                                     {"+ link/a:tun", "+ address/a:tun/10.11.0.1/24"},
		"ip -n kinds-a link delete outer":                                                   {"+ link/a:outer", "+ link/a:inner", "+ address/a:outer/10.2.0.1/24", "+ address/a:inner/10.3.0.1/24"},
		"ip -n kinds-a link delete vx; ip -n kinds-a link add vx address 02:00:00:00:00:01 type vxlan id 8 dstport 4789": {
			"± link/a:vx", "+ address/a:vx/10.5.0.1/24", "+ remote/a:vx/10.1.0.2", "+ remote/a:vx/10.1.0.9/02:00:00:00:00:99",
		},
		"bridge -n kinds-a fdb delete 02:00:00:00:00:99 dev vx dst 10.1.0.9": {"+ remote/a:vx/10.1.0.9/02:00:00:00:00:99"},
		"ip -n kinds-a link set gnv nomaster":                                {"+ member/a:gnv"},
		"ip -n kinds-a address delete 10.8.0.1/24 dev ipv":                   {"+ address/a:ipv/10.8.0.1/24"},
	} {
		l.sh(broken)
		l.plans(broken, changes...)
		l.up()
		l.settled()
	}
	for _, to := range []string{"10.2.0.2", "10.3.0.2", "10.4.0.2", "10.5.0.2", "10.7.0.2", "10.8.0.2", "10.9.0.2"} {
		l.sh(in("kinds-a", ping(to)))
	}
	l.down()
}
