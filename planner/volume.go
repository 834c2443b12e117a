package planner

import (
	"fmt"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// volume is a folder that topo keeps for containers. It is made, and its labels are kept as the file has them; it is
// removed only where that is asked for ([Options].Volumes), never because the file no longer has it.
type volume struct {
	id           ID
	project      string
	name         string
	labels       map[string]string
	node, target string // of one that a node has for itself
}

var volumeKind = Kind{Name: "volume", Desire: desireVolumes, Observe: observeVolumes}

func desireVolumes(w *Want) []Resource {
	var out []Resource
	for _, v := range w.Topology.Volumes {
		if !v.External {
			r := volume{id: ID{"volume", v.Key}, project: w.Project, name: v.Name, labels: v.Labels}
			if node, target, own := strings.Cut(v.Key, ":"); own {
				r.node, r.target = node, target
			}
			out = append(out, r)
		}
	}
	return out
}

func observeVolumes(h *Have) []Resource {
	var out []Resource
	for _, v := range h.Snapshot.Volumes {
		id, ok := h.volumes[v.Name]
		if v.Project != h.Project || !ok || h.want[id] == nil && !h.unwanted {
			continue
		}
		out = append(out, volume{id: id, project: v.Project, name: v.Name, labels: v.Labels, node: v.Node, target: v.Target})
	}
	return out
}

// volumeIDs names the volumes of a host that are the project's: as the wanted ones of these names are called, else by
// what they are called here.
func volumeIDs(s kernel.Snapshot, project string, want []Resource) map[string]ID {
	ids, taken := map[string]ID{}, map[ID]bool{}
	for _, r := range want {
		if v, ok := r.(volume); ok {
			ids[v.name] = v.id
			taken[v.id] = true
		}
	}
	for _, v := range s.Volumes {
		if _, known := ids[v.Name]; known || v.Project != project {
			continue
		}
		id := ID{"volume", strings.TrimPrefix(v.Name, project+"_")}
		if v.Node != "" {
			id.Name = v.Node + ":" + v.Target
		}
		if taken[id] {
			id.Name = "/" + v.Name // no key looks like this
		}
		ids[v.Name] = id
		taken[id] = true
	}
	return ids
}

// volumeNeeds are the volumes that a process has mounted.
func volumeNeeds(p kernel.Process, ids map[string]ID) []ID {
	var needs []ID
	for _, m := range p.Mounts {
		if id, ok := ids[m.Source]; ok && m.Kind == kernel.VolumeMount {
			needs = append(needs, id)
		}
	}
	return needs
}

// volumeConflicts looks for what stands where a volume is to be made, for external volumes that are not there, and
// for others that have a volume which is to be removed.
func volumeConflicts(w *Want, h *Have, changes map[ID]*Change) Conflicts {
	var out Conflicts
	have := map[string]kernel.Volume{}
	for _, v := range h.Snapshot.Volumes {
		have[v.Name] = v
	}
	for _, c := range changes {
		if r, ok := c.Want.(volume); ok {
			if v, there := have[r.name]; there && v.Project != w.Project {
				holder, way := "exists and is not topo's", "move it away"
				switch {
				case v.External:
					holder, way = "was made by topo volume create", "use it as it is: external: true"
				case v.Project != "":
					holder, way = "belongs to project "+v.Project, "use it as it is: external: true"
				}
				out = append(out, &ConflictError{Object: "volume " + r.name, Holder: holder, Ways: []string{way, "choose another name:"}})
			}
		} else if r, ok := c.Have.(volume); ok && c.Action == Delete {
			for _, u := range have[r.name].Users {
				if u.Project != w.Project {
					out = append(out, &ConflictError{
						Object: "volume " + r.name, Holder: fmt.Sprintf("%s of project %s has it mounted", u.Node, u.Project),
						Ways: []string{"stop that one first: topo down -p " + u.Project, "keep the volumes: topo down without -v"},
					})
				}
			}
		}
	}
	if w.Topology == nil {
		return out
	}
	for _, v := range w.Topology.Volumes {
		if v.External && !have[v.Name].Genuine() {
			out = append(out, &ConflictError{
				Object: "external volume " + v.Name, Holder: "there is no such volume on this machine",
				Ways: []string{"bring up the project that makes it", "make it: topo volume create " + v.Name, "leave out external: true, and topo makes it"},
			})
		}
	}
	return out
}

func (r volume) ID() ID         { return r.id }
func (r volume) Needs() []ID    { return nil }
func (r volume) Detail() string { return r.name }

// Claims: a name is one volume's on the whole machine.
func (r volume) Claims() []string { return []string{"volume " + r.name} }

func (r volume) Attrs() []Attr {
	attrs := []Attr{{"name", r.name}}
	for _, k := range sortedKeys(r.labels) {
		attrs = append(attrs, Attr{"label " + k, r.labels[k]})
	}
	return attrs
}

func (r volume) Create() []kernel.Op {
	return []kernel.Op{kernel.VolumeCreate{Name: r.name, Project: r.project, Labels: r.labels, Node: r.node, Target: r.target}}
}

func (r volume) Delete() []kernel.Op {
	return []kernel.Op{kernel.VolumeDelete{Name: r.name, Project: r.project}}
}

// Update gives it other labels. A volume of another name is another volume, and no replacement of this one: it is never
// found here ([volumeIDs]).
func (r volume) Update(have Resource) ([]kernel.Op, bool) {
	return []kernel.Op{kernel.VolumeSet{Name: r.name, Project: r.project, Labels: r.labels}}, have.(volume).name == r.name
}

// kernelMount is a mount in the kernel package's words.
func kernelMount(m spec.Mount) kernel.Mount {
	k := kernel.Mount{
		Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly, Propagation: m.Propagation, CreateSource: m.CreateSource,
		NoCopy: m.NoCopy, Subpath: m.Subpath, Size: m.Size, Mode: m.Mode, From: m.From,
	}
	switch m.Kind {
	case spec.VolumeMount:
		k.Kind = kernel.VolumeMount
	case spec.TmpfsMount:
		k.Kind = kernel.TmpfsMount
	}
	return k
}

// mountWords says everything of a mount.
func mountWords(m kernel.Mount) string {
	words := []string{m.Source}
	if m.Kind != kernel.BindMount {
		words = []string{string(m.Kind)}
		if m.Source != "" {
			words = append(words, m.Source)
		}
	}
	if m.Subpath != "" {
		words = append(words, "subpath "+m.Subpath)
	}
	if m.Size != 0 {
		words = append(words, fmt.Sprintf("size %d", m.Size))
	}
	if m.Mode != 0 {
		words = append(words, fmt.Sprintf("mode %#o", m.Mode))
	}
	for _, w := range []struct {
		word string
		on   bool
	}{{"ro", m.ReadOnly}, {m.Propagation, m.Propagation != ""}, {"created", m.CreateSource}, {"nocopy", m.NoCopy}, {"from " + m.From, m.From != ""}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}
