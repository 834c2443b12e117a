package spec_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

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

// Which nodes are farthest apart is told as by looking at each two, of whatever net: a long row of routers, with hosts, short cuts and a
// bridge at some of them.
func TestFarthestRouters(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		routers := rapid.IntRange(64, 90).Draw(rt, "routers")
		hosts := rapid.IntRange(0, 6).Draw(rt, "hosts")
		n := routers + hosts
		ttl := slices.Repeat([]int{64}, n)
		neighbours := make([][]int, n)
		var nodes, links strings.Builder
		link := func(a, b int) {
			i := strings.Count(links.String(), "\n")
			fmt.Fprintf(&links, "  - {endpoints: [{node: n%d, interface: a%d, address: 10.0.%d.1/24}, {node: n%d, interface: b%d, address: 10.0.%d.2/24}]}\n", a, i, i, b, i, i)
			neighbours[a], neighbours[b] = append(neighbours[a], b), append(neighbours[b], a)
		}
		cut := rapid.IntRange(-20, routers-1).Draw(rt, "two nets from")
		for i := range routers - 1 {
			if i != cut {
				link(i, i+1)
			}
		}
		any := rapid.IntRange(0, routers-1)
		for range rapid.IntRange(0, 2).Draw(rt, "short cuts") {
			if a, b := any.Draw(rt, "from"), any.Draw(rt, "to"); a != b {
				link(a, b)
			}
		}
		for i := range hosts {
			link(any.Draw(rt, "router"), routers+i)
		}
		onBridge := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, 4, rapid.ID).Draw(rt, "on the bridge")
		for i := range n {
			keys := []string{fmt.Sprintf("forwarding: %t", i < routers)}
			if rapid.IntRange(0, 9).Draw(rt, "other TTL") == 0 {
				ttl[i] = rapid.IntRange(2, 80).Draw(rt, "TTL")
				keys = append(keys, fmt.Sprintf("sysctls: {net.ipv4.ip_default_ttl: %d}", ttl[i]))
			}
			if slices.Contains(onBridge, i) {
				keys = append(keys, "bridges: [net]")
				for _, other := range onBridge {
					if other != i {
						neighbours[i] = append(neighbours[i], other)
					}
				}
			}
			fmt.Fprintf(&nodes, "  n%d: {%s}\n", i, strings.Join(keys, ", "))
		}
		want := 0
		for from := range n {
			if hosts > 0 && from < routers {
				continue
			}
			for to, apart := range routersBetween(from, routers, neighbours) {
				if may := min(ttl[from], ttl[to]) - 1; apart > may && (hosts == 0 || to >= routers) {
					want = max(want, apart)
				}
			}
		}
		file := "name: net\nbridges: {net: {subnet: 10.9.0.0/24}}\nnamespaces:\n" + nodes.String() + "links:\n" + links.String()
		topology, err := spec.Load([]spec.Source{{Name: "lab.yaml", Data: []byte(file)}}, spec.Options{Dir: "/lab"})
		if err != nil {
			rt.Fatal(err)
		}
		got := 0
		for _, w := range topology.Warnings {
			if _, rest, ok := strings.Cut(w.Error(), " are "); ok {
				fmt.Sscanf(rest, "%d routers apart", &got)
			}
		}
		if got != want {
			rt.Fatalf("%d routers apart, and %d by looking at each two\n%s", got, want, file)
		}
	})
}

// routersBetween counts them on the shortest way from a node to each; the first nodes are the routers. -1: there is no way.
func routersBetween(from, routers int, neighbours [][]int) []int {
	steps := slices.Repeat([]int{-1}, len(neighbours))
	steps[from] = 0
	for at := []int{from}; len(at) > 0; at = at[1:] {
		if at[0] >= routers && at[0] != from {
			continue
		}
		for _, next := range neighbours[at[0]] {
			if steps[next] < 0 {
				steps[next] = steps[at[0]] + 1
				at = append(at, next)
			}
		}
	}
	for i := range steps {
		if steps[i] > 0 {
			steps[i]--
		}
	}
	return steps
}
