package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"topo/bench/shape"
)

const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// vethInfoPeer is VETH_INFO_PEER (linux/veth.h).
const vethInfoPeer = 1

// firstIndex is the interface index of a node's first interface after lo.
const firstIndex = 2

func bridgeName(b shape.Bridge) string { return project + "-" + b.Name }

func addBridge(m *batch, i int, b shape.Bridge) {
	m.begin(unix.RTM_NEWLINK, create)
	m.link(0, false)
	m.text(unix.IFLA_IFNAME, bridgeName(b))
	m.attr(unix.IFLA_ADDRESS, mac(0, i))
	m.number(unix.IFLA_MTU, mtu)
	m.number(unix.IFLA_GROUP, group)
	m.nest(unix.IFLA_LINKINFO, func() { m.text(unix.IFLA_INFO_KIND, "bridge") })
	m.end()
}

func bridgeUp(m *batch, index int32, b shape.Bridge) {
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(index, true)
	m.text(unix.IFLA_IFALIAS, "topo:floor:bridge/"+b.Name)
	m.end()
}

// addPort makes both ends in one message, each where it belongs.
func addPort(m *batch, i int, n *space, bridge int32) {
	m.begin(unix.RTM_NEWLINK, create)
	m.link(0, true)
	m.text(unix.IFLA_IFNAME, portName(i))
	m.attr(unix.IFLA_ADDRESS, mac(1, i))
	m.number(unix.IFLA_MTU, mtu)
	m.number(unix.IFLA_GROUP, group)
	m.number(unix.IFLA_MASTER, uint32(bridge))
	m.veth(firstIndex, "eth0", mac(2, i), n.fd)
	m.end()
}

// markPort marks the near end: the kernel ignores an alias in the message that creates a link.
func markPort(m *batch, i int, n *space) {
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(0, false)
	m.text(unix.IFLA_IFNAME, portName(i))
	m.text(unix.IFLA_IFALIAS, "topo:floor:port/"+n.node.Name+":eth0")
	m.end()
}

func portName(i int) string { return fmt.Sprintf("veth%010x", i) }

// addLink makes both ends of a link, each in its namespace.
func addLink(m *batch, w wire, netns int) {
	m.begin(unix.RTM_NEWLINK, create)
	m.link(w.index, false)
	m.text(unix.IFLA_IFNAME, w.Interface)
	m.attr(unix.IFLA_ADDRESS, macOf(w))
	m.number(unix.IFLA_MTU, mtu)
	m.number(unix.IFLA_GROUP, group)
	m.veth(w.peer.index, w.peer.Interface, macOf(*w.peer), netns)
	m.end()
}

// veth says of a link that is made that it is one, and what its other end is.
func (m *batch) veth(index int32, name string, mac []byte, netns int) {
	m.nest(unix.IFLA_LINKINFO, func() {
		m.text(unix.IFLA_INFO_KIND, "veth")
		m.nest(unix.IFLA_INFO_DATA, func() {
			m.nest(vethInfoPeer, func() {
				m.link(index, false) // up here fails: it has no peer yet (veth_open, drivers/net/veth.c)
				m.text(unix.IFLA_IFNAME, name)
				m.attr(unix.IFLA_ADDRESS, mac)
				m.number(unix.IFLA_MTU, mtu)
				m.number(unix.IFLA_GROUP, group)
				m.number(unix.IFLA_NET_NS_FD, uint32(netns))
			})
		})
	})
}

func mac(side byte, i int) []byte { return binary.BigEndian.AppendUint32([]byte{2, side}, uint32(i)) }

func macOf(w wire) []byte {
	a := w.Addr.Addr().As4()
	return append([]byte{2, 3}, a[:]...)
}

// setUp brings lo and all interfaces of a node up and marks them, and adds its addresses and routes.
func setUp(m *batch, n *space, s shape.Shape) {
	m.mark(1, "netns/"+n.node.Name)
	if n.node.Bridge >= 0 {
		gateway := s.Bridges[n.node.Bridge].Gateway
		m.mark(firstIndex, "link/"+n.node.Name+":eth0")
		m.address(firstIndex, netip.PrefixFrom(n.node.Addr, gateway.Bits()))
		m.route(netip.PrefixFrom(netip.IPv4Unspecified(), 0), gateway.Addr(), firstIndex)
	}
	for _, w := range n.links {
		m.mark(w.index, "link/"+n.node.Name+":"+w.Interface)
		m.address(w.index, w.Addr)
	}
	for _, r := range n.node.Routes {
		for _, w := range n.links {
			if w.Addr.Masked().Contains(r.Via) {
				m.route(r.To, r.Via, w.index)
			}
		}
	}
}

// mark sets a link of a node up and marks it.
func (m *batch) mark(index int32, what string) {
	m.begin(unix.RTM_NEWLINK, 0)
	m.link(index, true)
	if index == 1 {
		m.number(unix.IFLA_GROUP, group)
	}
	m.text(unix.IFLA_IFALIAS, "topo:floor:"+what)
	m.end()
}

// address adds an IPv4 address.
func (m *batch) address(index int32, p netip.Prefix) {
	a := p.Addr().As4()
	m.begin(unix.RTM_NEWADDR, create)
	m.b = append(m.b, unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE)
	m.b = binary.NativeEndian.AppendUint32(m.b, uint32(index))
	m.attr(unix.IFA_LOCAL, a[:])
	m.attr(unix.IFA_ADDRESS, a[:])
	m.end()
}

// route adds one, as topo's (protocol 116).
func (m *batch) route(to netip.Prefix, via netip.Addr, index int32) {
	m.begin(unix.RTM_NEWROUTE, create)
	m.b = append(m.b, unix.AF_INET, byte(to.Bits()), 0, 0, unix.RT_TABLE_MAIN, 116, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0)
	if to.Bits() > 0 {
		a := to.Addr().As4()
		m.attr(unix.RTA_DST, a[:])
	}
	a := via.As4()
	m.attr(unix.RTA_GATEWAY, a[:])
	m.number(unix.RTA_OIF, uint32(index))
	m.end()
}

// rules is what the host needs so that nodes reach the outside, nothing outside reaches them unasked, and nothing private leaves.
func rules(s shape.Shape) (v4, v6 string) {
	var filter, nat, mangle, filter6 strings.Builder
	for _, b := range s.Bridges {
		name, net := bridgeName(b), b.Gateway.Masked()
		fmt.Fprintf(&filter, "-A FLOOR -o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FLOOR -i %s -j ACCEPT\n-A FLOOR -o %s -j DROP\n", name, name, name)
		fmt.Fprintf(&nat, "-A FLOOR -s %s ! -o %s -j MASQUERADE\n", net, name)
		fmt.Fprintf(&mangle, "-A FLOOR -d %s ! -o %s -m conntrack --ctstate SNAT,DNAT -j DROP\n", net, name)
		fmt.Fprintf(&filter6, "-A FLOOR -i %s -o %s -j ACCEPT\n-A FLOOR -o %s -j DROP\n", name, name, name)
	}
	return table("filter", "FORWARD", filter.String()) + table("nat", "POSTROUTING", nat.String()) + table("mangle", "POSTROUTING", mangle.String()),
		table("filter", "FORWARD", filter6.String())
}

func table(name, from, rules string) string {
	return fmt.Sprintf("*%s\n:FLOOR - [0:0]\n-I %s -j FLOOR\n%sCOMMIT\n", name, from, rules)
}

func noTable(name, from string) string {
	return fmt.Sprintf("*%s\n-D %s -j FLOOR\n-F FLOOR\n-X FLOOR\nCOMMIT\n", name, from)
}

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

func filterAndForward(s shape.Shape, bridges []int32, host *socket) error {
	var m batch
	for i, b := range s.Bridges {
		m.address(bridges[i], b.Gateway)
	}
	if err := host.send(&m); err != nil {
		return fmt.Errorf("adding the bridges' addresses: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o644); err != nil {
		return err
	}
	return restore(rules(s))
}

func noRules() string {
	return noTable("filter", "FORWARD") + noTable("nat", "POSTROUTING") + noTable("mangle", "POSTROUTING")
}

func deleteGroup(m *batch) {
	m.begin(unix.RTM_DELLINK, 0)
	m.link(0, false)
	m.number(unix.IFLA_GROUP, group)
	m.end()
}

// down removes the host's links by their group, in one message, then the namespaces, and waits.
func down(s shape.Shape) error {
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	if len(s.Bridges) > 0 {
		if err := restore(noRules(), noTable("filter", "FORWARD")); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0\n"), 0o644); err != nil {
			return err
		}
		var m batch
		deleteGroup(&m)
		if err := host.send(&m); err != nil {
			return fmt.Errorf("deleting the group: %w", err)
		}
	}
	for _, n := range s.Nodes {
		path := filepath.Join(netnsDir, project+"-"+n.Name)
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(etcDir, project+"-"+n.Name)); err != nil {
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
