package kernel

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxVLAN is the last VLAN; 4095 is reserved (IEEE 802.1Q, table 9-2).
const MaxVLAN = 4094

// VLAN is a range of VLANs that a bridge's port, or a bridge itself, belongs to, all in the same way.
type VLAN struct {
	First, Last int  // 1 to [MaxVLAN]
	PVID        bool // what comes in without a tag belongs to it; one VLAN of a port at most
	Untagged    bool // what leaves by the port loses its tag
}

type (
	// VLANAdd makes a port of a bridge, or with Self a bridge itself, belong to VLANs. Those that it belongs to already it
	// belongs to in the new way then; another VLAN that is the PVID no longer is when a new one is.
	VLANAdd struct {
		Netns string
		Link  string
		Self  bool
		VLAN
	}
	// VLANDelete takes a port, or with Self a bridge itself, out of VLANs.
	VLANDelete struct {
		Netns       string
		Link        string
		Self        bool
		First, Last int
	}
)

func (VLANAdd) op()    {}
func (VLANDelete) op() {}

func (o VLANAdd) String() string {
	words := vlanLine("add", o.Netns, o.Link, o.Self, o.First, o.Last)
	if o.PVID {
		words += " pvid"
	}
	if o.Untagged {
		words += " untagged"
	}
	return words
}

func (o VLANDelete) String() string {
	return vlanLine("delete", o.Netns, o.Link, o.Self, o.First, o.Last)
}

func vlanLine(verb, netns, link string, self bool, first, last int) string {
	line := fmt.Sprintf("%s vlan %s dev %s vid %s", bridge(netns), verb, link, VLANRange(first, last))
	if self {
		line += " self"
	}
	return line
}

// VLANRange is a range as bridge(8) has it: "10", "20-30".
func VLANRange(first, last int) string {
	if first == last {
		return strconv.Itoa(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

// DefaultVLANs are those that a port, or a bridge, belongs to by itself: the default PVID, untagged; 0 = none.
func DefaultVLANs(pvid int) []VLAN {
	if pvid == 0 {
		return nil
	}
	return []VLAN{{First: pvid, Last: pvid, PVID: true, Untagged: true}}
}

// MergeVLANs sorts ranges that don't overlap, and joins those that follow each other.
func MergeVLANs(vlans []VLAN) []VLAN {
	slices.SortFunc(vlans, func(a, b VLAN) int { return cmp.Compare(a.First, b.First) })
	var out []VLAN
	for _, v := range vlans {
		if n := len(out); n > 0 && out[n-1].Last+1 == v.First && !v.PVID && !out[n-1].PVID && out[n-1].Untagged == v.Untagged {
			out[n-1].Last = v.Last
			continue
		}
		out = append(out, v)
	}
	return out
}

// VLANsText lists ranges as the file does: "10,20-30"; "" for none.
func VLANsText(vlans []VLAN) string {
	words := make([]string, len(vlans))
	for i, v := range vlans {
		words[i] = VLANRange(v.First, v.Last)
	}
	return strings.Join(words, ",")
}
