package examples_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// Two switches and a trunk between them: who is in one VLAN is reached, who is in the other is not, whichever switch it is on.
func TestVMTrunk(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	testhost.VLANFiltering(t)
	l := start(t, "trunk.yaml")
	if got := vlans(l, "trunk-sw1"); !slices.Equal(got, []string{"blue1 20 pvid untagged", "red1 10 pvid untagged", "trunk 10", "trunk 20"}) {
		t.Errorf("bridge vlan shows of sw1 %q", got)
	}
	if got := vlans(l, "trunk-sw2"); !slices.Equal(got, []string{"blue2 20 pvid untagged", "red2 10 pvid untagged", "trunk 10", "trunk 20"}) {
		t.Errorf("bridge vlan shows of sw2 %q", got)
	}
	if out := l.sh("ip -o link show type bridge"); strings.Contains(out, "br0") {
		t.Errorf("the host has a part in it:\n%s", out)
	}
	l.sh(in("trunk-red1", ping("10.9.10.2")))
	l.sh(in("trunk-blue1", ping("10.9.10.4")))
	l.fails(in("trunk-red1", noPing("10.9.10.4")))
	l.fails(in("trunk-blue1", noPing("10.9.10.2")))

	l.heal("bridge -n trunk-sw1 vlan add dev red1 vid 20", "~ vlan/red1:eth0")
	l.heal("bridge -n trunk-sw2 vlan add dev red2 vid 1 pvid untagged && bridge -n trunk-sw2 vlan delete dev red2 vid 10", "+ vlan/red2:eth0")
	l.heal("ip -n trunk-sw1 link set br0 type bridge vlan_filtering 0", "~ bridge/lan1")
	l.heal("ip -n trunk-sw2 link delete br0", "+ bridge/lan2", "~ port/red2:eth0", "~ port/blue2:eth0", "~ port/lan2:trunk",
		"+ vlan/lan2", "+ vlan/red2:eth0", "+ vlan/blue2:eth0", "+ vlan/lan2:trunk", "+ up/lan2")
	l.sh(in("trunk-red1", ping("10.9.10.2")))

	// blue2 moves into VLAN 10 while it runs; nothing else is touched.
	l.edited("lan2: {vlan: 20", "lan2: {vlan: 10")
	l.plans("another VLAN", "~ vlan/blue2:eth0")
	l.up()
	l.sh(in("trunk-red1", ping("10.9.10.4")))
	l.fails(in("trunk-blue1", noPing("10.9.10.4")))
	l.edited("tagged: [10, 20]", "pvid: 30, tagged: [10-20, 25]")
	l.plans("a trunk with a VLAN of its own", "~ vlan/lan1:trunk", "~ vlan/lan2:trunk")
	l.up()
	l.settled()
	l.shows("bridge -n trunk-sw1 vlan show dev trunk", "15", "30 PVID Egress Untagged")
	l.sh(in("trunk-red1", ping("10.9.10.2")))
	// A switch that is gone takes its cables along, and comes back with them.
	l.sh("ip netns delete trunk-sw2")
	l.up()
	l.settled()
	l.sh(in("trunk-red1", ping("10.9.10.2")))
	l.down()
}

// A ring of switches: the spanning tree takes out the cable that costs most, and in again when another fails.
func TestRing(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "ring.yaml")
	states := func(want map[string]string) error {
		for port, state := range want {
			if out := l.sh("bridge link show dev " + port); !strings.Contains(out, "state "+state) {
				return fmt.Errorf("%s, want %s", out, state)
			}
		}
		return nil
	}
	whole := map[string]string{"one-two": "forwarding", "two-one": "forwarding", "one-three": "forwarding", "three-one": "forwarding"}
	testhost.Poll(t, func() error {
		if err := states(whole); err != nil {
			return err
		}
		// Of the dear cable one end blocks, that of the bridge with the larger ID.
		if out := l.sh("bridge link show"); strings.Count(out, "state blocking") != 1 {
			return fmt.Errorf("%s, want one port blocking", out)
		}
		return nil
	})
	l.sh(in("ring-b", ping("10.10.0.3")))
	l.shows("ip -d link show ring-sw1", "priority 4096", "max_age 600")
	// While the tree changes, addresses are remembered for twice the forward delay only. That is no difference.
	l.settled()
	testhost.Poll(t, func() error {
		if out := l.sh("ip -d link show type bridge"); strings.Count(out, "ageing_time 30000 ") != 3 {
			return fmt.Errorf("the tree changes:\n%s", out)
		}
		return nil
	})
	l.heal("bridge link set dev two-three cost 7 && bridge link set dev one-two flood off learning off", "~ port/sw1:one-two", "~ port/sw2:two-three")
	l.heal("ip link set ring-sw3 type bridge priority 40000 ageing_time 700 mcast_snooping 0", "~ bridge/sw3")
	// Without one way there is the other.
	l.sh("ip link set one-two down")
	testhost.Poll(t, func() error {
		return states(map[string]string{"two-three": "forwarding", "three-two": "forwarding", "one-three": "forwarding"})
	})
	l.sh(in("ring-b", ping("10.10.0.3")))
	l.plans("a cable is down", "~ port/sw1:one-two")
	l.up()
	l.settled()
	// An edit of what a port has changes that alone.
	l.edited("{sw3: {address: 10.10.0.3/24}}", "{sw3: {address: 10.10.0.3/24, port: {isolated: true, fdb: [02:00:00:00:00:99]}}}")
	l.plans("a port that keeps apart", "~ port/c:eth0", "+ fdb/c:eth0/02:00:00:00:00:99")
	l.up()
	l.settled()
	l.shows("bridge fdb show br ring-sw3", "02:00:00:00:00:99 dev veth", "static")
	l.down()
}

// vlans is what bridge(8) says of who belongs to which VLAN in a namespace.
func vlans(l *lab, netns string) []string {
	l.Helper()
	var links []struct {
		Ifname string
		Vlans  []struct {
			Vlan  int
			Flags []string
		}
	}
	if err := json.Unmarshal([]byte(l.sh("bridge -n "+netns+" -j vlan show")), &links); err != nil {
		l.Fatal(err)
	}
	var out []string
	for _, link := range links {
		for _, v := range link.Vlans {
			words := []string{link.Ifname, fmt.Sprint(v.Vlan)}
			for _, f := range v.Flags {
				words = append(words, strings.ToLower(strings.TrimPrefix(f, "Egress ")))
			}
			out = append(out, strings.Join(words, " "))
		}
	}
	slices.Sort(out)
	return out
}
