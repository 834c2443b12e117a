package spec

import (
	"net/netip"
	"strconv"
)

// Host ports that the file leaves open are derived into IANA's dynamic ports (RFC 6335, section 6).
const firstDerived, derived = 49152, 1 << 14

// publishedPorts are the host ports of a file.
type publishedPorts struct {
	count int
	held  map[portKey][]heldPort
	open  []openPort
}

// portKey is what two publishers can't both have, addresses aside.
type portKey struct {
	port     uint16
	protocol string
}

type heldPort struct {
	ip netip.Addr // invalid: all
	claim
}

// openPort is a port whose host port is chosen once all stated ones are known.
type openPort struct {
	node, index int
	first, last int // the range to choose from; 0: derived
}

// publish takes the host ports: first the stated ones, then a free one for each of the others.
func (r *resolver) publish() {
	r.published.held = map[portKey][]heldPort{}
	reported := map[[2]Pos]bool{}
	for _, n := range r.topo.Nodes {
		for _, p := range n.Ports {
			if p.HostPort == 0 {
				continue
			}
			h, taken := r.holder(p)
			if !taken {
				r.hold(n, p)
				continue
			}
			// Ranges collide at each of their ports; once is enough.
			if pair := [2]Pos{h.pos, p.Pos}; !reported[pair] {
				reported[pair] = true
				if n.Of != "" && h.pos == p.Pos {
					r.add(p.Pos, "host port %d/%s can't be that of all of %s; give a range, or leave the host port out", p.HostPort, p.Protocol, n.Of)
					continue
				}
				r.add(p.Pos, "host port %d/%s is already that of %s", p.HostPort, p.Protocol, h.claim)
			}
		}
	}
	for _, o := range r.published.open {
		n := &r.topo.Nodes[o.node]
		p := &n.Ports[o.index]
		if r.choose(n.Name, p, o) {
			r.hold(*n, *p)
		}
	}
}

func (r *resolver) hold(n Node, p Port) {
	key := portKey{p.HostPort, p.Protocol}
	r.published.held[key] = append(r.published.held[key], heldPort{p.HostIP, claim{p.Pos, n.Name}})
}

// choose finds a free host port: the lowest of a stated range, else the first from one that is derived
// from project, node and port, so that it is the same the next time.
func (r *resolver) choose(node string, p *Port, o openPort) bool {
	first, count, start := o.first, o.last-o.first+1, 0
	if o.first == 0 {
		first, count = firstDerived, derived
		n, _ := strconv.ParseUint(hash(8, r.topo.Name, node, strconv.Itoa(int(p.NodePort)), p.Protocol), 16, 32)
		start = int(n % derived)
	}
	for i := range count {
		p.HostPort = uint16(first + (start+i)%count)
		if _, taken := r.holder(*p); !taken {
			return true
		}
	}
	r.add(p.Pos, "no host port is free from %d to %d", first, first+count-1)
	return false
}

// holder is who has a port already, on an address that overlaps.
func (r *resolver) holder(p Port) (heldPort, bool) {
	for _, h := range r.published.held[portKey{p.HostPort, p.Protocol}] {
		if overlap(h.ip, p.HostIP) {
			return h, true
		}
	}
	return heldPort{}, false
}

// overlap reports whether two listeners' addresses exclude each other: all addresses (of a family, when
// unspecified) and each of them do.
func overlap(a, b netip.Addr) bool {
	switch {
	case !a.IsValid() || !b.IsValid():
		return true
	case a.Is4() != b.Is4():
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}
