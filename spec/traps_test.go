package spec_test

import (
	"fmt"
	"strings"
	"testing"

	"topo/spec"
)

// chain is a file of routers in a row, with a host at either end; extra is said of the hosts.
func chain(routers int, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: chain\nnamespaces:\n  left: {%s}\n  right: {%s}\n", extra, extra)
	for i := range routers {
		fmt.Fprintf(&b, "  r%d: {forwarding: true}\n", i+1)
	}
	b.WriteString("links:\n")
	before := "left"
	for i := range routers + 1 {
		next := fmt.Sprintf("r%d", i+1)
		if i == routers {
			next = "right"
		}
		fmt.Fprintf(&b, "  - {endpoints: [{node: %s, interface: out, address: 10.0.%d.1/24}, {node: %s, interface: in, address: 10.0.%d.2/24}]}\n", before, i, next, i)
		before = next
	}
	return b.String()
}

func warningsOf(t *testing.T, text string) string {
	t.Helper()
	topology, err := spec.Load([]spec.Source{{Name: "lab.yaml", Data: []byte(text)}}, spec.Options{Dir: "/lab"})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return topology.Warnings.Error()
}

// A packet with a TTL of 64 passes 63 routers; the 64th drops it.
func TestTooManyRouters(t *testing.T) {
	const enough = "sysctls: {net.ipv4.ip_default_ttl: 128}"
	const warning = "lab.yaml:3:3: left and right are %d routers apart, and their packets pass %d: give both the sysctls " +
		"net.ipv4.ip_default_ttl and net.ipv6.conf.default.hop_limit, %d or more"
	for name, c := range map[string]struct{ text, want string }{
		"63":                            {chain(63, ""), ""},
		"64":                            {chain(64, ""), fmt.Sprintf(warning, 64, 63, 65)},
		"70":                            {chain(70, ""), fmt.Sprintf(warning, 70, 63, 71)},
		"70, with a TTL":                {chain(70, enough), ""},
		"130, with too small a TTL":     {chain(130, enough), fmt.Sprintf(warning, 130, 127, 131)},
		"70, with a shorter way":        {chain(70, "") + "  - [r1:short, r70:short]\n", ""},
		"70, of which one is no router": {strings.Replace(chain(70, ""), "r35: {forwarding: true}", "r35: {forwarding: false}", 1), ""},
		"70 by the names of sysctls":    {strings.ReplaceAll(chain(70, ""), "forwarding: true", "sysctls: {net.ipv4.conf.all.forwarding: 1}"), fmt.Sprintf(warning, 70, 63, 71)},
		"70 with but IPv6": {
			strings.NewReplacer("address: 10.0.", `address: "fd00:`, ".1/24", `::1/64"`, ".2/24", `::2/64"`).Replace(chain(70, enough)),
			fmt.Sprintf(warning, 70, 63, 71),
		},
		"70 and nothing else": {
			strings.NewReplacer("  left: {}\n  right: {}\n", "", "node: left", "node: host", "node: right", "node: host", "address: 10.0.0.1/24", "address: 10.9.0.1/24").Replace(chain(70, "")),
			"lab.yaml:3:3: r1 and r70 are 68 routers apart, and their packets pass 63: give both the sysctls net.ipv4.ip_default_ttl and net.ipv6.conf.default.hop_limit, 69 or more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := warningsOf(t, c.text); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestMTUsThatDoNotFit(t *testing.T) {
	const text = `
name: lab
bridges:
  app: {subnet: 10.0.0.0/24, mtu: 1400}
  jumbo: {subnet: 10.1.0.0/24, mtu: 9000}
  theirs: {external: true, name: br9, subnet: 10.2.0.0/24}
namespaces:
  a: {bridges: {app: {mtu: 1500}, jumbo: {mtu: 1500}, theirs: {mtu: 9000}}}
  b: {bridges: [app, jumbo]}
links:
  - [a:x, b:x]
  - endpoints: [{node: a, interface: y, mtu: 9000}, {node: b, interface: y}]
  - {mtu: 9000, endpoints: [{node: a, interface: z}, {node: app, interface: port}]}
  - {mtu: 9000, endpoints: [{node: a, interface: w}, {node: jumbo, interface: port2}]}
`
	const want = `lab.yaml:8:17: mtu 1500 of a:eth0 is larger than bridge app's, 1400: packets between are lost where they don't fit
lab.yaml:12:74: mtu 1500 of b:y is not that of the other end, a:y, 9000: packets between are lost where they don't fit
lab.yaml:13:77: mtu 9000 of port port is larger than bridge app's, 1400: packets between are lost where they don't fit`
	if got := warningsOf(t, text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
