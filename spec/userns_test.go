package spec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A network of the container's own lets a root without rights in it listen and ping; what the file states goes before.
func TestSysctlsOfPrivateUserns(t *testing.T) {
	topology, err := load("topo.yaml", `
name: p
containers:
  own: {userns_mode: private}
  none: {userns_mode: private, network_mode: none}
  stated: {userns_mode: private, sysctls: {net/ipv4/ip_unprivileged_port_start: 80, net.ipv4.ip_forward: 1}}
  shared: {userns_mode: private, network_mode: "node:own"}
  wire: {userns_mode: private, network_mode: host}
  without: {userns_mode: host}
`)
	if err != nil {
		t.Fatal(err)
	}
	const port, ping = "net.ipv4.ip_unprivileged_port_start=0", "net.ipv4.ping_group_range=0 2147483647"
	want := map[string][]string{
		"own": {port, ping}, "none": {port, ping},
		"stated": {"net.ipv4.ip_forward=1", ping, "net/ipv4/ip_unprivileged_port_start=80"},
		"shared": nil, "wire": nil, "without": nil,
	}
	got := map[string][]string{}
	for _, n := range topology.Nodes {
		got[n.Name] = nil
		for _, s := range n.Sysctls {
			got[n.Name] = append(got[n.Name], s.Key+"="+s.Value)
		}
		if n.Process.Userns.Private != (n.Name != "without") {
			t.Errorf("%s: %+v", n.Name, n.Process.Userns)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
