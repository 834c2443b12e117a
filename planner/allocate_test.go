package planner

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"topo/internal/kernel"
	"topo/spec"
)

func richWant(t testing.TB) *Want {
	t.Helper()
	a, err := Allocate(load(t, richYAML), kernel.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	return wantOf(Options{Topology: a, Project: a.Name})
}

// allocated lists "node:interface address" for all attachments.
func allocated(t testing.TB, yaml string, s kernel.Snapshot) map[string]string {
	t.Helper()
	a, err := Allocate(load(t, yaml), s)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, b := range a.Bridges {
		for _, sub := range b.Subnets {
			out[b.Name] += sub.Prefix.String() + " "
		}
	}
	for _, n := range a.Nodes {
		for _, at := range n.Attachments {
			for _, p := range at.Addresses {
				out[n.Name+":"+at.Interface] += p.String() + " "
			}
		}
	}
	return out
}

func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if strings.TrimSpace(got[k]) != v {
			t.Errorf("%s has %q, want %q", k, strings.TrimSpace(got[k]), v)
		}
	}
}

// holding is a host on which nodes of project p hold addresses.
func holding(addrs map[string]string) kernel.Snapshot {
	var s kernel.Snapshot
	for node, prefix := range addrs {
		s.Netns = append(s.Netns, kernel.Netns{
			Name: "p-" + node, Mark: kernel.Mark{Project: "p", ID: "netns/" + node},
			Addrs: []kernel.Addr{{Link: "eth0", Prefix: netip.MustParsePrefix(prefix)}},
		})
	}
	return s
}

func TestLowestFreeAddressInTheFilesOrder(t *testing.T) {
	expect(t, allocated(t, `
name: p
bridges: {b: {subnet: 10.0.0.0/29}}
namespaces:
  c: {bridges: [b]}
  a: {bridges: {b: {address: 10.0.0.2}}}
  d: {bridges: [b]}
`, kernel.Snapshot{}), map[string]string{"c:eth0": "10.0.0.3/29", "a:eth0": "10.0.0.2/29", "d:eth0": "10.0.0.4/29"})
}

func TestANodeKeepsTheAddressThatItHas(t *testing.T) {
	yaml := `
name: p
bridges: {b: {subnet: 10.0.0.0/24}}
namespaces: {first: {bridges: [b]}, a: {bridges: [b]}, c: {bridges: [b]}}
`
	expect(t, allocated(t, yaml, holding(map[string]string{"a": "10.0.0.2/24", "c": "10.0.0.9/24"})),
		map[string]string{"first:eth0": "10.0.0.3/24", "a:eth0": "10.0.0.2/24", "c:eth0": "10.0.0.9/24"})
}

func TestAStatedAddressComesBeforeAHeldOne(t *testing.T) {
	yaml := `
name: p
bridges: {b: {subnet: 10.0.0.0/24}}
namespaces: {a: {bridges: [b]}, c: {bridges: {b: {address: 10.0.0.2}}}}
`
	expect(t, allocated(t, yaml, holding(map[string]string{"a": "10.0.0.2/24"})),
		map[string]string{"a:eth0": "10.0.0.3/24", "c:eth0": "10.0.0.2/24"})
}

func TestAFlushedNodeGetsItsAddressBackFromItsHostsFile(t *testing.T) {
	s := holding(nil)
	s.Files = []kernel.File{{
		Path: "/etc/netns/p-a/hosts", Mark: kernel.Mark{Project: "p", ID: "hosts/a"},
		Content: kernel.Text{"# topo:p:hosts/a\n127.0.0.1 localhost\n10.0.0.7 a\n", "10.0.0.5 c\n"},
	}}
	expect(t, allocated(t, "name: p\nbridges: {b: {subnet: 10.0.0.0/24}}\nnamespaces: {a: {bridges: [b]}}\n", s),
		map[string]string{"a:eth0": "10.0.0.7/24"})
}

func TestAllocatedSubnetsOverlapNothing(t *testing.T) {
	var s kernel.Snapshot
	s.Host.Links = []kernel.Link{{Name: "docker0"}, {Name: "other-b", Alias: "topo:other:bridge/b"}}
	s.Host.Addrs = []kernel.Addr{{Link: "docker0", Prefix: netip.MustParsePrefix("172.28.0.1/24")}}
	s.Host.Routes = []kernel.Route{{Link: "other-b", Type: "unicast", Dst: netip.MustParsePrefix("172.28.1.0/24")}}
	expect(t, allocated(t, `
name: p
bridges: {a: {}, b: {subnet: 172.28.2.0/24}, c: {}}
namespaces: {n: {bridges: [a, c]}}
`, s), map[string]string{"a": "172.28.3.0/24", "b": "172.28.2.0/24", "c": "172.28.4.0/24", "n:eth0": "172.28.3.2/24"})
}

func TestAnAllocatedSubnetIsKeptOnceItLives(t *testing.T) {
	var s kernel.Snapshot
	s.Host.Links = []kernel.Link{{Name: "p-a", Kind: "bridge", Alias: "topo:p:bridge/a"}}
	s.Host.Addrs = []kernel.Addr{{Link: "p-a", Prefix: netip.MustParsePrefix("172.28.9.1/24")}}
	expect(t, allocated(t, "name: p\nbridges: {a: {}}\n", s), map[string]string{"a": "172.28.9.0/24"})
	// Somebody deleted the bridge: its nodes still say which subnet it had.
	expect(t, allocated(t, "name: p\nbridges: {a: {}}\nnamespaces: {n: {bridges: [a]}}\n", holding(map[string]string{"n": "172.28.9.5/24"})),
		map[string]string{"a": "172.28.9.0/24", "n:eth0": "172.28.9.5/24"})
}

func TestAnAllocatedSubnetFitsItsNodes(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: p\nbridges: {a: {}}\nnamespaces:\n")
	for i := range 1000 {
		b.WriteString("  n" + number(i) + ": {bridges: [a]}\n")
	}
	expect(t, allocated(t, b.String(), kernel.Snapshot{}), map[string]string{"a": "172.28.0.0/22", "n999:eth0": "172.28.3.233/22"})
}

func TestBothFamilies(t *testing.T) {
	expect(t, allocated(t, `
name: p
bridges: {b: {subnet: [10.0.0.0/24, "fd00::/64"]}}
namespaces: {a: {bridges: [b]}, c: {bridges: {b: {address: 10.0.0.9}}}}
`, kernel.Snapshot{}), map[string]string{"a:eth0": "10.0.0.2/24 fd00::2/64", "c:eth0": "10.0.0.9/24 fd00::3/64"})
}

func TestAFullSubnetAndAnOverlapAreErrorsWithPlaces(t *testing.T) {
	var s kernel.Snapshot
	s.Host.Links = []kernel.Link{{Name: "em1"}}
	s.Host.Addrs = []kernel.Addr{{Link: "em1", Prefix: netip.MustParsePrefix("10.0.0.5/16")}}
	_, err := Allocate(load(t, `name: p
bridges:
  full: {subnet: 10.9.0.0/30}
  over: {subnet: 10.0.7.0/24}
namespaces: {a: {bridges: [full]}, c: {bridges: [full]}}
`), s)
	var errs spec.Errors
	if !errors.As(err, &errs) || len(errs) != 2 {
		t.Fatalf("got %v, want two errors", err)
	}
	for _, want := range []string{"t.yaml:4:", "subnet 10.0.7.0/24 of bridge over overlaps 10.0.0.5/16 on em1", "no free address is left in 10.9.0.0/30"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
