// Package shape has the topologies that topo is timed with, as values: what a file for topo says of them, and what the floor
// makes by heart.
package shape

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// Shape is a topology of namespaces, of bridges of the host's that they are attached to, and of links between them.
type Shape struct {
	Bridges []Bridge
	Nodes   []Node
	Links   [][2]End
	// Once it is up, From reaches To.
	From int
	To   netip.Addr
}

// Bridge is one of the host's, with its gateway's address. It masquerades.
type Bridge struct {
	Name    string
	Gateway netip.Prefix
}

// Node is a network namespace.
type Node struct {
	Name string
	// Bridge is the one that its eth0 is attached to, or -1; Addr is the address that it has there: the next one that is free.
	Bridge int
	Addr   netip.Addr
	// Forward: it is a router, with these routes.
	Forward bool
	Routes  []Route
}

// Route is one by a gateway.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// End is an end of a link.
type End struct {
	Node      int
	Interface string
	Addr      netip.Prefix
}

// Kinds are the shapes, by name, with what their size counts.
var Kinds = map[string]struct {
	Of   string
	make func(size int) Shape
}{
	"star":    {"namespaces on one bridge", star},
	"wide":    {"namespaces on 10 bridges", wide},
	"chain":   {"routers in a row", chain},
	"mesh":    {"namespaces, each linked to each", mesh},
	"fattree": {"ports of a switch of a fat tree", fatTree},
}

// Make makes a shape of a size.
func Make(kind string, size int) (Shape, error) {
	k, ok := Kinds[kind]
	if !ok {
		return Shape{}, fmt.Errorf("there is no shape %q", kind)
	}
	if size < 2 || kind == "fattree" && size%2 != 0 || kind == "wide" && size%10 != 0 {
		return Shape{}, fmt.Errorf("there is no %s of %d", kind, size)
	}
	return k.make(size), nil
}

func star(n int) Shape { return onBridges(n, 1) }
func wide(n int) Shape { return onBridges(n, 10) }

// onBridges has bridges of as many nodes each, of which the last one pings the first of its bridge.
func onBridges(n, bridges int) Shape {
	var s Shape
	for b := range bridges {
		s.Bridges = append(s.Bridges, Bridge{fmt.Sprintf("net%d", b), netip.PrefixFrom(v4(80+b, 1), 16)})
	}
	each := n / bridges
	for i := range n {
		s.Nodes = append(s.Nodes, Node{Name: node(i), Bridge: i / each, Addr: v4(80+i/each, 2+i%each)})
	}
	s.From, s.To = n-1, s.Nodes[n-each].Addr
	return s
}

// chain has routers in a row, each of which knows the way to the first, and to the farthest that a packet of the first reaches: it begins
// with a TTL of 64.
func chain(n int) Shape {
	s := Shape{Nodes: nodes(n)}
	for i := range n - 1 {
		s.link(i, i+1, fmt.Sprintf("r%d", i), fmt.Sprintf("l%d", i+1))
	}
	s.From, s.To = min(n-1, 60), s.Links[0][0].Addr.Addr()
	first, far := s.Links[0][0].Addr.Masked(), s.Links[s.From-1][0].Addr.Masked()
	for i := range n {
		s.Nodes[i].Forward = true
		route := func(to netip.Prefix, via End) {
			s.Nodes[i].Routes = append(s.Nodes[i].Routes, Route{to, via.Addr.Addr()})
		}
		if i > 1 {
			route(first, s.Links[i-1][0])
		}
		if i < s.From-1 {
			route(far, s.Links[i][1])
		}
		if i > s.From {
			route(far, s.Links[i-1][0])
		}
	}
	return s
}

// mesh has a link between each two.
func mesh(n int) Shape {
	s := Shape{Nodes: nodes(n)}
	for a := range n {
		for b := a + 1; b < n; b++ {
			s.link(a, b, fmt.Sprintf("to%d", b), fmt.Sprintf("to%d", a))
		}
	}
	s.From, s.To = n-1, s.Links[n-2][0].Addr.Addr()
	return s
}

// fatTree is that of Al-Fares, Loukissas and Vahdat (SIGCOMM 2008), of switches with k ports: k pods of k/2 edge and k/2 aggregation
// switches, (k/2)² core switches, and k³/4 hosts. All are routers here; a host pings its edge switch.
func fatTree(k int) Shape {
	half := k / 2
	var (
		core, aggregation = 0, half * half
		edge              = aggregation + k*half
		host              = edge + k*half
	)
	s := Shape{Nodes: nodes(host + k*half*half)}
	for i := range host {
		s.Nodes[i].Forward = true
	}
	for pod := range k {
		for a := range half {
			above := aggregation + pod*half + a
			for c := range half {
				s.link(core+a*half+c, above, fmt.Sprintf("pod%d", pod), fmt.Sprintf("up%d", c))
			}
			for e := range half {
				s.link(above, edge+pod*half+e, fmt.Sprintf("down%d", e), fmt.Sprintf("up%d", a))
			}
		}
		for e := range half {
			below := edge + pod*half + e
			for h := range half {
				i := host + (pod*half+e)*half + h
				s.link(below, i, fmt.Sprintf("down%d", h), "eth0")
				s.Nodes[i].Routes = []Route{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), s.Links[len(s.Links)-1][0].Addr.Addr()}}
			}
		}
	}
	s.From, s.To = len(s.Nodes)-1, s.Links[len(s.Links)-1][0].Addr.Addr()
	return s
}

// link adds one with a network of its own.
func (s *Shape) link(a, b int, nameA, nameB string) {
	at := 4 * len(s.Links)
	s.Links = append(s.Links, [2]End{
		{a, nameA, netip.PrefixFrom(v4(100, at+1), 30)},
		{b, nameB, netip.PrefixFrom(v4(100, at+2), 30)},
	})
}

func nodes(n int) []Node {
	all := slices.Repeat([]Node{{Bridge: -1}}, n)
	for i := range all {
		all[i].Name = node(i)
	}
	return all
}

func node(i int) string { return fmt.Sprintf("n%d", i) }

// v4 is an address of 10.NET.0.0/16.
func v4(net, i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(10<<24|net<<16|i))))
}
