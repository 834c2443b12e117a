package planner

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"topo/internal/kernel"
)

func TestALargeTopologyIsWarnedOfTheNeighbourTable(t *testing.T) {
	for nodes, want := range map[int]int{100: 0, 600: 1} {
		s := kernel.Snapshot{Neighbours: 1024}
		a, err := Allocate(load(t, star(nodes)), s)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Build(Options{Topology: a, Project: "star", Snapshot: s})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Warnings) != want {
			t.Errorf("%d nodes: %q", nodes, p.Warnings)
		}
		for _, w := range p.Warnings {
			if !strings.Contains(w, "1200 entries") || !strings.Contains(w, "which has 1024") {
				t.Errorf("%q", w)
			}
		}
	}
}

// What others have plugged into an external bridge takes up ports, too; what the project has there already does not count twice. Its VXLAN
// was not counted.
func TestPortsOfAnExternalBridge(t *testing.T) {
	const yaml = `{name: p, bridges: {ext: {external: true, vxlan: {id: 5}}}, namespaces: {a: {bridges: {ext: {host_interface: mine}}}}, links: [[ext:link, a:x]]}`
	for others, want := range map[int]string{
		maxPorts - 3: "",
		maxPorts - 2: "t.yaml:1:21: bridge ext has 1024 ports, and Linux numbers a bridge's ports in ten bits: it takes 1023",
	} {
		s := kernel.Snapshot{Host: kernel.Netns{Links: []kernel.Link{
			{Name: "ext", Kind: "bridge", Bridge: &kernel.BridgeAttrs{}},
			{Name: "mine", Kind: "veth", Master: "ext", Alias: "topo:p:port/a:eth0"},
			{Name: "left", Kind: "veth", Master: "ext", Alias: "topo:p:port/gone:eth0"},
			{Name: "elsewhere", Kind: "veth", Master: "other"},
		}}}
		for i := range others {
			s.Host.Links = append(s.Host.Links, kernel.Link{Name: fmt.Sprint("their", i), Kind: "veth", Master: "ext"})
		}
		got := ""
		if err := limits(Options{Topology: load(t, yaml), Project: "p", Snapshot: s}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%d ports of others: %q, want %q", others, got, want)
		}
	}
}

// A VXLAN over IPv6 with remotes that are all elsewhere was made for IPv4, and up failed in the middle (EAFNOSUPPORT).
func TestVXLANOverIPv6NeedsAnAddress(t *testing.T) {
	const yaml = `{name: p, bridges: {far: {subnet: none, vxlan: {id: 5, remotes: ["fd00::1", "fd00::2"]}}}}`
	for own, want := range map[string]string{
		"fd00::2/64": "",
		"fd00::9/64": "t.yaml:1:66: none of the remotes of bridge far is an address of this machine, and over IPv6 its vxlan needs one to send from: state it with local:",
	} {
		s := kernel.Snapshot{Host: kernel.Netns{Addrs: []kernel.Addr{{Link: "em1", Prefix: netip.MustParsePrefix(own)}}}}
		got := ""
		if err := limits(Options{Topology: load(t, yaml), Project: "p", Snapshot: s}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("with %s: %q, want %q", own, got, want)
		}
	}
	if err := limits(Options{Topology: load(t, yaml), Project: "p"}); err != nil {
		t.Errorf("without a machine: %v", err)
	}
}
