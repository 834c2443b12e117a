package spec

import (
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kindRule is what a type of interface takes.
type kindRule struct {
	kind     string   // where it isn't the type
	keys     []string // besides those that all take
	required []string
	modes    []string // the first is the default
	parent   string   // "": it has none; "may", "must"
	address  bool     // it can have addresses
	mac      bool     // it can be given a MAC address
	family4  bool     // its outer addresses are IPv4
}

var macvlanModes = []string{"bridge", "private", "vepa", "passthru"}

// kindRules are by type.
var kindRules = map[string]kindRule{
	"dummy":   {address: true, mac: true},
	"ifb":     {mac: true},
	"tap":     {kind: "tun", address: true, mac: true},
	"tun":     {address: true},
	"macvlan": {keys: []string{"mode"}, modes: macvlanModes, parent: "must", address: true, mac: true},
	"macvtap": {keys: []string{"mode"}, modes: macvlanModes, parent: "must", address: true, mac: true},
	"ipvlan":  {keys: []string{"mode"}, modes: []string{"l2", "l3", "l3s"}, parent: "must", address: true},
	"vlan":    {keys: []string{"id", "protocol"}, required: []string{"id"}, parent: "must", address: true, mac: true},
	"vxlan": {
		keys: []string{"id", "local", "remotes", "group", "fdb", "port", "ttl", "learning"}, required: []string{"id"}, parent: "may", address: true, mac: true,
	},
	"geneve":    {keys: []string{"id", "remote", "port", "ttl"}, required: []string{"id", "remote"}, address: true, mac: true},
	"gre":       {keys: []string{"local", "remote", "ttl", "key"}, required: []string{"remote"}, address: true, family4: true},
	"ipip":      {keys: []string{"local", "remote", "ttl"}, required: []string{"remote"}, address: true, family4: true},
	"wireguard": {keys: []string{"private_key", "private_key_file", "listen_port", "fwmark", "local", "peers"}, address: true},
	"vrf":       {keys: []string{"table", "members"}, required: []string{"table"}, address: true, mac: true},
	"physical":  {parent: "must", address: true},
	"bond": {
		keys:  []string{"mode", "members", "miimon", "updelay", "downdelay", "min_links", "lacp_rate", "xmit_hash_policy"},
		modes: []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}, address: true, mac: true,
	},
}

// statedKey is a key of the file, and where it stands.
type statedKey struct {
	name string
	at   origin
}

// stated are the keys of a kind that the file has, but for type.
func (k *kindKeys) stated() []statedKey {
	v := reflect.ValueOf(k).Elem()
	if v.IsZero() {
		return nil // as of most links
	}
	var out []statedKey
	for i := range v.NumField() {
		name, ok := v.Type().Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		f := v.Field(i)
		list := f.Kind() == reflect.Slice
		if list && f.Len() == 0 || !list && !isSet(f) {
			continue
		}
		if list {
			f = f.Index(0)
		}
		at := origin{Pos: f.FieldByName("Pos").Interface().(Pos), Set: list || f.FieldByName("Set").Bool()}
		at.Bad = !at.Set
		out = append(out, statedKey{name, at})
	}
	return out
}

// checkKeys checks that the keys are those of the type.
func (r *resolver) checkKeys(o ownInterface, rule kindRule) bool {
	stated := o.raw.stated()
	takes := rule.keys
	if rule.parent != "" {
		takes = append([]string{"parent"}, takes...)
	}
	required := rule.required
	if rule.parent == "must" {
		required = append([]string{"parent"}, required...)
	}
	ok := true
	for _, k := range stated {
		if !slices.Contains(takes, k.name) {
			own := "it takes none of its own"
			if len(takes) > 0 {
				own = "it takes " + strings.Join(takes, ", ")
			}
			if k.at.Set {
				r.add(k.at.Pos, "type %s has no %s; %s", o.raw.Type.Value, k.name, own)
			}
			ok = false
		}
	}
	for _, name := range required {
		i := slices.IndexFunc(stated, func(k statedKey) bool { return k.name == name })
		switch {
		case i < 0 && o.link && name == "remote":
			r.add(o.at, "type %s needs remote, or of two ends the other's local", o.raw.Type.Value)
		case i < 0:
			r.add(o.at, "type %s needs %s", o.raw.Type.Value, name)
		}
		ok = ok && i >= 0 && !stated[i].at.Bad
	}
	return ok
}

// kindParams are the parameters, with their defaults, in the order of the kind.
func (r *resolver) kindParams(o ownInterface, rule kindRule) []InterfaceParam {
	raw := o.raw
	var out []InterfaceParam
	add := func(name, value string) {
		if value != "" {
			out = append(out, InterfaceParam{name, value})
		}
	}
	number := func(n number) string {
		if !n.Set {
			return ""
		}
		return strconv.Itoa(n.Value)
	}
	mode := ""
	if len(rule.modes) > 0 {
		if mode = rule.modes[0]; raw.Mode.Set {
			mode = raw.Mode.Value
			if !slices.Contains(rule.modes, mode) {
				r.add(raw.Mode.Pos, "type %s has no mode %q%s", raw.Type.Value, mode, suggestOrList(mode, rule.modes))
			}
		}
	}
	port := func(otherwise int) string { return strconv.Itoa(raw.Port.or(otherwise)) }
	switch raw.Type.Value {
	case "tap", "tun":
		add("mode", raw.Type.Value)
	case "macvlan", "macvtap", "ipvlan":
		add("mode", mode)
	case "vlan":
		if raw.ID.Value < 1 || raw.ID.Value > maxVLAN {
			r.add(raw.ID.Pos, "the id of a vlan must be 1 to %d, not %d", maxVLAN, raw.ID.Value)
		}
		protocol := "802.1Q"
		if raw.Protocol.Set {
			protocol = raw.Protocol.Value
		}
		add("protocol", protocol)
		add("id", number(raw.ID))
	case "vxlan":
		add("id", number(raw.ID))
		add("local", r.outer(raw, raw.Local, "local", rule))
		add("group", r.group(raw))
		add("port", port(4789))
		add("ttl", number(raw.TTL))
		add("learning", map[bool]string{true: "on", false: "off"}[raw.Learning.or(true)])
	case "geneve":
		add("id", number(raw.ID))
		add("remote", r.outer(raw, raw.Remote, "remote", rule))
		add("port", port(6081))
		add("ttl", number(raw.TTL))
	case "gre", "ipip":
		add("local", r.outer(raw, raw.Local, "local", rule))
		add("remote", r.outer(raw, raw.Remote, "remote", rule))
		if raw.Remote.Set && raw.Remote.Value == raw.Local.Value {
			r.add(raw.Remote.Pos, "remote %s is the local address", raw.Remote.Value)
		}
		add("ttl", number(raw.TTL))
		add("key", number(raw.Key))
	case "vrf":
		if raw.Table.Value >= tableMain-1 && raw.Table.Value <= tableLocal {
			r.add(raw.Table.Pos, "table %d is the kernel's own", raw.Table.Value)
		}
		add("table", number(raw.Table))
	case "bond":
		add("mode", mode)
		miimon, up, down := r.bondTimes(raw, mode)
		add("miimon", milliseconds(miimon))
		add("updelay", milliseconds(up))
		add("downdelay", milliseconds(down))
		add("min_links", number(raw.MinLinks))
		add("lacp_rate", raw.LACPRate.Value)
		add("xmit_hash_policy", raw.XmitHashPolicy.Value)
		if raw.LACPRate.Set && mode != "802.3ad" {
			r.add(raw.LACPRate.Pos, "lacp_rate is for mode 802.3ad")
		}
	}
	return out
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// bondTimes reads a bond's times. The kernel counts delays in miimon, rounds them down to it and refuses them without one; three modes
// it gives 100 ms where there is none (bond_option_updelay_set, bond_option_mode_set).
func (r *resolver) bondTimes(raw *iface, mode string) (miimon, up, down time.Duration) {
	miimon = 100 * time.Millisecond
	if raw.MIIMon.Set {
		miimon = raw.MIIMon.Value
	}
	whole := func(s span) {
		if s.Value%time.Millisecond != 0 {
			r.add(s.Pos, "%s is counted in milliseconds", s.Value)
		}
	}
	whole(raw.MIIMon)
	if miimon == 0 && slices.Contains([]string{"802.3ad", "balance-tlb", "balance-alb"}, mode) {
		r.add(raw.MIIMon.Pos, "mode %s needs a miimon", mode)
	}
	for _, delay := range []struct {
		key string
		span
	}{{"updelay", raw.UpDelay}, {"downdelay", raw.DownDelay}} {
		switch {
		case raw.MIIMon.Bad || delay.Value == 0:
		case miimon == 0:
			r.add(delay.Pos, "%s needs a miimon", delay.key)
		case delay.Value%miimon != 0:
			r.add(delay.Pos, "%s must be a multiple of miimon, %s", delay.key, miimon)
		default:
			whole(delay.span)
		}
	}
	return miimon, raw.UpDelay.Value, raw.DownDelay.Value
}

// outer reads an address of a tunnel's own packets.
func (r *resolver) outer(raw *iface, t text, what string, rule kindRule) string {
	if !t.Set {
		return ""
	}
	a, ok := r.addr(t.Pos, t.Value, what)
	switch {
	case !ok:
		return ""
	case rule.family4 && !a.Is4():
		r.add(t.Pos, "type %s goes over IPv4, not %s", raw.Type.Value, a)
	}
	return a.String()
}

func (r *resolver) group(raw *iface) string {
	if !raw.Group.Set {
		return ""
	}
	a, err := netip.ParseAddr(raw.Group.Value)
	switch {
	case err != nil || a.Zone() != "" || !a.IsMulticast():
		r.add(raw.Group.Pos, "group %q is no multicast address; of single ones, remotes is a list", raw.Group.Value)
		return ""
	case !raw.Parent.Set:
		r.add(raw.Group.Pos, "a group needs the interface that it is joined on: parent, or of a bridge's vxlan dev")
	case raw.Remotes.Set:
		r.add(raw.Group.Pos, "group excludes remotes")
	case raw.Local.Set && strings.Contains(raw.Local.Value, ":") == a.Is4():
		r.add(raw.Group.Pos, "group %s is not of the family of local %s", a, raw.Local.Value)
	}
	return a.String()
}

// remotes reads where a vxlan sends what.
func (r *resolver) remotes(raw *kindKeys) []Remote {
	var out []Remote
	var local netip.Addr
	if raw.Local.Set {
		local, _ = netip.ParseAddr(raw.Local.Value)
	}
	add := func(mac string, list []text) {
		for _, t := range list {
			a, ok := r.addr(t.Pos, t.Value, "remote")
			switch {
			case !ok:
				continue
			case local.IsValid() && a == local:
				r.add(t.Pos, "remote %s is the local address", a)
			case local.IsValid() && a.Is4() != local.Is4():
				r.add(t.Pos, "remote %s is not of the family of local %s", a, local)
			case len(out) > 0 && a.Is4() != out[0].Addr.Is4():
				r.add(t.Pos, "remote %s is not of the family of %s", a, out[0].Addr)
			case slices.ContainsFunc(out, func(x Remote) bool { return x.MAC == mac && x.Addr == a }):
				r.add(t.Pos, "remote %s is there twice", a)
			default:
				out = append(out, Remote{Pos: t.Pos, MAC: mac, Addr: a})
			}
		}
	}
	add("", raw.Remotes.all())
	for _, e := range raw.FDB {
		mac := r.mac(text{origin: origin{Pos: e.Pos, Set: true}, Value: e.Key})
		add(mac, e.Value.all())
	}
	return out
}
