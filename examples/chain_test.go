package examples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// chain is a file of routers in a row, with a host at either end, in both families.
func chain(routers int) string {
	var b strings.Builder
	b.WriteString("name: chain\nnamespaces:\n")
	b.WriteString("  left:\n    routes: [{to: default, via: 10.70.0.2}, {to: default, via: \"fd00:70::2\"}]\n")
	fmt.Fprintf(&b, "  right:\n    routes: [{to: default, via: 10.70.%d.1}, {to: default, via: \"fd00:70:%[1]x::1\"}]\n", routers)
	for i := 1; i <= routers; i++ {
		fmt.Fprintf(&b, "  r%d:\n    forwarding: true\n    routes:\n", i)
		if i > 1 {
			fmt.Fprintf(&b, "      - {to: 10.70.0.0/24, via: 10.70.%d.1}\n      - {to: \"fd00:70::/64\", via: \"fd00:70:%[1]x::1\"}\n", i-1)
		}
		if i < routers {
			fmt.Fprintf(&b, "      - {to: 10.70.%d.0/24, via: 10.70.%d.2}\n", routers, i)
			fmt.Fprintf(&b, "      - {to: \"fd00:70:%x::/64\", via: \"fd00:70:%x::2\"}\n", routers, i)
		}
	}
	b.WriteString("links:\n")
	for i := range routers + 1 {
		from, to := fmt.Sprintf("r%d", i), fmt.Sprintf("r%d", i+1)
		if i == 0 {
			from = "left"
		}
		if i == routers {
			to = "right"
		}
		fmt.Fprintf(&b, "  - {endpoints: [{node: %s, interface: out, address: [10.70.%d.1/24, \"fd00:70:%[2]x::1/64\"]}, ", from, i)
		fmt.Fprintf(&b, "{node: %s, interface: in, address: [10.70.%d.2/24, \"fd00:70:%[2]x::2/64\"]}]}\n", to, i)
	}
	return b.String()
}

// Seventy routers in a row are too many for the kernel's TTL of 64: topo says so, and what to do; that done, packets arrive.
func TestChainOfRouters(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	file := filepath.Join(t.TempDir(), "chain.yaml")
	if err := os.WriteFile(file, []byte(chain(70)), 0o644); err != nil {
		t.Fatal(err)
	}
	l := start(t, file)
	const warning = "warning: left and right are 70 routers apart, and their packets pass 63: give both the sysctls"
	if said := l.sh("$" + binaryVariable + " validate -f " + file + " 2>&1"); !strings.Contains(said, warning) {
		t.Errorf("validate says %q", said)
	}
	l.shows(in("chain-left", "ping -c 1 -W 5 10.70.70.2 || true"), "From 10.70.63.2", "Time to live exceeded")
	l.shows(in("chain-left", "ping -c 1 -W 5 fd00:70:46::2 || true"), "From fd00:70:3f::2", "Hop limit")
	l.down()

	const sysctls = "\n    sysctls: {net.ipv4.ip_default_ttl: 255, net.ipv6.conf.default.hop_limit: 255}\n"
	l.edited("  left:\n", "  left:"+sysctls, "  right:\n", "  right:"+sysctls)
	l.up()
	if said := l.sh("$" + binaryVariable + " validate -f " + l.file + " 2>&1"); strings.Contains(said, "warning") {
		t.Errorf("validate says %q", said)
	}
	l.shows(in("chain-left", "ping -c 1 -W 10 10.70.70.2"), "ttl=185")
	l.shows(in("chain-left", "ping -c 1 -W 10 fd00:70:46::2"), "ttl=185")
	l.down()
}
