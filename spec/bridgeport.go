package spec

import "time"

// BridgePort is how a bridge treats one of its ports.
type BridgePort struct {
	Pos      Pos
	Isolated *bool // nil: as icc of the bridge has it
	Hairpin  *bool // nil: as what the node publishes needs it
	// What follows has the kernel's defaults when not stated.
	Learning, Flood, McastFlood, BcastFlood bool
	Cost, Priority                          int
	// FDB are MAC addresses that are behind the port.
	FDB []FDBEntry `json:",omitempty"`
}

// FDBEntry is a MAC address that is behind a port.
type FDBEntry struct {
	Pos  Pos
	MAC  string // lower case, colons
	VLAN int    // 0 = none: of a bridge that filters none
}

// The kernel's defaults (net/bridge/br_device.c, br_if.c). The cost is that of 10 Gbit/s, which a veth says of itself.
const (
	defaultBridgePriority = 32768
	defaultHelloTime      = 2 * time.Second
	defaultMaxAge         = 20 * time.Second
	defaultAgeingTime     = 300 * time.Second
	defaultCost           = 2
	defaultPortPriority   = 32
	initialPVID           = 1 // VLAN of a new port, untagged
)

// bridgePort reads what is said of a port of a bridge, which is in some VLANs; nil: nothing is.
func (r *resolver) bridgePort(raw *bridgePort, b *Bridge, v *VLANs) *BridgePort {
	if raw == nil || !raw.Set {
		return nil
	}
	if raw.Isolated.Set && !raw.Isolated.Value && !b.ICC {
		r.add(raw.Isolated.Pos, "isolated: false contradicts icc: false of bridge %s", b.Name)
	}
	return &BridgePort{
		Pos: raw.Pos, Isolated: raw.Isolated.stated(), Hairpin: raw.Hairpin.stated(),
		Learning: raw.Learning.or(true), Flood: raw.Flood.or(true), McastFlood: raw.McastFlood.or(true), BcastFlood: raw.BcastFlood.or(true),
		Cost: raw.Cost.or(defaultCost), Priority: raw.Priority.or(defaultPortPriority),
		FDB: r.fdb(raw.FDB, b, v),
	}
}

// fdb reads the MAC addresses that are behind a port.
func (r *resolver) fdb(raw []fdbEntry, b *Bridge, v *VLANs) []FDBEntry {
	if v == nil {
		one := VLANRange{initialPVID, initialPVID}
		v = &VLANs{PVID: initialPVID, Untagged: []VLANRange{one}}
	}
	var out []FDBEntry
	for _, x := range raw {
		t := x.MAC
		if x.Scalar.Set {
			t = x.Scalar
		}
		e := FDBEntry{Pos: t.Pos, MAC: r.mac(t), VLAN: x.VLAN.Value}
		if e.MAC == "" {
			continue
		}
		switch {
		case x.VLAN.Bad:
			continue
		case !b.VLANFiltering && !b.External:
			if x.VLAN.Set {
				r.add(x.VLAN.Pos, "vlan needs vlan_filtering: true of bridge %s", b.Name)
			}
		case b.External:
		case !x.VLAN.Set && v.PVID == 0:
			r.add(e.Pos, "%s needs a vlan: the port has no pvid", e.MAC)
		case !x.VLAN.Set:
			e.VLAN = v.PVID
		case !v.has(e.VLAN):
			r.add(x.VLAN.Pos, "the port is not in VLAN %d", e.VLAN)
		}
		key := FDBEntry{MAC: e.MAC, VLAN: e.VLAN}
		if bs := r.bridges[b.Name]; bs != nil {
			if c, twice := bs.fdb[key]; twice {
				r.add(e.Pos, "%s is behind a port already, in %s", e.MAC, line(c.pos))
				continue
			}
			bs.fdb[key] = claim{e.Pos, b.Name}
		}
		out = append(out, e)
	}
	return out
}

// stated is a truth value that may be left out.
func (v flag) stated() *bool {
	if !v.Set {
		return nil
	}
	return &v.Value
}

// bridgeTimes reads a bridge's times, and checks the bounds that the kernel has (br_set_hello_time, br_set_max_age); the
// longest ageing time is that of IEEE 802.1D, table 7-5.
func (r *resolver) bridgeTimes(b *Bridge, raw bridge) {
	b.HelloTime = r.bridgeTime("hello_time", raw.HelloTime, defaultHelloTime, time.Second, 10*time.Second)
	b.MaxAge = r.bridgeTime("max_age", raw.MaxAge, defaultMaxAge, 6*time.Second, 40*time.Second)
	b.AgeingTime = r.bridgeTime("ageing_time", raw.AgeingTime, defaultAgeingTime, 0, 1_000_000*time.Second)
}

func (r *resolver) bridgeTime(key string, raw span, otherwise, least, most time.Duration) time.Duration {
	d := raw.Value
	switch {
	case !raw.Set:
		return otherwise
	case d < least || d > most:
		r.add(raw.Pos, "%s must be from %s to %s", key, least, most)
	case d%(10*time.Millisecond) != 0:
		r.add(raw.Pos, "%s must be whole hundredths of a second", key)
	}
	return d
}
