package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"topo/internal/kernel"
)

// portView is how a bridge treats a port, as far as that is not as a new one.
type portView struct {
	VLANs      []string          `json:"vlans,omitempty"`      // where the bridge filters them: "10 pvid untagged", "20-30"
	Parameters map[string]string `json:"parameters,omitempty"` // in bridge(8)'s words
	FDB        []string          `json:"fdb,omitempty"`        // static entries: a MAC address, and its VLAN if it has one
}

// portOf is how a link's bridge treats it; of a bridge, which VLANs it belongs to itself. nil: there is nothing to say.
func portOf(l kernel.Link) *portView {
	var v portView
	for _, x := range l.VLANs {
		words := kernel.VLANRange(x.First, x.Last)
		if x.PVID {
			words += " pvid"
		}
		if x.Untagged {
			words += " untagged"
		}
		v.VLANs = append(v.VLANs, words)
	}
	if p, new := l.Port, kernel.DefaultPort; p != nil {
		for _, f := range []struct {
			name      string
			is, other bool
		}{
			{"isolated", p.Isolated, new.Isolated},
			{"hairpin", p.Hairpin, new.Hairpin},
			{"learning", p.Learning, new.Learning},
			{"flood", p.Flood, new.Flood},
			{"mcast_flood", p.McastFlood, new.McastFlood},
			{"bcast_flood", p.BcastFlood, new.BcastFlood},
		} {
			if f.is != f.other {
				v.set(f.name, onOff(f.is))
			}
		}
		for _, n := range []struct {
			name      string
			is, other int
		}{{"cost", p.Cost, new.Cost}, {"priority", p.Priority, new.Priority}} {
			if n.is != n.other {
				v.set(n.name, strconv.Itoa(n.is))
			}
		}
	}
	for _, e := range l.FDB {
		words := e.MAC
		if e.VLAN != 0 {
			words += " vlan " + strconv.Itoa(e.VLAN)
		}
		v.FDB = append(v.FDB, words)
	}
	if len(v.VLANs)+len(v.Parameters)+len(v.FDB) == 0 {
		return nil
	}
	return &v
}

func (v *portView) set(name, value string) {
	if v.Parameters == nil {
		v.Parameters = map[string]string{}
	}
	v.Parameters[name] = value
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func portText(v *portView) []string {
	if v == nil {
		return nil
	}
	var parts []string
	if len(v.VLANs) > 0 {
		parts = append(parts, "VLANs "+strings.Join(v.VLANs, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(v.Parameters)) {
		parts = append(parts, name+" "+v.Parameters[name])
	}
	if len(v.FDB) > 0 {
		parts = append(parts, "static "+strings.Join(v.FDB, ", "))
	}
	return []string{"   " + strings.Join(parts, "  ")}
}
