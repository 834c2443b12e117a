package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// vethInfoPeer is VETH_INFO_PEER (linux/veth.h).
const vethInfoPeer = 1

// nodeIndex is the interface index that eth0 is given in its namespace, where lo is 1:
// so nothing has to be looked up before the address and the route.
const nodeIndex = 2

func addBridge(m *batch) {
	m.begin(unix.RTM_NEWLINK, create)
	m.link(0, false)
	m.text(unix.IFLA_IFNAME, bridge)
	m.attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0xff, 1})
	m.number(unix.IFLA_MTU, mtu)
	m.number(unix.IFLA_GROUP, group)
	m.nest(unix.IFLA_LINKINFO, func() { m.text(unix.IFLA_INFO_KIND, "bridge") })
	m.end()
}

func bridgeUp(m *batch, index int32) {
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(index, true)
	m.text(unix.IFLA_IFALIAS, "topo:star:bridge/net")
	m.end()
}

// addVeth makes both ends in one message, each where it belongs, then marks the near one: the
// kernel ignores an alias in the message that creates a link.
func addVeth(m *batch, i int, bridge int32, netns int) {
	name := fmt.Sprintf("veth%010x", i)
	m.begin(unix.RTM_NEWLINK, create)
	m.link(0, true)
	m.text(unix.IFLA_IFNAME, name)
	m.attr(unix.IFLA_ADDRESS, mac(1, i))
	m.number(unix.IFLA_MTU, mtu)
	m.number(unix.IFLA_GROUP, group)
	m.number(unix.IFLA_MASTER, uint32(bridge))
	m.nest(unix.IFLA_LINKINFO, func() {
		m.text(unix.IFLA_INFO_KIND, "veth")
		m.nest(unix.IFLA_INFO_DATA, func() {
			m.nest(vethInfoPeer, func() {
				m.link(nodeIndex, false) // up here fails: it has no peer yet (veth_open, drivers/net/veth.c)
				m.text(unix.IFLA_IFNAME, "eth0")
				m.attr(unix.IFLA_ADDRESS, mac(2, i))
				m.number(unix.IFLA_MTU, mtu)
				m.number(unix.IFLA_GROUP, group)
				m.number(unix.IFLA_NET_NS_FD, uint32(netns))
			})
		})
	})
	m.end()
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(0, false)
	m.text(unix.IFLA_IFNAME, name)
	m.text(unix.IFLA_IFALIAS, fmt.Sprintf("topo:star:port/n%d:eth0", i))
	m.end()
}

func mac(side byte, i int) []byte {
	return binary.BigEndian.AppendUint32([]byte{2, side}, uint32(i))
}

// setUpInside brings lo and eth0 up and marks them, adds its address and the default route.
func setUpInside(m *batch, i int) {
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(1, true)
	m.number(unix.IFLA_GROUP, group)
	m.text(unix.IFLA_IFALIAS, fmt.Sprintf("topo:star:netns/n%d", i))
	m.end()
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(nodeIndex, true)
	m.text(unix.IFLA_IFALIAS, fmt.Sprintf("topo:star:link/n%d:eth0", i))
	m.end()
	m.address(nodeIndex, nodeAddr(i).AsSlice())
	m.begin(unix.RTM_NEWROUTE, create)
	m.b = append(m.b, unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, 116, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0)
	m.attr(unix.RTA_GATEWAY, []byte{10, 80, 0, 1})
	m.number(unix.RTA_OIF, nodeIndex)
	m.end()
}

// address adds an IPv4 address of a /16.
func (m *batch) address(index int32, a []byte) {
	m.begin(unix.RTM_NEWADDR, create)
	m.b = append(m.b, unix.AF_INET, 16, 0, unix.RT_SCOPE_UNIVERSE)
	m.b = binary.NativeEndian.AppendUint32(m.b, uint32(index))
	m.attr(unix.IFA_LOCAL, a)
	m.attr(unix.IFA_ADDRESS, a)
	m.end()
}

// rules is what the host needs so that the star's nodes reach the outside, and nothing
// outside reaches them unasked.
const rules = `*filter
:STAR - [0:0]
-I FORWARD -j STAR
-A STAR -o star-net -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A STAR -i star-net -j ACCEPT
-A STAR -o star-net -j DROP
COMMIT
*nat
:STAR - [0:0]
-I POSTROUTING -j STAR
-A STAR -s 10.80.0.0/16 ! -o star-net -j MASQUERADE
COMMIT
`

// rules6 keeps the bridge from passing IPv6 on.
const rules6 = `*filter
:STAR - [0:0]
-I FORWARD -j STAR
-A STAR -i star-net -o star-net -j ACCEPT
-A STAR -o star-net -j DROP
COMMIT
`

const noRules = `*filter
-D FORWARD -j STAR
-F STAR
-X STAR
COMMIT
*nat
-D POSTROUTING -j STAR
-F STAR
-X STAR
COMMIT
`

const noRules6 = `*filter
-D FORWARD -j STAR
-F STAR
-X STAR
COMMIT
`

func restore(rules, rules6 string) error {
	if err := restoreBy("iptables-restore", rules); err != nil {
		return err
	}
	return restoreBy("ip6tables-restore", rules6)
}

func restoreBy(command, rules string) error {
	cmd := exec.Command(command, "--noflush", "--wait")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("restoring rules: %w: %s", err, out)
	}
	return nil
}

func filterAndForward(index int32) error {
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	var m batch
	m.address(index, []byte{10, 80, 0, 1})
	if err := host.send(&m); err != nil {
		return fmt.Errorf("adding the bridge's address: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o644); err != nil {
		return err
	}
	return restore(rules, rules6)
}

// down removes the links by their group, in one message, then the namespaces, empty by then.
func down(n int) error {
	if err := restore(noRules, noRules6); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0\n"), 0o644); err != nil {
		return err
	}
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	var m batch
	m.begin(unix.RTM_DELLINK, 0)
	m.link(0, false)
	m.number(unix.IFLA_GROUP, group)
	m.end()
	if err := host.send(&m); err != nil {
		return fmt.Errorf("deleting the group: %w", err)
	}
	for i := range n {
		path := filepath.Join(netnsDir, nodeName(i))
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(etcDir, nodeName(i))); err != nil {
			return err
		}
	}
	if err := unix.Unmount(netnsDir, unix.MNT_DETACH); err != nil {
		return err
	}
	return waitForNoLinks(host)
}

// waitForNoLinks waits until the host has no link but lo: namespaces are taken down after
// the call that closes them has returned.
func waitForNoLinks(host *socket) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		n, err := host.dump(unix.RTM_GETLINK, unix.SizeofIfInfomsg)
		if err != nil {
			return err
		}
		if n <= 2 { // lo and NLMSG_DONE
			return nil
		}
	}
	return fmt.Errorf("links are left after 30 s")
}
