package spec

import (
	"reflect"
	"slices"
)

// A link of another type than veth is an interface of that type for each of its ends, as if it stood in the interfaces of the end's node;
// the host's own can stand nowhere else.

const vethType = "veth"

// ofKind reports whether the ends are of another type than veth.
func (l *link) ofKind() bool { return l.Type.Bad || l.Type.Set && l.Type.Value != vethType }

// kindLink reads such a link, without names for interfaces that state none.
func (r *resolver) kindLink(raw link, used map[string]claim) {
	_, known := kindRules[raw.Type.Value]
	keys := make([]kindKeys, len(raw.Endpoints))
	for i, e := range raw.Endpoints {
		keys[i] = e.over(raw.kindKeys)
	}
	tunnel := len(keys) == 2 && facing(raw.Type.Value, keys)
	var ends []ownInterface
	there := true
	for i, e := range raw.Endpoints {
		if !e.Set || !e.Node.Set || e.Interface.Bad {
			continue
		}
		end := Endpoint{Pos: e.Node.Pos, Node: e.Node.Value, Interface: e.Interface.Value}
		if e.Interface.Set {
			end.Pos = e.Interface.Pos
		}
		r.plug(&end, used)
		s := r.nodes[end.Node]
		switch {
		case !known: // noted
			continue
		case r.inactive[end.Node] != nil:
			there = false
			continue
		case end.Bridge:
			r.add(end.Pos, "an end of a link of type %s is in a node or on the host, not on a bridge", raw.Type.Value)
			continue
		case e.Interface.Set && end.Interface == "":
			r.add(end.Pos, "an interface needs a name")
			continue
		case end.Node == Host && end.Interface == "":
			r.add(end.Pos, "an end on the host needs an interface")
			continue
		case end.Node == Host:
		case s == nil:
			continue
		case r.node(s).Network != NetworkOwn:
			r.add(end.Pos, "a link excludes network_mode %s of %s", s.raw.NetworkMode.Value, end.Node)
			continue
		}
		r.refusePort(raw.Type.Value, e)
		own := &iface{origin: e.origin, kindKeys: keys[i], Type: raw.Type, Address: e.Address, MAC: e.MAC, MTU: e.MTU, Up: e.Up, Impair: e.Impair}
		if !own.MTU.Set {
			own.MTU = raw.MTU
		}
		if own.Impair == nil || !own.Impair.Set {
			own.Impair = raw.Impair
		}
		ends = append(ends, ownInterface{node: end.Node, s: s, pos: end.Pos, name: end.Interface, raw: own, at: end.Pos, link: true})
	}
	if len(ends) == 2 && tunnel {
		ends[0].facing, ends[1].facing = ends[1].raw, ends[0].raw
	}
	// A cable to what is not there is not, either. What only share a parent, or nothing, don't miss one another.
	if there || !tunnel {
		r.linkOwn = append(r.linkOwn, ends...)
	}
}

// refusePort notes what only a veth's end has.
func (r *resolver) refusePort(kind string, e endpoint) {
	refuse := func(at origin, name string) {
		if at.Set {
			r.add(at.Pos, "an end of type %s has no %s", kind, name)
		}
	}
	if e.VLAN != nil {
		refuse(e.VLAN.origin, "vlan")
	}
	if e.Port != nil {
		refuse(e.Port.origin, "port of a bridge; a port of UDP stands at the link")
	}
	refuse(e.AcceptRA.origin, "accept_ra")
}

// over are the keys of an end, with those of its link that it doesn't state.
func (k kindKeys) over(all kindKeys) kindKeys {
	own, from := reflect.ValueOf(&k).Elem(), reflect.ValueOf(all)
	for i := range own.NumField() {
		if f := own.Field(i); f.CanSet() && f.IsZero() {
			f.Set(from.Field(i))
		}
	}
	return k
}

// facing has each of a tunnel's two ends send to the other's own address, where it says nothing else. It reports whether they are
// those of a tunnel.
func facing(kind string, keys []kindKeys) bool {
	locals := [2]text{keys[0].Local, keys[1].Local}
	for i := range keys {
		k, other := &keys[i], locals[1-i]
		switch kind {
		case "gre", "ipip":
			if !k.Remote.Set {
				k.Remote = other
			}
		case "geneve":
			if !k.Remote.Set {
				k.Remote = other
				keys[1-i].Local = text{} // it has none but for this
			}
		case "vxlan":
			if !k.Remotes.Set && !k.Group.Set && len(k.FDB) == 0 && other.Set {
				k.Remotes = texts{origin: other.origin, Scalar: other}
			}
		case "wireguard":
		default:
			return false
		}
	}
	return true
}

// refuseKind notes keys of other types in a veth pair.
func (r *resolver) refuseKind(raw *link) {
	refuse := func(k *kindKeys) {
		for _, s := range k.stated() {
			if s.at.Set {
				r.add(s.at.Pos, "type %s has no %s", vethType, s.name)
			}
		}
	}
	refuse(&raw.kindKeys)
	for i := range raw.Endpoints {
		refuse(&raw.Endpoints[i].kindKeys)
	}
}

// hostHas reports whether an interface of the host's own is an end of one of the file's links.
func (r *resolver) hostHas(name string) bool {
	return slices.ContainsFunc(r.own, func(o ownInterface) bool { return o.node == Host && o.name == name }) ||
		slices.ContainsFunc(r.topo.Links, func(l Link) bool {
			return slices.ContainsFunc(l.Ends[:], func(e Endpoint) bool { return e.Node == Host && e.Interface == name })
		})
}
