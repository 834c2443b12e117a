package topogen

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// Own is an interface of a node's own, o and its number.
type Own struct {
	Number int // different for every one of a node; what stands on another has a greater one
	Kind   string
	// Parent is another one of these, or the interface of an attachment; "": it has none.
	Parent  string
	Private bool // the mode of a macvlan
	// Of a vxlan: remotes; of a wireguard: peers elsewhere.
	Others []int
	// Of a vrf: one of these; "": none.
	Member string
	V4     bool
	MTU    int // 0: not stated
	Extra  int // of a wireguard, its mark
}

// maxOwn is how many a node has at most.
const maxOwn = 3

func (o Own) name() string { return fmt.Sprintf("o%d", o.Number) }

// publicKeys are those of peers elsewhere.
var publicKeys = []string{
	"aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=", "c2VlIHlvdSBzZWUgeW91IHNlZSB5b3Ugc2VlIHlvdSE=", "d2hvIGFyZSB5b3Ugd2hvIGFyZSB5b3Ugd2hvIGFyZSE=",
}

func (o Own) keys(n Node) keys {
	k := keys{"type: " + o.Kind}
	k.add(o.Parent != "", "parent: %s", o.Parent)
	k.add(o.Private, "mode: private")
	k.add(o.V4, "address: 10.60.%d.%d/24", o.Number, n.Host)
	k.add(o.MTU != 0, "mtu: %d", o.MTU)
	var others []string
	switch o.Kind {
	case "vxlan":
		for _, x := range o.Others {
			others = append(others, fmt.Sprintf("192.0.2.%d", 100+x))
		}
		k.add(true, "id: %d, remotes: [%s]", 1+(o.Number+n.Turn)%maxOwn, strings.Join(others, ", "))
	case "vrf":
		k.add(true, "table: %d", 1000+o.Number)
		k.add(o.Member != "", "members: [%s]", o.Member)
	case "wireguard":
		for _, x := range o.Others {
			others = append(others, fmt.Sprintf("{public_key: %q, allowed_ips: 10.70.%d.0/24, persistent_keepalive: %d}", publicKeys[x], x, o.Extra))
		}
		k.add(true, "listen_port: %d, fwmark: %d, peers: [%s]", 51820+o.Number, o.Extra, strings.Join(others, ", "))
	}
	return k
}

// setOwn draws a node's own interfaces.
func (d *drawing) setOwn(n *Node) {
	n.Own = nil
	n.Turn = d.n("turn", 0, maxOwn-1)
	for range d.n("own interfaces", 0, maxOwn) {
		n.Own = append(n.Own, d.own(n))
	}
}

func (d *drawing) own(n *Node) Own {
	kinds := []string{"tap", "ifb", "vxlan", "macvlan"}
	if !d.o.Plain {
		kinds = append(kinds, "dummy", "vrf", "wireguard")
	}
	o := Own{Number: len(n.Own) + 1, Kind: rapid.SampledFrom(kinds).Draw(d.t, "kind")}
	var below []string
	for _, x := range n.Own {
		if x.Kind == "tap" || x.Kind == "dummy" {
			below = append(below, x.name())
		}
	}
	if o.Kind == "vrf" && len(below) > 0 && d.chance("member", 2) {
		member := rapid.SampledFrom(below).Draw(d.t, "member name")
		if !slices.ContainsFunc(n.Own, func(x Own) bool { return x.Member == member }) {
			o.Member = member
		}
	}
	for _, a := range n.Attached {
		if a.Interface != "" {
			below = append(below, a.Interface)
		}
	}
	switch {
	case o.Kind == "macvlan" && len(below) == 0:
		o.Kind = "tap"
	case o.Kind == "macvlan":
		o.Parent = rapid.SampledFrom(below).Draw(d.t, "parent")
		o.Private = d.chance("private", 3)
	}
	d.resetOwn(&o)
	return o
}

// resetOwn draws what can be changed of one.
func (d *drawing) resetOwn(o *Own) {
	o.V4 = o.Kind != "ifb" && d.chance("own address", 2)
	if o.Parent == "" && o.Kind != "vrf" { // not more than its parent's
		o.MTU = d.mtu("own mtu", 3)
	}
	if o.Kind == "vxlan" || o.Kind == "wireguard" {
		o.Extra = d.n("extra", 0, 2)
		o.Others = rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 0, 3, rapid.ID).Draw(d.t, "others")
	}
}

// repairOwn takes out what stands on what is gone.
func (n *Node) repairOwn() {
	if n.Container && len(n.Attached) == 0 {
		n.Own = nil // its network may be none
	}
	there := map[string]bool{}
	for _, a := range n.Attached {
		there[a.Interface] = true
	}
	var kept []Own
	for _, o := range n.Own {
		if o.Parent != "" && !there[o.Parent] {
			continue
		}
		if !there[o.Member] {
			o.Member = ""
		}
		there[o.name()] = true
		kept = append(kept, o)
	}
	n.Own = kept
}
