package spec

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
)

// warnOfTraps notes what is no mistake and loses packets without a word all the same.
func warnOfTraps(t *Topology, warn *problems) {
	warnOfMTUs(t, warn)
	warnOfTTLs(t, warn)
}

// warnOfMTUs notes where one end sends larger packets than the next one takes: a veth and a bridge drop them.
func warnOfMTUs(t *Topology, warn *problems) {
	bridges := map[string]*Bridge{}
	for i := range t.Bridges {
		if b := &t.Bridges[i]; !b.External { // of another's the MTU isn't known
			bridges[b.Name] = b
		}
	}
	larger := func(pos Pos, what string, mtu int, bridge string) {
		if b := bridges[bridge]; b != nil && mtu > b.MTU {
			warn.add(pos, "mtu %d of %s is larger than bridge %s's, %d: packets between are lost where they don't fit", mtu, what, bridge, b.MTU)
		}
	}
	for _, n := range t.Nodes {
		for _, a := range n.Attachments {
			larger(a.Pos, n.Name+":"+a.Interface, a.MTU, a.Bridge)
		}
	}
	for _, l := range t.Links {
		a, b := l.Ends[0], l.Ends[1]
		if a.MTU != b.MTU {
			warn.add(b.Pos, "mtu %d of %s:%s is not that of the other end, %s:%s, %d: packets between are lost where they don't fit",
				b.MTU, b.Node, b.Interface, a.Node, a.Interface, a.MTU)
		}
		for _, e := range l.Ends {
			if e.Bridge {
				larger(e.Pos, "port "+e.Interface, e.MTU, e.Node)
			}
		}
	}
}

// defaultTTL is what Linux gives a packet, IPv4's time to live and IPv6's hop limit; each router takes one, and drops the packet at 0.
const defaultTTL = 64

// minRouters is how many it takes for one too many in a row, unless somebody lowers the TTL.
const minRouters = defaultTTL

// hops is how many routers packets of a node may pass, by family: one less than their TTL. Negative: it has no such packets.
type hops struct{ v4, v6 int }

// warnOfTTLs notes that two nodes are too many routers apart: the two that are farthest. Routers count as ends only where there is no
// other node, as a net is not there for its routers.
func warnOfTTLs(t *Topology, warn *problems) {
	routers := 0
	for _, n := range t.Nodes {
		if slices.ContainsFunc(n.Sysctls, forwards) {
			routers++
		}
	}
	if routers < minRouters {
		return
	}
	w := newWires(t)
	onlyRouters := routers == len(t.Nodes)
	var worst struct{ from, to, apart, may int }
	least := math.MaxInt // that packets of a node may pass
	for _, h := range w.hops {
		for _, may := range []int{h.v4, h.v6} {
			if may >= 0 {
				least = min(least, may)
			}
		}
	}
	apart := make([]int, len(t.Nodes))
	farthest := slices.Repeat([]int{math.MaxInt}, len(t.Nodes)) // that anything can be from each, as far as is known
	walk := func(from int) {
		longest := w.distances(from, apart)
		for v, d := range apart {
			if d >= 0 && w.router[from] { // by way of which it is one more
				farthest[v] = min(farthest[v], d+1+longest)
			}
		}
	}
	seen := map[string]bool{}
	for u := range t.Nodes {
		if w.router[u] && !onlyRouters || len(w.of[u]) == 0 {
			continue
		}
		if key := fmt.Sprint(w.of[u], w.hops[u]); seen[key] { // others are where it is
			continue
		} else {
			seen[key] = true
		}
		if farthest[u] == math.MaxInt {
			for _, v := range w.members[w.of[u][0]] {
				if w.router[v] {
					walk(v)
					break
				}
			}
		}
		if farthest[u] <= max(worst.apart, least) {
			continue
		}
		walk(u)
		for v, apart := range apart {
			may := 0
			switch a, b := w.hops[u], w.hops[v]; {
			case w.router[v] && !onlyRouters:
				continue
			case a.v4 >= 0 && b.v4 >= 0 && apart > min(a.v4, b.v4):
				may = min(a.v4, b.v4)
			case a.v6 >= 0 && b.v6 >= 0 && apart > min(a.v6, b.v6):
				may = min(a.v6, b.v6)
			default:
				continue
			}
			if apart > worst.apart {
				worst.from, worst.to, worst.apart, worst.may = u, v, apart, may
			}
		}
	}
	if worst.apart > 0 {
		warn.add(t.Nodes[worst.from].Pos, "%s and %s are %d routers apart, and their packets pass %d: give both the sysctls "+
			"net.ipv4.ip_default_ttl and net.ipv6.conf.default.hop_limit, %d or more",
			t.Nodes[worst.from].Name, t.Nodes[worst.to].Name, worst.apart, worst.may, worst.apart+1)
	}
}

// wires is which nodes are on which layer 2: that of a bridge with all that is cabled to it, or that of a link.
type wires struct {
	of      [][]int // node → its wires
	members [][]int // wire → the nodes on it
	router  []bool  // node → whether it forwards
	hops    []hops  // node → how many routers its packets may pass
	seen    []bool  // wire → whether a search has been there
}

func newWires(t *Topology) *wires {
	w := &wires{of: make([][]int, len(t.Nodes)), router: make([]bool, len(t.Nodes)), hops: make([]hops, len(t.Nodes))}
	index, bridges, subnets := map[string]int{}, map[string]int{}, map[string][]Subnet{}
	for i, b := range t.Bridges {
		bridges[b.Name], subnets[b.Name] = i, b.Subnets
	}
	for _, l := range t.Links { // two bridges that are cabled together are one wire
		if a, b := l.Ends[0], l.Ends[1]; a.Bridge && b.Bridge {
			from, to := bridges[b.Node], bridges[a.Node]
			for name, wire := range bridges {
				if wire == from {
					bridges[name] = to
				}
			}
		}
	}
	w.members = make([][]int, len(t.Bridges)+len(t.Links))
	w.seen = make([]bool, len(w.members))
	join := func(node, wire int) {
		if !slices.Contains(w.of[node], wire) {
			w.of[node] = append(w.of[node], wire)
			w.members[wire] = append(w.members[wire], node)
		}
	}
	for i, n := range t.Nodes {
		index[n.Name] = i
		w.router[i] = slices.ContainsFunc(n.Sysctls, forwards)
		w.hops[i] = hops{-1, -1}
		for _, a := range n.Attachments {
			join(i, bridges[a.Bridge])
			for _, p := range a.Addresses {
				w.has(t, i, p.Addr())
			}
			if len(a.Addresses) > 0 {
				continue
			}
			for _, s := range subnets[a.Bridge] {
				if s.Prefix.IsValid() {
					w.has(t, i, s.Prefix.Addr())
				} else {
					w.has(t, i, netip.IPv4Unspecified()) // what is allocated is IPv4
				}
			}
		}
	}
	for i, l := range t.Links {
		wire := len(t.Bridges) + i
		for _, e := range l.Ends {
			if e.Bridge {
				wire = bridges[e.Node]
			}
		}
		for _, e := range l.Ends {
			if n, ok := index[e.Node]; ok && !e.Bridge {
				join(n, wire)
				for _, p := range e.Addresses {
					w.has(t, n, p.Addr())
				}
			}
		}
	}
	return w
}

// distances sets apart to the routers between a node and each that it can reach, by the shortest way, and to -1 for others, and tells
// the longest.
func (w *wires) distances(from int, apart []int) int {
	for i := range apart {
		apart[i] = -1
	}
	apart[from] = 0
	clear(w.seen)
	at, beyond := []int{from}, []int(nil)
	for passed := 0; len(at) > 0; passed++ {
		beyond = beyond[:0]
		for _, via := range at {
			for _, wire := range w.of[via] {
				if w.seen[wire] {
					continue
				}
				w.seen[wire] = true
				for _, node := range w.members[wire] {
					if apart[node] >= 0 {
						continue
					}
					apart[node] = passed
					if w.router[node] {
						beyond = append(beyond, node)
					}
				}
			}
		}
		at, beyond = beyond, at
	}
	return slices.Max(apart)
}

// forwards reports whether a sysctl makes its node a router.
func forwards(s Sysctl) bool {
	return s.Value != "0" && slices.ContainsFunc(forwardingSysctls, func(f forwardingSysctl) bool { return slices.Contains(f.same, canonicalSysctl(s.Key)) })
}

// has notes that a node has packets of an address's family.
func (w *wires) has(t *Topology, node int, a netip.Addr) {
	if a.Is4() {
		w.hops[node].v4 = ttl(t.Nodes[node], "net.ipv4.ip_default_ttl") - 1
	} else {
		w.hops[node].v6 = ttl(t.Nodes[node], "net.ipv6.conf.default.hop_limit") - 1
	}
}

func ttl(n Node, key string) int {
	for _, s := range n.Sysctls {
		if canonicalSysctl(s.Key) == key {
			if v, err := strconv.Atoi(s.Value); err == nil {
				return v
			}
		}
	}
	return defaultTTL
}
