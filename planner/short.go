package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// A ShortError is what a machine lacks for a plan, each with the first place in the file that needs it. Nothing was changed.
type ShortError struct {
	Needs  []kernel.Need // sorted
	Errors spec.Errors   // as many
}

func (e *ShortError) Error() string { return e.Errors.Error() }
func (e *ShortError) Unwrap() error { return e.Errors }

// missing looks for what the changes of a plan need, and the machine has not.
func missing(o Options, changes map[ID]*Change) error {
	if len(o.Snapshot.Short) == 0 {
		return nil
	}
	at := places(o.Topology)
	wanted := map[kernel.Need][]need{}
	add := func(n kernel.Need, id ID) {
		if _, missing := o.Snapshot.Short[n]; missing {
			wanted[n] = append(wanted[n], need{id, at.of(id)})
		}
	}
	for _, c := range changes {
		for _, n := range needsOf(c) {
			add(n, c.ID)
		}
	}
	if o.Topology == nil {
		// Rules that can't be read are not seen to be there.
		for id := range o.Applied {
			if id := parseID(id); id.Kind == chainKind.Name {
				family, _, _ := strings.Cut(id.Name, "/")
				add(kernel.NeedRules(kernel.Family(family)), id)
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	e := &ShortError{Needs: slices.Sorted(maps.Keys(wanted))}
	for _, n := range e.Needs {
		all := wanted[n]
		slices.SortFunc(all, need.compare)
		msg := fmt.Sprintf("%s needs %s, and %s", all[0].id, n, o.Snapshot.Short[n])
		if len(all) > 1 {
			msg += fmt.Sprintf(" (%d more need it, too)", len(all)-1)
		}
		e.Errors = append(e.Errors, &spec.Error{Pos: all[0].pos, Msg: msg})
	}
	return e
}

// need is a change that has one, and where the file asks for it.
type need struct {
	id  ID
	pos spec.Pos
}

func (a need) compare(b need) int {
	return cmp.Or(
		cmp.Compare(a.pos.File, b.pos.File), cmp.Compare(a.pos.Line, b.pos.Line), cmp.Compare(a.pos.Column, b.pos.Column),
		strings.Compare(a.id.String(), b.id.String()))
}

// needsOf lists what a change needs of the machine.
func needsOf(c *Change) []kernel.Need {
	needs := []kernel.Need{kernel.NeedRun}
	add := func(n ...kernel.Need) { needs = append(needs, n...) }
	makes := c.Action != Delete
	r := c.Want
	if !makes {
		r = c.Have
	}
	switch r := r.(type) {
	case netns:
		add(kernel.NeedNetnsDir)
		if makes && c.Action != Update {
			add(kernel.NeedSysctls) // it is to hear no router advertisements
		}
	case bridge:
		if makes && c.Action != Update {
			add(kernel.NeedSysctls)
		}
	case file:
		add(kernel.NeedEtc)
	case sysctl, forwarding, advertisement:
		add(kernel.NeedSysctls)
	case key, volume, supervisor:
		add(kernel.NeedData)
	case image:
		if !strings.HasPrefix(r.ref, kernel.EngineImages) {
			add(kernel.NeedData)
		}
	case process:
		add(kernel.NeedData)
		if makes && r.p.Container && r.p.Runtime != kernel.RuntimeDocker {
			add(kernel.NeedCgroups, kernel.NeedOverlay, kernel.NeedRuntimeOf(r.p.Runtime))
		}
	case address:
		if makes && r.prefix.Addr().Is6() {
			add(kernel.NeedIPv6)
			if r.netns == "" {
				add(kernel.NeedHostIPv6)
			}
		}
	case firewall:
		add(kernel.NeedRules(r.table.family))
	case chains:
		add(kernel.NeedRules(r.table.family))
	case ruleset:
		add(kernel.NeedRules(r.table.family))
	}
	return needs
}

// ownContainer reports whether topo runs a node's container itself.
func ownContainer(n spec.Node) bool {
	return n.Container && n.Process != nil && n.Process.Runtime != kernel.RuntimeDocker
}

// placesOf are where a file asks for resources: by kind and name, by node, by bridge.
type placesOf struct {
	exact map[ID]spec.Pos
	named map[string]spec.Pos // nodes and bridges
	first spec.Pos            // what all share is asked for by the first that needs it
}

func places(t *spec.Topology) placesOf {
	at := placesOf{exact: map[ID]spec.Pos{}, named: map[string]spec.Pos{}}
	if t == nil { // on the way down
		return at
	}
	name := func(n string, pos spec.Pos) {
		at.named[n] = pos
		if at.first == (spec.Pos{}) || pos.Line < at.first.Line && pos.File == at.first.File {
			at.first = pos
		}
	}
	for _, n := range t.Nodes {
		name(n.Name, n.Pos)
		for _, s := range n.Sysctls {
			at.exact[ID{"sysctl", n.Name + ":" + s.Key}] = s.Pos
		}
		for _, a := range n.Attachments {
			for _, p := range a.Addresses {
				at.exact[nodeAddress(n.Netns, n.Name, a.Interface, p).ID()] = a.Pos
			}
		}
		if n.Process != nil {
			pos, supervisor := cmp.Or(n.Process.RootPos, n.Process.Pos, n.Pos), ID{"supervisor", t.Name}
			at.exact[ID{"process", n.Name}] = pos
			if _, known := at.exact[supervisor]; !known {
				at.exact[supervisor] = pos
			}
			if n.Process.Image != "" {
				at.exact[image{ref: imageReference(n.Process), platform: n.Process.Platform}.ID()] = n.Process.RootPos
			}
		}
	}
	for _, p := range publications(t) {
		at.exact[p.id()] = p.port.Pos
	}
	for _, b := range t.Bridges {
		name(b.Name, b.Pos)
		for _, s := range b.Subnets {
			if s.Gateway.IsValid() {
				at.exact[bridgeAddress(b, s).ID()] = s.Pos
			}
		}
	}
	for _, i := range t.Interfaces {
		at.exact[keyID(i)] = i.Pos
		for _, p := range i.Addresses {
			at.exact[nodeAddress("", i.Node, i.Name, p).ID()] = i.Pos
		}
	}
	for _, v := range t.Volumes {
		at.exact[ID{"volume", v.Key}] = v.Pos
	}
	return at
}

// of is where a resource is asked for; for what only other resources need, the first node or bridge.
func (at placesOf) of(id ID) spec.Pos {
	if pos, ok := at.exact[id]; ok && pos != (spec.Pos{}) {
		return pos
	}
	name, _, _ := strings.Cut(id.Name, ":")
	name, _, _ = strings.Cut(name, "/")
	if pos, ok := at.named[name]; ok {
		return pos
	}
	return at.first
}
