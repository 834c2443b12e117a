package spec

import (
	"slices"
	"strconv"
	"strings"
)

// maxVLAN is the last one; 4095 is reserved (IEEE 802.1Q, table 9-2).
const maxVLAN = 4094

// VLANs says which VLANs a bridge's port, or a bridge itself, belongs to.
type VLANs struct {
	Pos Pos
	// PVID is the VLAN of what comes in without a tag; 0: such packets are dropped.
	PVID     int         `json:",omitempty"`
	Untagged []VLANRange `json:",omitempty"` // whose packets leave without a tag
	Tagged   []VLANRange `json:",omitempty"`
}

// has reports whether a VLAN is among them.
func (v *VLANs) has(id int) bool {
	in := func(r VLANRange) bool { return r.First <= id && id <= r.Last }
	return slices.ContainsFunc(v.Untagged, in) || slices.ContainsFunc(v.Tagged, in)
}

// VLANRange is one VLAN or some in a row, from 1 to 4094.
type VLANRange struct{ First, Last int }

// String is the range in the file's words.
func (v VLANRange) String() string {
	if v.First == v.Last {
		return strconv.Itoa(v.First)
	}
	return strconv.Itoa(v.First) + "-" + strconv.Itoa(v.Last)
}

// noVLANs is the word for what belongs to none.
const noVLANs = "none"

// vlansOf reads what is said of a port; nil: nothing is.
func (r *resolver) vlansOf(raw *vlans) *VLANs {
	if raw == nil || !raw.Set {
		return nil
	}
	v := &VLANs{Pos: raw.Pos}
	if raw.Scalar.Set {
		v.Pos = raw.Scalar.Pos
		if raw.Scalar.Value == noVLANs {
			return v
		}
		n, ok := vlanRange(raw.Scalar.Value)
		if !ok || n.First != n.Last {
			r.add(v.Pos, "vlan must be a VLAN from 1 to %d, none or a map, not %q", maxVLAN, raw.Scalar.Value)
			return nil
		}
		v.PVID, v.Untagged = n.First, []VLANRange{n}
		return v
	}
	v.PVID = raw.PVID.Value
	taken := map[int]bool{}
	v.Tagged = r.vlanRanges("tagged", raw.Tagged, taken)
	if raw.Untagged.Set {
		v.Untagged = r.vlanRanges("untagged", raw.Untagged, taken)
	} else if v.PVID != 0 && !taken[v.PVID] {
		v.Untagged = []VLANRange{{v.PVID, v.PVID}}
		taken[v.PVID] = true
	}
	switch {
	case raw.PVID.Bad || raw.Untagged.Bad || raw.Tagged.Bad: // noted
	case !raw.PVID.Set && !raw.Untagged.Set && !raw.Tagged.Set:
		r.add(v.Pos, "vlan needs pvid, tagged or untagged; none is the word for no VLAN")
	case v.PVID != 0 && !taken[v.PVID]:
		r.add(raw.PVID.Pos, "pvid %d must be in untagged or tagged, too: what comes in by it could not leave", v.PVID)
	}
	return v
}

// vlanRanges reads VLANs and ranges of them, none of which is there twice.
func (r *resolver) vlanRanges(key string, raw vlanIDs, taken map[int]bool) []VLANRange {
	words := raw.List
	if raw.Scalar.Set {
		words = []word{raw.Scalar}
	}
	var out []VLANRange
	for _, w := range words {
		if !w.Set {
			continue
		}
		v, ok := vlanRange(w.Value)
		if !ok {
			r.add(w.Pos, "%s must be VLANs from 1 to %d, and ranges of them like 20-30, not %q", key, maxVLAN, w.Value)
			continue
		}
		for id := v.First; id <= v.Last; id++ {
			if taken[id] {
				r.add(w.Pos, "VLAN %d is there twice", id)
				break
			}
			taken[id] = true
		}
		out = append(out, v)
	}
	return out
}

func vlanRange(s string) (VLANRange, bool) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, err := strconv.Atoi(first)
	b, err2 := strconv.Atoi(last)
	return VLANRange{a, b}, err == nil && err2 == nil && a >= 1 && a <= b && b <= maxVLAN
}

// portVLANs reads what is said of a port of a bridge.
func (r *resolver) portVLANs(raw *vlans, b *Bridge) *VLANs {
	v := r.vlansOf(raw)
	if v != nil && !b.VLANFiltering && !b.External {
		r.add(v.Pos, "vlan needs vlan_filtering: true of bridge %s", b.Name)
	}
	return v
}

// ownVLAN is where a bridge's own vlan stands.
func ownVLAN(raw bridge) origin {
	if raw.VLAN == nil {
		return origin{}
	}
	return raw.VLAN.origin
}
