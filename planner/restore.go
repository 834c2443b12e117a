package planner

import (
	"fmt"
	"slices"

	"topo/internal/kernel"
)

// Reasons of a way back.
const (
	MadeSince    Reason = "made since"
	RemovedSince Reason = "removed since"
	ChangedSince Reason = "changed since"
)

// notShared are the kinds of which what a run wanted says nothing about whose they are now: another project may need what it made for
// all, and what it had begun to make is as well removed.
var notShared = []string{firewallKind.Name, forwardingKind.Name, netnsKind.Name}

// Restore plans the way back from a run: what the project had when the run began is what is wanted now, and is compared with what it
// has by the same diff, and carried out in the same order. run is what the run was planned from, Snapshot being the reading from before it;
// both readings answer a query that [Past] has widened.
//
// What can't be told from a reading, or is no state to go back to, is named in docs/decisions/0011-the-way-back-is-a-plan.md.
// Errors are those of [Build].
func Restore(run Options, now kernel.Snapshot) (*Plan, error) {
	asked := wantOf(run).all()
	had := hadBefore(run, asked)
	asked = slices.DeleteFunc(asked, func(r Resource) bool { return slices.Contains(notShared, r.ID().Kind) })
	h := haveOf(run, now, had, asked)
	has := observed(h)
	warnings, had, has := restAsIs(h, had, has)
	changes := diff(had, byID(had), has, nil)
	for id, c := range changes {
		switch c.Reason {
		case NotInFile:
			c.Reason = MadeSince
		case Missing:
			c.Reason = RemovedSince
		case Edited:
			c.Reason = ChangedSince
		}
		if p, ok := c.Want.(process); ok && p.state != runs && c.Action != Update {
			// What had ended is not run again; the one that is there goes with what it stands on.
			if c.Action, c.Want, c.Reason = Delete, nil, MadeSince; c.Have == nil {
				delete(changes, id)
			}
		}
	}
	if c := conflicts(&Want{Project: run.Project, Host: now}, h, changes); len(c) > 0 {
		return nil, c
	}
	p, err := order(run.Project, changes, now)
	if err != nil {
		return nil, err
	}
	p.Warnings = warnings
	return p, nil
}

// hadBefore is what the project had, so that it can be made again.
func hadBefore(run Options, asked []Resource) []Resource {
	h := haveOf(run, run.Snapshot, nil, asked)
	h = haveOf(run, run.Snapshot, observed(h), asked) // where things were to get is of no matter
	return withFiles(run.Project, whole(h, observed(h)), asked)
}

// withFiles adds the files that processes have bound over their own, where somebody had removed them: without them no process is
// started again. What was in them is not known, but what the run wanted there, or what is in every such file.
func withFiles(project string, had, asked []Resource) []Resource {
	there := byID(had)
	for _, r := range had {
		p, ok := r.(process)
		if !ok {
			continue
		}
		for kind, path := range map[string]string{"hosts": p.p.Hosts, "resolv": p.p.Resolv} {
			id := ID{kind, p.netns.Name}
			if path == "" || p.netns == (ID{}) || there[id] != nil {
				continue
			}
			f := file{id, path, kernel.Text{markLine(project, id)}}
			if kind == "hosts" {
				f.content = append(f.content, localhost)
			}
			if i := slices.IndexFunc(asked, func(r Resource) bool { a, ok := r.(file); return ok && a.id == id && a.path == path }); i >= 0 {
				f = asked[i].(file)
			}
			there[id] = f
			had = append(had, f)
		}
	}
	return had
}

// haveOf is what a host has where some things are known to be the project's, and others may be: what the run asked for, and what the last
// successful up before it had made.
func haveOf(run Options, s kernel.Snapshot, known, asked []Resource) *Have {
	sure := byID(known)
	known = slices.Clone(known)
	for _, r := range asked {
		if sure[r.ID()] == nil {
			known = append(known, r)
		}
	}
	h := newHave(Options{Snapshot: s, Project: run.Project, Known: run.Known, Volumes: true}, known)
	for name := range h.nodes {
		for _, l := range h.spaces[name] {
			if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == run.Project && l.Name != "lo" {
				h.inside[place{name, l.Name}] = parseID(m.ID) // whatever its group is
			}
		}
	}
	for text := range run.Applied {
		if id := parseID(text); id.Kind == linkKind.Name {
			h.links[id.Name] = true
		}
	}
	return h
}

// observed is what a host has of a project, without the images: these are a store for all, and what is in it stays.
func observed(h *Have) []Resource {
	var out []Resource
	for _, k := range kinds {
		if k.Name != imageKind.Name {
			out = append(out, k.Observe(h)...)
		}
	}
	return slices.DeleteFunc(append(out, interfaceSysctls(h)...), func(r Resource) bool {
		s, ok := r.(sysctl)
		return ok && !s.record && len(s.in) == 0 // not topo's: it is there with the namespace
	})
}

// restAsIs takes out of both sides what is not to be brought back: processes that had ended, unless one of them was started again as it
// was, which then is stopped; and volumes that another project has come to use.
func restAsIs(h *Have, had, has []Resource) (warnings []string, _, _ []Resource) {
	now := byID(has)
	leave := map[ID]bool{}
	had = slices.Clone(had)
	for i, r := range had {
		p, ok := r.(process)
		if !ok || p.state == runs && !p.done {
			continue
		}
		ended := p.state
		if p.done {
			ended = "exited 0"
		}
		there, ok := now[p.ID()].(process)
		if same := there; ok {
			same.state = p.state
			ok = len(changedAttrs(same, p)) == 0
		}
		switch {
		case !ok:
			warnings = append(warnings, fmt.Sprintf("%s had ended (%s), and is not started again", p.ID(), ended))
			had[i] = nil
		case there.Ended() || there.done:
			had[i] = nil
			leave[p.ID()] = true
		default:
			p.state, p.done = string(kernel.Stopped), false
			had[i] = p
		}
	}
	wanted := map[ID]bool{}
	had = slices.DeleteFunc(had, func(r Resource) bool { return r == nil })
	for _, r := range had {
		wanted[r.ID()] = true
	}
	for _, r := range has {
		v, ok := r.(volume)
		if !ok || wanted[v.ID()] {
			continue
		}
		for _, u := range usersOf(h.Snapshot, v.name) {
			if u.Project != h.Project && !leave[v.ID()] {
				leave[v.ID()] = true
				warnings = append(warnings, fmt.Sprintf("%s stays: %s of project %s has it mounted", v.ID(), u.Node, u.Project))
			}
		}
	}
	return warnings, had, slices.DeleteFunc(has, func(r Resource) bool { return leave[r.ID()] })
}

func usersOf(s kernel.Snapshot, volume string) []kernel.VolumeUser {
	for _, v := range s.Volumes {
		if v.Name == volume {
			return v.Users
		}
	}
	return nil
}
