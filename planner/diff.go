package planner

import "slices"

// Optional abilities of resources.
type (
	// carried is made by the creation of another resource (the far end of a veth).
	carried interface{ CarriedBy() (ID, bool) }
	// contained goes with any of the resources that it is in, without an op of its own.
	contained interface{ In() []ID }
	// explained may know better why it differs from what is wanted.
	explained interface {
		Why(want Resource, r Reason) Reason
	}
	// ended has come to an end, as processes do, and stays so until it is started again.
	ended interface{ Ended() bool }
	// fragile may be lost by what the plan does to others: the cause, and whether it is then to be
	// created or replaced.
	fragile interface {
		Lost(gone func(ID) bool) (cause ID, action Action, lost bool)
	}
	// survivor stays, changed, when one that it stands on is replaced.
	survivor interface{ Without(ID) Resource }
	// detailed has a word to say in the line that creates it.
	detailed interface{ Detail() string }
	// claimant takes up names of which there is one: removals of a claim precede creations of the same.
	claimant interface{ Claims() []string }
	// shared belongs to all projects, or decides what another one's plan holds: its steps are done under the
	// host's lock.
	shared interface{ Shared() bool }
)

// diff compares both sides. What it returns is unordered but complete: every change that carrying
// out the others makes necessary is in it. wanted is want by its IDs.
func diff(want []Resource, wanted map[ID]Resource, have []Resource, applied Applied) map[ID]*Change {
	d := &differ{want: wanted, have: byID(have), changes: make(map[ID]*Change, max(0, len(want)-len(have))), applied: applied}
	order := make([]ID, len(want))
	for i, r := range want {
		order[i] = r.ID()
		d.compare(order[i])
	}
	for _, r := range have {
		if id := r.ID(); d.want[id] == nil {
			d.changes[id] = &Change{Action: Delete, ID: id, Have: r, Reason: NotInFile}
		}
	}
	for d.spread(order) {
	}
	d.fold()
	return d.changes
}

type differ struct {
	want, have map[ID]Resource
	changes    map[ID]*Change
	applied    Applied
}

func byID(rs []Resource) map[ID]Resource {
	m := make(map[ID]Resource, len(rs))
	for _, r := range rs {
		m[r.ID()] = r
	}
	return m
}

func (d *differ) compare(id ID) {
	w, h := d.want[id], d.have[id]
	if h == nil {
		d.changes[id] = &Change{Action: Create, ID: id, Want: w, Reason: Missing}
		return
	}
	if len(changedAttrs(h, w)) == 0 {
		return
	}
	action := Replace
	if _, ok := w.Update(h); ok {
		action = Update
	}
	reason := d.reason(w)
	if e, ok := h.(explained); ok {
		reason = e.Why(w, reason)
	}
	d.changes[id] = &Change{Action: action, ID: id, Have: h, Want: w, Reason: reason}
}

// reason tells an edit of the file from a change on the machine: by what was wanted at the last successful up.
func (d *differ) reason(w Resource) Reason {
	if last, ok := d.applied[w.ID().String()]; ok && last == fingerprint(w) {
		return Drifted
	}
	return Edited
}

// spread adds what the changes so far make necessary; it reports whether it added any.
func (d *differ) spread(order []ID) bool {
	gone := func(id ID) bool {
		c := d.changes[id]
		return c != nil && c.Action != Update
	}
	added := false
	replace := func(id ID, cause ID, action Action) {
		c := d.changes[id]
		if c != nil && c.Action != Update {
			return
		}
		n := &Change{Action: action, ID: id, Have: d.have[id], Want: d.want[id], Reason: replacedReason(cause)}
		if action == Create {
			n.Have = nil
		}
		d.changes[id] = n
		added = true
	}
	for _, id := range order {
		w, h := d.want[id], d.have[id]
		if h == nil {
			// Created already; what carries it must be made with it.
			d.remakeCarrier(w, replace)
			continue
		}
		if c := d.changes[id]; c != nil && c.Action == Replace {
			d.remakeCarrier(w, replace)
			continue
		} else if c != nil && c.Action == Create {
			continue
		}
		if c, ok := w.(carried); ok {
			if by, ok := c.CarriedBy(); ok && gone(by) {
				replace(id, by, Create)
				continue
			}
		}
		if c, ok := w.(contained); ok {
			if i := slices.IndexFunc(c.In(), gone); i >= 0 {
				replace(id, c.In()[i], Create)
				continue
			}
		}
		if a, ok := w.(address); ok && a.prefix.Addr().Is6() && d.goesDown(a.link) && d.changes[id] == nil {
			// The kernel takes the IPv6 addresses of a link that is set down.
			d.changes[id] = &Change{Action: Create, ID: id, Want: w, Reason: Reason(a.link.String() + " is set down")}
			added = true
			continue
		}
		for _, r := range []Resource{h, w} {
			if f, ok := r.(fragile); ok {
				if cause, action, lost := f.Lost(gone); lost {
					replace(id, cause, action)
					break
				}
			}
		}
		if s, ok := h.(survivor); ok && (d.changes[id] == nil || d.changes[id].Action == Update) {
			added = d.survive(id, s, gone) || added
		}
	}
	return added
}

// goesDown reports whether a link that is up is wanted down.
func (d *differ) goesDown(id ID) bool {
	return isUp(d.have[id]) && d.want[id] != nil && !isUp(d.want[id])
}

func isUp(r Resource) bool {
	switch r := r.(type) {
	case veth:
		return r.own.Up
	case device:
		return r.own.Up
	case card:
		return r.own.Up
	}
	return false
}

// survive makes an update of a resource that a replacement leaves behind changed.
func (d *differ) survive(id ID, s survivor, gone func(ID) bool) bool {
	for _, need := range d.have[id].Needs() {
		if !gone(need) {
			continue
		}
		left := s.Without(need)
		if left == nil {
			continue
		}
		if c := d.changes[id]; c != nil && len(changedAttrs(c.Have, left)) == 0 {
			return false
		}
		if len(changedAttrs(left, d.want[id])) == 0 {
			return false
		}
		d.changes[id] = &Change{Action: Update, ID: id, Have: left, Want: d.want[id], Reason: replacedReason(need)}
		return true
	}
	return false
}

// remakeCarrier replaces what makes w, where that is there and stays.
func (d *differ) remakeCarrier(w Resource, replace func(id, cause ID, action Action)) {
	c, ok := w.(carried)
	if !ok {
		return
	}
	if by, ok := c.CarriedBy(); ok && d.have[by] != nil && d.want[by] != nil {
		replace(by, w.ID(), Replace)
	}
}

// fold takes out of the plan what others do along: creations that are carried, removals of what goes with
// what it is in. Each is judged by what all were before any was folded, or the plan would depend on the order.
func (d *differ) fold() {
	remade := func(id ID) bool { c := d.changes[id]; return c != nil && (c.Action == Create || c.Action == Replace) }
	removed := func(id ID) bool { c := d.changes[id]; return c != nil && (c.Action == Delete || c.Action == Replace) }
	folded := map[ID]*Change{} // nil: not in the plan
	for id, c := range d.changes {
		switch {
		case c.Want == nil:
			if carries(c.Have, removed) || pairRemoved(c.Have, d.changes) || in(c.Have, removed) || withAll(c.Have, d.changes) || len(c.Have.Delete()) == 0 {
				folded[id] = nil
			}
		case !carries(c.Want, remade):
		case c.Have != nil && !samePeer(c.Have, c.Want):
			// It was another pair's end, which must go.
			next := *c
			next.Action = Replace
			folded[id] = &next
		case len(c.Want.Create()) == 0:
			folded[id] = nil
		default:
			// Its own removal is part of the carrier's, too.
			next := *c
			next.Action, next.Have = Create, nil
			folded[id] = &next
		}
	}
	for id, c := range folded {
		if c == nil {
			delete(d.changes, id)
		} else {
			d.changes[id] = c
		}
	}
}

func carries(r Resource, by func(ID) bool) bool {
	c, ok := r.(carried)
	if !ok {
		return false
	}
	id, ok := c.CarriedBy()
	return ok && by(id)
}

// samePeer: both are ends of a pair with the same other end.
func samePeer(a, b Resource) bool {
	x, ok := a.(veth)
	y, ok2 := b.(veth)
	return ok && ok2 && x.peer == y.peer
}

// pairRemoved: the other end is removed and made anew, or its removal stands for both.
func pairRemoved(r Resource, changes map[ID]*Change) bool {
	v, ok := r.(veth)
	if !ok {
		return false
	}
	peer := parseID(v.peer)
	c := changes[peer]
	if c == nil || !samePeerBack(c.Have, v.id) {
		return false
	}
	return c.Action == Replace || c.Action == Delete && peer.String() < v.id.String()
}

func samePeerBack(r Resource, id ID) bool {
	v, ok := r.(veth)
	return ok && v.peer == id.String()
}

func in(r Resource, removed func(ID) bool) bool {
	c, ok := r.(contained)
	return ok && slices.ContainsFunc(c.In(), removed)
}

// withAll: a veth between two namespaces that both go away needs no removal of its own.
func withAll(r Resource, changes map[ID]*Change) bool {
	v, ok := r.(veth)
	if !ok || v.own.Netns == "" || v.other.Netns == "" {
		return false
	}
	for _, id := range v.needs {
		if c := changes[id]; id.Kind == "netns" && (c == nil || c.Action != Delete) {
			return false
		}
	}
	return true
}
