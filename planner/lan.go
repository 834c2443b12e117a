package planner

import (
	"cmp"
	"reflect"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// lans tells the host's addresses and routes on the LANs behind uplinks: they are on a card, or, since it is a port, on the bridge.
type lans struct {
	cards   map[string]string    // card → bridge of the file
	bridges map[string]lanRecord // kernel name of the bridge
}

type lanRecord struct {
	name   string // of the bridge in the file
	record []kernel.Uplink
}

func lansOf(t *spec.Topology, s kernel.Snapshot) lans {
	l := lans{map[string]string{}, map[string]lanRecord{}}
	for _, b := range t.Bridges {
		for _, u := range b.Uplinks {
			l.cards[u.Name] = b.Name
		}
	}
	for _, u := range s.Uplinks {
		if u.Project == t.Name {
			at := l.bridges[u.Bridge]
			// A bridge that the file no longer has, or no longer gives the card, has it still.
			l.bridges[u.Bridge] = lanRecord{cmp.Or(l.cards[u.Card], u.Bridge), append(at.record, u)}
		}
	}
	return l
}

// ofAddr is the bridge behind which an address of the host's is one of the LAN; "": none.
func (l lans) ofAddr(a kernel.Addr) string {
	at := l.bridges[a.Link]
	for _, u := range at.record {
		if slices.Contains(u.Addrs, a.Prefix) {
			return at.name
		}
	}
	return l.cards[a.Link]
}

// ofRoute is likewise that of a route: one that was the card's, or goes with an address of it.
func (l lans) ofRoute(r kernel.Route) string {
	at := l.bridges[r.Link]
	for _, u := range at.record {
		if slices.ContainsFunc(u.Routes, func(x kernel.Route) bool { return reflect.DeepEqual(x, r) }) {
			return at.name
		}
		for _, p := range u.Addrs {
			if p.Masked() == r.Dst {
				return at.name
			}
		}
	}
	return l.cards[r.Link]
}
