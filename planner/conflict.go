package planner

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// A ConflictError is something that is not topo's (or not this project's) in the way of what the
// topology wants. Nothing was changed.
type ConflictError struct {
	Object string   // "bridge br0", "port 5000/tcp of web"
	Holder string   // what stands there
	Ways   []string // ways out
}

func (e *ConflictError) Error() string { return e.Object + ": " + e.Holder }

// Conflicts are all that were found.
type Conflicts []*ConflictError

func (c Conflicts) Error() string {
	lines := make([]string, len(c))
	for i, e := range c {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

func (c Conflicts) Unwrap() []error {
	errs := make([]error, len(c))
	for i, e := range c {
		errs[i] = e
	}
	return errs
}

// conflicts looks for foreign things where changes want to make their own.
func conflicts(w *Want, h *Have, changes map[ID]*Change) Conflicts {
	var out Conflicts
	out = append(out, nameConflicts(w, h, changes)...)
	out = append(out, portConflicts(w, changes)...)
	out = append(out, volumeConflicts(w, h, changes)...)
	out = append(out, engineConflicts(w, changes)...)
	out = append(out, uplinkConflicts(w, h, changes)...)
	out = append(out, lentConflicts(h, changes)...)
	slices.SortFunc(out, func(a, b *ConflictError) int { return strings.Compare(a.Object, b.Object) })
	return slices.CompactFunc(out, func(a, b *ConflictError) bool { return a.Object == b.Object && a.Holder == b.Holder })
}

func nameConflicts(w *Want, h *Have, changes map[ID]*Change) Conflicts {
	var out Conflicts
	spaces := map[string]kernel.Netns{}
	for _, n := range h.Snapshot.Netns {
		spaces[n.Name] = n
	}
	files := map[string]kernel.File{}
	for _, f := range h.Snapshot.Files {
		files[f.Path] = f
	}
	for _, c := range changes {
		switch r := c.Want.(type) {
		case netns:
			n, ok := spaces[r.name]
			if ok && !n.Unfinished && n.Mark.Project != w.Project {
				out = append(out, &ConflictError{
					Object: "network namespace " + r.name, Holder: heldBy(n.Mark, "exists and is not topo's"),
					Ways: []string{"remove it: ip netns delete " + r.name, "choose another prefix:", "rename the node " + r.node},
				})
			}
		case bridge:
			if r.spec.Netns == "" {
				out = append(out, linkConflict(h, r.spec.Name, "the bridge "+r.id.Name)...)
			}
		case veth:
			if r.own.Netns == "" {
				out = append(out, linkConflict(h, r.own.Name, r.id.String())...)
			}
			// The other end is made with this one, by no change of its own.
			if peer := parseID(r.peer); r.other.Name != "" && r.other.Netns == "" && changes[peer] == nil {
				out = append(out, linkConflict(h, r.other.Name, r.peer)...)
			}
		case device:
			if r.own.Netns == "" {
				out = append(out, linkConflict(h, r.own.Name, r.id.String())...)
			}
			if u, ok := h.want[ID{"uplink", r.own.Name}].(uplink); !ok || u.link != r.id { // of an uplink's VLAN that is told there
				out = append(out, parentConflict(h, r)...)
			}
			if c.Action == Create || c.Action == Replace {
				out = append(out, uniqueConflict(h, r)...)
			}
		case file:
			for _, taken := range []string{r.path, path.Dir(r.path)} {
				if f, ok := files[taken]; ok && f.Mark.Project != w.Project {
					out = append(out, &ConflictError{
						Object: "file " + taken, Holder: heldBy(f.Mark, "exists and is not topo's"),
						Ways: []string{"move it away", "choose another prefix:"},
					})
				}
			}
		}
	}
	if w.Topology == nil {
		return out
	}
	for _, b := range w.Topology.Bridges {
		if !b.External {
			continue
		}
		if l, ok := h.host[b.Interface]; !ok || l.Kind != "bridge" {
			out = append(out, &ConflictError{
				Object: "external bridge " + b.Interface, Holder: "there is no such bridge on the host",
				Ways: []string{"make it: ip link add " + b.Interface + " type bridge", "leave out external: true, and topo makes it"},
			})
		}
	}
	return out
}

// parentConflict: what stands on an interface of the host's that topo doesn't make needs it to be there.
func parentConflict(h *Have, r device) Conflicts {
	name := r.own.Parent.Name
	if len(h.Snapshot.Host.Links) == 0 { // there is no machine to look at (plan --offline)
		return nil
	}
	if name == "" || r.own.Parent.Netns != "" || h.want[parseID(r.on)] != nil {
		return nil
	}
	if _, ok := h.host[name]; ok {
		return nil
	}
	return Conflicts{{
		Object: "interface " + name + ", which " + r.id.String() + " stands on", Holder: "there is no such interface on the host",
		Ways: []string{"look for its name: ip -brief link", "choose another parent:"},
	}}
}

// uniqueConflict: of some kinds the kernel takes no second one of the same number in the host's namespace, by whatever name.
func uniqueConflict(h *Have, r device) Conflicts {
	unique, ok := spec.Uniques[r.own.Kind]
	if !ok || r.own.Parent.Name == "" && r.own.Netns != "" || r.own.Parent.Netns != "" {
		return nil
	}
	for i := range h.Snapshot.Host.Links {
		l := &h.Snapshot.Host.Links[i]
		if l.Kind != r.own.Kind || h.own(l) || l.Name == r.own.Name || unique.Parent && l.Parent != r.own.Parent {
			continue
		}
		if !slices.ContainsFunc(unique.Params, func(name string) bool { return kernel.ParamOf(l.Params, name) != kernel.ParamOf(r.own.Params, name) }) {
			m, _ := kernel.ParseMark(l.Alias)
			return Conflicts{{
				Object: "interface " + l.Name + ", which has the " + unique.What + " of " + r.id.String(), Holder: heldBy(m, "exists and is not topo's"),
				Ways: []string{"remove it: ip link delete " + l.Name, "choose another " + strings.ReplaceAll(unique.What, " and ", " or ")},
			}}
		}
	}
	return nil
}

func linkConflict(h *Have, name, what string) Conflicts {
	l, ok := h.host[name]
	if !ok || h.own(l) {
		return nil
	}
	m, _ := kernel.ParseMark(l.Alias)
	return Conflicts{{
		Object: "interface " + name + " for " + what, Holder: heldBy(m, "exists and is not topo's"),
		Ways: []string{"remove it: ip link delete " + name, "choose another name: or prefix:"},
	}}
}

func heldBy(m kernel.Mark, otherwise string) string {
	if m == (kernel.Mark{}) {
		return otherwise
	}
	return fmt.Sprintf("belongs to %s of project %s", m.ID, m.Project)
}

// portConflicts looks for holders of host ports that are about to be published, or (network_mode
// host) about to be listened on.
func portConflicts(w *Want, changes map[ID]*Change) Conflicts {
	if w.Topology == nil {
		return nil
	}
	var out Conflicts
	check := func(node string, p spec.Port, f kernel.Family) {
		object := fmt.Sprintf("port %d/%s of %s", p.HostPort, p.Protocol, node)
		ways := []string{"stop what holds it", "publish another port of the host"}
		for _, l := range w.Host.Listeners {
			if l.Protocol != p.Protocol || l.Addr.Port() != p.HostPort || !sameAddr(p.HostIP, l.Addr.Addr(), f) {
				continue
			}
			holder := "a process of the host listens on " + l.Addr.String()
			if l.PID != 0 {
				holder = fmt.Sprintf("%s (pid %d) listens on %s", l.Command, l.PID, l.Addr)
			}
			out = append(out, &ConflictError{Object: object, Holder: holder, Ways: ways})
			return
		}
		for _, r := range w.Host.Rules {
			m := r.Mark()
			addr, port, proto, ok := published(m.ID)
			if m.Project == w.Project || !ok || r.Family != f || port != p.HostPort || proto != p.Protocol || !sameAddr(p.HostIP, addr, f) {
				continue
			}
			out = append(out, &ConflictError{
				Object: object, Holder: fmt.Sprintf("it is published by %s of project %s", parseID(m.ID).Name, m.Project), Ways: ways,
			})
			return
		}
	}
	for _, p := range publications(w.Topology) {
		if c := changes[p.id()]; c != nil && c.Action != Update {
			check(p.node, p.port, p.family)
		}
	}
	for _, n := range w.Topology.Nodes {
		// A process of topo's that runs already is the listener.
		if c := changes[ID{"process", n.Name}]; n.Network != spec.NetworkHost || c == nil || c.Action != Create {
			continue
		}
		for _, p := range n.Ports {
			f := kernel.IPv4
			if p.HostIP.IsValid() {
				f = kernel.FamilyOf(p.HostIP)
			}
			check(n.Name, p, f)
		}
	}
	return out
}

// sameAddr reports whether two listening addresses of a family exclude each other.
func sameAddr(a, b netip.Addr, f kernel.Family) bool {
	any := func(x netip.Addr) bool { return !x.IsValid() || x.IsUnspecified() }
	if b.IsValid() && b.Is6() && !b.Is4In6() && f == kernel.IPv4 && !b.IsUnspecified() {
		return false
	}
	return any(a) || any(b) || a.Unmap() == b.Unmap()
}

// published reads the name of a published port, "publish/web:127.0.0.1:5000/tcp".
func published(id string) (addr netip.Addr, port uint16, proto string, ok bool) {
	r := parseID(id)
	_, rest, found := strings.Cut(r.Name, ":")
	slash := strings.LastIndexByte(rest, '/')
	if r.Kind != "publish" || !found || slash < 0 {
		return addr, 0, "", false
	}
	where, proto := rest[:slash], rest[slash+1:]
	if ap, err := netip.ParseAddrPort(where); err == nil {
		return ap.Addr(), ap.Port(), proto, true
	}
	n, err := strconv.ParseUint(where, 10, 16)
	return addr, uint16(n), proto, err == nil
}
