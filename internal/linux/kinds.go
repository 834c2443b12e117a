package linux

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// linkKind says how a kind of link is on the wire: include/uapi/linux/if_link.h, if_tunnel.h.
type linkKind struct {
	option string // of the kernel's build, without CONFIG_
	// parent is the attribute of the kind's own that has the index of what it stands on; 0: IFLA_LINK.
	parent int
	params []param
}

// param is a parameter of a kind, in ip-link(8)'s words.
type param struct {
	name string
	// put adds it to a message; get reads it, "" where it is not set.
	put func(to adder, value string) error
	get func(from map[uint16][]byte) string
}

// linkKinds are those that kernel.LinkAdd makes; a new one is a line here.
var linkKinds = map[string]linkKind{
	"dummy":     {option: "DUMMY"},
	"ifb":       {option: "IFB"},
	"wireguard": {option: "WIREGUARD"},
	"vlan": {option: "VLAN_8021Q", params: []param{
		wordParam("protocol", nl.IFLA_VLAN_PROTOCOL, big16, "802.1Q", 0x8100, "802.1ad", 0x88a8),
		numParam("id", nl.IFLA_VLAN_ID, native16),
	}},
	"macvlan": {option: "MACVLAN", params: []param{macvlanMode}},
	"macvtap": {option: "MACVTAP", params: []param{macvlanMode}},
	"ipvlan":  {option: "IPVLAN", params: []param{wordParam("mode", nl.IFLA_IPVLAN_MODE, native16, "l2", 0, "l3", 1, "l3s", 2)}},
	"vrf":     {option: "NET_VRF", params: []param{numParam("table", nl.IFLA_VRF_TABLE, native32)}},
	"vxlan": {option: "VXLAN", parent: nl.IFLA_VXLAN_LINK, params: []param{
		numParam("id", nl.IFLA_VXLAN_ID, native32),
		ipParam("local", nl.IFLA_VXLAN_LOCAL, nl.IFLA_VXLAN_LOCAL6, nil),
		ipParam("remote", nl.IFLA_VXLAN_GROUP, nl.IFLA_VXLAN_GROUP6, func(a netip.Addr) bool { return !a.IsMulticast() }),
		ipParam("group", nl.IFLA_VXLAN_GROUP, nl.IFLA_VXLAN_GROUP6, netip.Addr.IsMulticast),
		numParam("port", nl.IFLA_VXLAN_PORT, big16),
		numParam("ttl", nl.IFLA_VXLAN_TTL, native8),
		wordParam("learning", nl.IFLA_VXLAN_LEARNING, native8, "on", 1, "off", 0),
	}},
	"geneve": {option: "GENEVE", params: []param{
		numParam("id", nl.IFLA_GENEVE_ID, native32),
		ipParam("remote", nl.IFLA_GENEVE_REMOTE, nl.IFLA_GENEVE_REMOTE6, nil),
		numParam("port", nl.IFLA_GENEVE_PORT, big16),
		numParam("ttl", nl.IFLA_GENEVE_TTL, native8),
	}},
	"gre": {option: "NET_IPGRE", params: []param{
		ipParam("local", nl.IFLA_GRE_LOCAL, 0, nil),
		ipParam("remote", nl.IFLA_GRE_REMOTE, 0, nil),
		numParam("ttl", nl.IFLA_GRE_TTL, native8),
		greKey,
	}},
	"ipip": {option: "NET_IPIP", params: []param{
		ipParam("local", nl.IFLA_IPTUN_LOCAL, 0, nil),
		ipParam("remote", nl.IFLA_IPTUN_REMOTE, 0, nil),
		numParam("ttl", nl.IFLA_IPTUN_TTL, native8),
	}},
	"bond": {option: "BONDING", params: []param{
		wordParam("mode", nl.IFLA_BOND_MODE, native8, "balance-rr", 0, "active-backup", 1, "balance-xor", 2, "broadcast", 3, "802.3ad", 4, "balance-tlb", 5, "balance-alb", 6),
		numParam("miimon", nl.IFLA_BOND_MIIMON, native32),
		numParam("updelay", nl.IFLA_BOND_UPDELAY, native32),
		numParam("downdelay", nl.IFLA_BOND_DOWNDELAY, native32),
		numParam("min_links", nl.IFLA_BOND_MIN_LINKS, native32),
		wordParam("lacp_rate", nl.IFLA_BOND_AD_LACP_RATE, native8, "slow", 0, "fast", 1),
		wordParam("xmit_hash_policy", nl.IFLA_BOND_XMIT_HASH_POLICY, native8, "layer2", 0, "layer3+4", 1, "layer2+3", 2, "encap2+3", 3, "encap3+4", 4, "vlan+srcmac", 5),
	}},
	"tun": {option: "TUN", params: []param{wordParam("mode", tunType, native8, "tun", 1, "tap", 2)}},
}

var macvlanMode = wordParam("mode", nl.IFLA_MACVLAN_MODE, native32, "private", 1, "vepa", 2, "bridge", 4, "passthru", 8)

// tunType is IFLA_TUN_TYPE; the attributes of a tun are only read.
const tunType = 3

// width is how a number is on the wire.
type width struct {
	bytes int
	order binary.AppendByteOrder
}

var (
	native8  = width{1, binary.NativeEndian}
	native16 = width{2, binary.NativeEndian}
	native32 = width{4, binary.NativeEndian}
	big16    = width{2, binary.BigEndian}
)

func (w width) put(n uint32) []byte {
	switch w.bytes {
	case 1:
		return []byte{byte(n)}
	case 2:
		return w.order.AppendUint16(nil, uint16(n))
	}
	return w.order.AppendUint32(nil, n)
}

func (w width) get(b []byte) (uint32, bool) {
	if len(b) != w.bytes {
		return 0, false
	}
	order := w.order.(binary.ByteOrder) //nolint:forcetypeassert // both are
	switch w.bytes {
	case 1:
		return uint32(b[0]), true
	case 2:
		return uint32(order.Uint16(b)), true
	}
	return order.Uint32(b), true
}

// numParam is a parameter that is a number.
func numParam(name string, attr int, w width) param {
	return param{
		name: name,
		put: func(to adder, value string) error {
			n, err := strconv.ParseUint(value, 10, 8*w.bytes)
			if err != nil {
				return fmt.Errorf("%s %q: %w", name, value, unix.EINVAL)
			}
			to.AddData(nl.NewRtAttr(attr, w.put(uint32(n))))
			return nil
		},
		get: func(from map[uint16][]byte) string {
			n, ok := w.get(from[uint16(attr)])
			if !ok {
				return ""
			}
			return strconv.FormatUint(uint64(n), 10)
		},
	}
}

// wordParam is a parameter that is one of some words, each with its number.
func wordParam(name string, attr int, w width, pairs ...any) param {
	return param{
		name: name,
		put: func(to adder, value string) error {
			i := slices.Index(pairs, any(value))
			if i < 0 {
				return fmt.Errorf("%s %q: %w", name, value, unix.EINVAL)
			}
			to.AddData(nl.NewRtAttr(attr, w.put(uint32(pairs[i+1].(int))))) //nolint:forcetypeassert // the table above
			return nil
		},
		get: func(from map[uint16][]byte) string {
			n, ok := w.get(from[uint16(attr)])
			if !ok {
				return ""
			}
			if i := slices.Index(pairs, any(int(n))); i > 0 {
				return pairs[i-1].(string) //nolint:forcetypeassert // the table above
			}
			return strconv.FormatUint(uint64(n), 10)
		},
	}
}

// ipParam is a parameter that is an address, which has one attribute a family; of two that share one, is says which it is.
func ipParam(name string, attr4, attr6 int, is func(netip.Addr) bool) param {
	return param{
		name: name,
		put: func(to adder, value string) error {
			a, err := netip.ParseAddr(value)
			attr := attr4
			if a.Is6() {
				attr = attr6
			}
			if err != nil || attr == 0 {
				return fmt.Errorf("%s %q: %w", name, value, unix.EINVAL)
			}
			to.AddData(nl.NewRtAttr(attr, a.AsSlice()))
			return nil
		},
		get: func(from map[uint16][]byte) string {
			for _, attr := range []int{attr4, attr6} {
				a := address(from[uint16(attr)])
				if attr != 0 && a.IsValid() && !a.IsUnspecified() && (is == nil || is(a)) {
					return a.String()
				}
			}
			return ""
		},
	}
}

// greKey is the key of both directions, which is there only where a flag says so (GRE_KEY).
var greKey = param{
	name: "key",
	put: func(to adder, value string) error {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("key %q: %w", value, unix.EINVAL)
		}
		key, flag := binary.BigEndian.AppendUint32(nil, uint32(n)), big16.put(greKeyFlag)
		for attr, data := range map[int][]byte{nl.IFLA_GRE_IKEY: key, nl.IFLA_GRE_OKEY: key, nl.IFLA_GRE_IFLAGS: flag, nl.IFLA_GRE_OFLAGS: flag} {
			to.AddData(nl.NewRtAttr(attr, data))
		}
		return nil
	},
	get: func(from map[uint16][]byte) string {
		flags, ok := big16.get(from[nl.IFLA_GRE_OFLAGS])
		key := from[nl.IFLA_GRE_OKEY]
		if !ok || flags&greKeyFlag == 0 || len(key) != 4 {
			return ""
		}
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(key)), 10)
	},
}

const greKeyFlag = 0x2000

// parseKind reads what is a kind's own.
func parseKind(l *link, data []byte) {
	k, ok := linkKinds[l.Kind]
	if !ok {
		return
	}
	from := map[uint16][]byte{}
	for attr, value := range attributes(data) {
		from[attr] = value
	}
	if k.parent != 0 {
		l.lowerIndex = number(from[uint16(k.parent)])
	}
	all := make([]kernel.Param, len(k.params))
	for i, p := range k.params {
		all[i] = kernel.Param{Name: p.name, Value: p.get(from)}
	}
	l.Params = kernel.Params(l.Kind, all...)
}

// putParams writes them into a message.
func putParams(to adder, kind string, params []kernel.Param) error {
	for _, p := range params {
		i := slices.IndexFunc(linkKinds[kind].params, func(q param) bool { return q.name == p.Name })
		if i < 0 {
			return fmt.Errorf("a %s has no %s: %w", kind, p.Name, unix.EINVAL)
		}
		if err := linkKinds[kind].params[i].put(to, p.Value); err != nil {
			return err
		}
	}
	return nil
}
