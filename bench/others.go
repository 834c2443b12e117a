package main

import (
	_ "embed"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"topo/bench/shape"
)

// others are what a user would take instead of topo, for a star: as far as they bear its size.
func (b *builder) others(s shape.Shape) []tool {
	tools := []tool{b.batch(s), b.commands(s)}
	if b.Size <= 300 {
		tools = append(tools, b.mininet())
	}
	if b.Size <= 100 {
		tools = append(tools, b.podman())
	}
	return tools
}

// The rules of a star in scripts, and their way back.
func starRules(bridge shape.Bridge) string {
	return fmt.Sprintf(`iptables -t nat -A POSTROUTING -s %s ! -o bnet -j MASQUERADE
iptables -A FORWARD -i bnet -j ACCEPT
iptables -A FORWARD -o bnet -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
sysctl -qw net.ipv4.ip_forward=1
`, bridge.Gateway.Masked())
}

const (
	noStarRules = "iptables -t nat -F\niptables -F\nsysctl -qw net.ipv4.ip_forward=0\n"
	noVeths     = "while ip -o link show type veth | grep -q .; do sleep 0.01; done\n"
)

// batch is shell scripts around ip -batch: one for the host and one for each namespace, as ip cannot change namespace within a batch. It
// has neither marks nor hosts files.
func (b *builder) batch(s shape.Shape) tool {
	bridge := s.Bridges[0]
	var host, script, gone strings.Builder
	fmt.Fprintf(&host, "link add bnet type bridge\naddress add %s dev bnet\n", bridge.Gateway)
	for i, n := range s.Nodes {
		name := "batch-" + n.Name
		fmt.Fprintf(&host, "netns add %s\n", name)
		fmt.Fprintf(&host, "link add bv%d master bnet up type veth peer name eth0 netns %s\n", i, name)
		node := b.write(name, fmt.Sprintf("link set lo up\nlink set eth0 up\naddress add %s dev eth0\nroute add default via %s\n",
			netip.PrefixFrom(n.Addr, bridge.Gateway.Bits()), bridge.Gateway.Addr()))
		fmt.Fprintf(&script, "ip -n %s -batch %s\n", name, node)
		fmt.Fprintf(&gone, "netns delete %s\n", name)
	}
	gone.WriteString("link delete bnet\n")
	up := "set -e\nip -batch " + b.write("host", host.String()) + "\n" + script.String() + starRules(bridge) + "ip link set bnet up\n"
	down := "set -e\n" + noStarRules + "ip -batch " + b.write("gone", gone.String()) + "\n" + noVeths
	return b.scripts("batch", s, up, down)
}

// commands is a shell script of single commands.
func (b *builder) commands(s shape.Shape) tool {
	bridge := s.Bridges[0]
	var up, down strings.Builder
	fmt.Fprintf(&up, "set -e\nip link add bnet type bridge\nip address add %s dev bnet\n", bridge.Gateway)
	down.WriteString("set -e\n" + noStarRules)
	for i, n := range s.Nodes {
		name := "commands-" + n.Name
		fmt.Fprintf(&up, `ip netns add %[1]s
ip link add bv%[2]d type veth peer name eth0 netns %[1]s
ip link set bv%[2]d master bnet up
ip -n %[1]s link set lo up
ip -n %[1]s link set eth0 up
ip -n %[1]s address add %[3]s dev eth0
ip -n %[1]s route add default via %[4]s
`, name, i, netip.PrefixFrom(n.Addr, bridge.Gateway.Bits()), bridge.Gateway.Addr())
		fmt.Fprintf(&down, "ip netns delete %s\n", name)
	}
	up.WriteString(starRules(bridge) + "ip link set bnet up\n")
	down.WriteString("ip link delete bnet\n" + noVeths)
	return b.scripts("commands", s, up.String(), down.String())
}

func (b *builder) scripts(name string, s shape.Shape, up, down string) tool {
	return tool{name, []step{
		{verb: "up", argv: []string{"sh", b.write(name+"-up.sh", up)}, check: stands(s, name)},
		{verb: "down", argv: []string{"sh", b.write(name+"-down.sh", down)}, before: canaries(s, name), until: noCanaries, check: isEmpty},
	}}
}

//go:embed mininet_star.py
var mininetScript string

// mininet is Mininet's hosts on its LinuxBridge.
func (b *builder) mininet() tool {
	script, pid := b.write("mininet_star.py", mininetScript), filepath.Join(b.dir, "mininet.pid")
	reached := func() error {
		first, err := output("pgrep", "-f", "mininet:h0$")
		if err != nil {
			return err
		}
		last := netip.MustParseAddr("10.80.0.0")
		for range b.Size {
			last = last.Next()
		}
		return runAll([][]string{{"mnexec", "-a", strings.TrimSpace(first), "ping", "-c", "1", "-w", "20", last.String()}})
	}
	return tool{"mininet", []step{
		{verb: "up", argv: []string{"/usr/bin/python3", script, "up", strconv.Itoa(b.Size), pid}, check: reached},
		{verb: "down", argv: []string{"/usr/bin/python3", script, "down", pid}, check: isEmpty},
	}}
}

// podman is a pod for each node, on a network of Podman's.
func (b *builder) podman() tool {
	// runc and cgroupfs: crun 1.8 does not take control groups of both versions, and a host in namespaces has no systemd.
	const podman = "podman --runtime runc --cgroup-manager cgroupfs --root /run/bench/podman --runroot /run/bench/podman-run"
	up := fmt.Sprintf("set -e\n%s network create --subnet 10.80.0.0/16 bnet\n", podman)
	for i := range b.Size {
		up += fmt.Sprintf("%s pod create --network bnet --name n%d\n", podman, i)
	}
	up += podman + " pod start --all\n"
	down := fmt.Sprintf("set -e\n%[1]s pod rm --force --all\n%[1]s network rm bnet\n", podman)
	running := func() error {
		out, err := output("sh", "-c", podman+" ps --quiet | wc -l")
		if n := strings.TrimSpace(out); err == nil && n != strconv.Itoa(b.Size) {
			err = fmt.Errorf("%s pods run, want %d", n, b.Size)
		}
		return err
	}
	return tool{"podman", []step{
		{verb: "up", argv: []string{"sh", b.write("podman-up.sh", up)}, check: running},
		{verb: "down", argv: []string{"sh", b.write("podman-down.sh", down)}, check: isEmpty},
	}}
}
