package shape

import (
	"fmt"
	"strings"
)

// YAML is the shape as a project of topo's.
func (s Shape) YAML(project string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\n", project)
	section(&b, "bridges", len(s.Bridges))
	for _, br := range s.Bridges {
		fmt.Fprintf(&b, "  %s: {subnet: %s}\n", br.Name, br.Gateway.Masked())
	}
	section(&b, "namespaces", len(s.Nodes))
	for _, n := range s.Nodes {
		var keys []string
		if n.Bridge >= 0 {
			keys = append(keys, "bridges: ["+s.Bridges[n.Bridge].Name+"]")
		}
		if n.Forward {
			keys = append(keys, "forwarding: true")
		}
		var routes []string
		for _, r := range n.Routes {
			routes = append(routes, fmt.Sprintf("{to: %s, via: %s}", r.To, r.Via))
		}
		if len(routes) > 0 {
			keys = append(keys, "routes: ["+strings.Join(routes, ", ")+"]")
		}
		fmt.Fprintf(&b, "  %s: {%s}\n", n.Name, strings.Join(keys, ", "))
	}
	section(&b, "links", len(s.Links))
	for _, l := range s.Links {
		var ends []string
		for _, e := range l {
			ends = append(ends, fmt.Sprintf("{node: %s, interface: %s, address: %s}", s.Nodes[e.Node].Name, e.Interface, e.Addr))
		}
		fmt.Fprintf(&b, "  - {endpoints: [%s]}\n", strings.Join(ends, ", "))
	}
	return b.String()
}

func section(b *strings.Builder, name string, entries int) {
	if entries > 0 {
		b.WriteString(name + ":\n")
	}
}
