package planner

import (
	"maps"
	"slices"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// sysctl is a kernel parameter: one that a node states, or route_localnet of a bridge.
type sysctl struct {
	owner   string // node, or "host"
	key     kernel.SysctlKey
	value   string
	project string
	// record: the value from before is kept and put back. Not for a parameter of an
	// interface of topo's own, which goes with it.
	record bool
	in     []ID
	needs  []ID
}

var sysctlKind = Kind{Name: "sysctl", Desire: desireSysctls, Observe: observeSysctls}

func desireSysctls(w *Want) []Resource {
	var out []Resource
	for _, n := range w.Topology.Nodes {
		interfaces := map[string]ID{}
		if len(n.Sysctls) > 0 {
			interfaces = interfacesOf(n, w.inside(n))
		}
		for _, s := range n.Sysctls {
			r := sysctl{
				owner: n.Name, key: kernel.SysctlKey{Netns: n.Netns, Key: s.Key}, value: s.Value,
				project: w.Project, record: true, needs: []ID{{"netns", n.Name}},
			}
			for _, iface := range slices.Sorted(maps.Keys(interfaces)) {
				link := interfaces[iface]
				if ofInterface(r.key, iface) {
					r.in, r.needs, r.record = append(r.in, link), append(r.needs, link), false
				}
			}
			out = append(out, r)
		}
	}
	published := publishedBridges(w.Topology, kernel.IPv4)
	for _, b := range w.Topology.Bridges {
		if published[b.Name] && !b.External {
			out = append(out, routeLocalnet(ID{"bridge", b.Name}, b.Interface, "1"))
		}
	}
	return out
}

// routeLocalnet lets packets from 127.0.0.1 leave by the bridge, which is how the host reaches a
// port that is published there. Never on "all" (CVE-2020-8558); the guard rules go with it.
func routeLocalnet(bridge ID, iface, value string) sysctl {
	return sysctl{owner: spec.Host, key: routeLocalnetKey(iface), value: value, in: []ID{bridge}, needs: []ID{bridge}}
}

func routeLocalnetKey(iface string) kernel.SysctlKey {
	return kernel.SysctlKey{Key: "net/ipv4/conf/" + iface + "/route_localnet"}
}

// interfacesOf are the interfaces in a node by their names.
func interfacesOf(n spec.Node, in inside) map[string]ID {
	out := map[string]ID{}
	add := func(iface string) { out[iface] = ID{"link", n.Name + ":" + iface} }
	for _, a := range n.Attachments {
		add(a.Interface)
	}
	for _, e := range in.ends {
		add(e.Interface)
	}
	for _, i := range in.interfaces {
		add(i.Name)
	}
	for _, b := range in.bridges {
		out[b.Interface] = ID{"bridge", b.Name}
	}
	return out
}

func observeSysctls(h *Have) []Resource {
	var out []Resource
	seen := map[kernel.SysctlKey]bool{}
	for _, r := range h.Snapshot.Records {
		if r.Project != h.Project {
			continue
		}
		seen[r.SysctlKey] = true
		if node, ok := h.nodes[r.Netns]; ok {
			out = append(out, sysctl{
				owner: node, key: r.SysctlKey, value: h.Snapshot.Sysctls[r.SysctlKey],
				project: h.Project, record: true, needs: []ID{{"netns", node}},
			})
			continue
		}
		// Somebody removed the namespace. Of one that is made again, what was recorded and is wanted no more goes now: then it would be
		// taken for a parameter of the new one.
		if node, ok := h.comes[r.Netns]; ok && h.want[sysctlID(node, r.Key)] == nil {
			out = append(out, sysctl{owner: node, key: r.SysctlKey, project: h.Project, record: true})
		}
	}
	for _, n := range h.Snapshot.Netns {
		node, ok := h.nodes[n.Name]
		if !ok {
			continue
		}
		for key, id := range h.sysctls {
			if key.Netns != n.Name || seen[key] || id.Kind != "sysctl" {
				continue
			}
			if v, ok := h.Snapshot.Sysctls[key]; ok {
				out = append(out, sysctl{owner: node, key: key, value: v, project: h.Project})
			}
		}
	}
	for _, r := range observeBridges(h) {
		b := r.(bridge)
		if b.spec.Netns != "" {
			continue
		}
		if v := h.Snapshot.Sysctls[routeLocalnetKey(b.spec.Name)]; v == "1" {
			out = append(out, routeLocalnet(b.id, b.spec.Name, v))
		}
	}
	return out
}

func sysctlID(owner, key string) ID { return ID{"sysctl", owner + ":" + key} }

func (r sysctl) ID() ID         { return sysctlID(r.owner, r.key.Key) }
func (r sysctl) In() []ID       { return r.in }
func (r sysctl) Needs() []ID    { return r.needs }
func (r sysctl) Attrs() []Attr  { return []Attr{{"value", canonicalValue(r.value)}} }
func (r sysctl) Detail() string { return canonicalValue(r.value) }

func (r sysctl) Create() []kernel.Op {
	return []kernel.Op{kernel.SysctlSet{SysctlKey: r.key, Value: r.value, Project: r.project, Record: r.record}}
}

func (r sysctl) Delete() []kernel.Op {
	if r.record {
		return []kernel.Op{kernel.SysctlRestore{SysctlKey: r.key, Project: r.project}}
	}
	return []kernel.Op{kernel.SysctlSet{SysctlKey: r.key, Value: "0"}}
}

func (r sysctl) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }

// ofInterface reports whether a parameter is that of an interface.
func ofInterface(k kernel.SysctlKey, iface string) bool {
	return strings.Contains("/"+strings.ReplaceAll(k.Key, ".", "/")+"/", "/"+iface+"/")
}

// canonicalValue has one blank between the numbers of a list, where the kernel prints tabs.
func canonicalValue(v string) string { return strings.Join(strings.Fields(v), " ") }
