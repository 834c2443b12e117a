package examples_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scenarios are the things that people build by hand, from tutorials on how Docker's network works: each is a
// file here, and a test that brings it up.
var scenarios = []struct {
	number int
	title  string
	files  []string
	test   string
}{
	{1, "two namespaces and a cable", []string{"veth-pair.yaml"}, "TestVethPair"},
	{2, "the same, with other addresses", []string{"veth-pair-177.yaml"}, "TestVethPair177"},
	{3, "a switch", []string{"plain-switch.yaml"}, "TestPlainSwitch"},
	{4, "red and blue, with NAT", []string{"red-blue.yaml"}, "TestRedBlue"},
	{5, "docker0", []string{"docker0.yaml"}, "TestDocker0"},
	{6, "two networks", []string{"two-networks.yaml"}, "TestTwoNetworks"},
	{7, "the default bridge: no names, one-way links", []string{"default-bridge.yaml"}, "TestDefaultBridge"},
	{8, "names both ways", []string{"names.yaml"}, "TestNames"},
	{9, "a published web server", []string{"nginx.yaml"}, "TestNginx"},
	{10, "no network", []string{"network-none.yaml"}, "TestNetworkNone"},
	{11, "the host's network", []string{"network-host.yaml"}, "TestNetworkHost"},
	{12, "an application and its store", []string{"flask-redis.yaml"}, "TestFlaskRedis"},
	{13, "both ends of a veth", []string{"inspect.yaml"}, "TestInspect"},
	{14, "who gets which address", []string{"allocation.yaml"}, "TestAllocation"},
	{15, "a card as uplink: nodes on the LAN itself", []string{"uplink.yaml"}, "TestUplink"},
	{15, "a VLAN of a card as uplink", []string{"uplink-vlan.yaml"}, "TestVMUplinkVLAN"},
	{0, "a card of the machine's in a node", []string{"card.yaml"}, "TestCard"},
	{17, "volumes", []string{"volumes.yaml"}, "TestVolumes"},
	{17, "a backup and its way back", []string{"volumes-backup.yaml"}, "TestVolumesBackup"},
	{19, "a change to a running system", []string{"change-running-a.yaml", "change-running-b.yaml"}, "TestChangeRunning"},
	{20, "somebody breaks it", []string{"flask-redis.yaml"}, "TestRepair"},
	{0, "what a container may use", []string{"limits.yaml"}, "TestLimits"},
	{0, "a root that is nobody on the host", []string{"userns.yaml"}, "TestUserns"},
	{12, "the same, from images", []string{"flask-redis-image.yaml"}, "TestFlaskRedisImage"},
	{9, "the same, from an image", []string{"nginx-image.yaml"}, "TestNginxImage"},
	{0, "a router whose software is changed", []string{"router-edit.yaml"}, "TestRouterEdit"},
	{0, "a router with two lines, and guests", []string{"router.yaml"}, "TestRouter"},
	{0, "three servers behind one name", []string{"scale.yaml"}, "TestScale"},
	{0, "a slow line", []string{"rate.yaml"}, "TestRate"},
	{0, "a bad line between two offices", []string{"wan.yaml"}, "TestVMWAN"},
	{0, "a VLAN trunk between two switches", []string{"trunk.yaml"}, "TestVMTrunk"},
	{0, "three switches in a ring", []string{"ring.yaml"}, "TestRing"},
	{16, "one layer 2 over two machines", []string{"sites.yaml"}, "TestSites"},
	{0, "four routers in a ring, by OSPF", []string{"ospf.yaml"}, "TestOSPF"},
	{0, "four routers in a ring, by BGP", []string{"bgp.yaml"}, "TestBGP"},
	{0, "one layer 2 over a layer 3", []string{"overlay.yaml"}, "TestOverlay"},
	{0, "a card as a trunk", []string{"uplink-trunk.yaml"}, "TestVMUplinkTrunk"},
	{0, "every kind of interface", []string{"kinds.yaml"}, "TestVMKinds"},
	{0, "links that are no cables", []string{"tunnel.yaml"}, "TestTunnel"},
	{0, "a hub and two spokes of WireGuard", []string{"wireguard.yaml"}, "TestVMWireGuard"},
	{0, "a bond that survives the loss of a leg", []string{"bond.yaml"}, "TestVMBond"},
	{0, "two customers of one router", []string{"vrf.yaml"}, "TestVMVRF"},
	{0, "programs that end", []string{"lifecycle.yaml"}, "TestLifecycle"},
	{0, "a shell to type to, and files that go in and out", []string{"console.yaml"}, "TestConsole"},
	{12, "the same, by an engine", []string{"engine.yaml"}, "TestEngine"},
	{0, "the truth table of published ports, by IPv6", []string{"truth-table-ipv6.yaml"}, "TestTruthTableIPv6"},
	{0, "both families at once", []string{"dual-stack.yaml"}, "TestDualStack"},
	{0, "the truth table of published ports", []string{"truth-table.yaml"}, "TestTruthTable"},
}

// Every scenario has its files and its test, the test uses them, and no example is without a scenario.
func TestScenarios(t *testing.T) {
	tests := map[string]string{} // function → its source
	sources, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				tests[f.Name.Name] = string(text[files.Position(f.Pos()).Offset:files.Position(f.End()).Offset])
			}
		}
	}
	used := map[string]bool{}
	for _, s := range scenarios {
		source, ok := tests[s.test]
		if !ok {
			t.Errorf("scenario %d, %s: there is no %s", s.number, s.title, s.test)
		}
		for _, file := range s.files {
			used[file] = true
			if !strings.Contains(source, file) {
				t.Errorf("scenario %d, %s: %s does not use %s", s.number, s.title, s.test, file)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, word := range []string{"# Try:", "topo up -f " + file} {
				if !strings.Contains(string(text), word) && file != "change-running-b.yaml" {
					t.Errorf("%s does not say %q", file, word)
				}
			}
		}
	}
	for _, file := range yamlFiles(t) {
		if !used[file] {
			t.Errorf("%s belongs to no scenario", file)
		}
	}
}

func yamlFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no examples: %v", err)
	}
	return files
}
