package planner

import (
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// image is what the reference of a container image names in this machine's store. It belongs to no project: what is there
// stays there.
type image struct {
	ref string
	// digest is of what the reference named when it was pulled; wanted, of what it names now, or "" where only pulling will tell.
	digest string
	nodes  []string // that are made from it
}

var imageKind = Kind{Name: "image", Desire: desireImages, Observe: observeImages}

func desireImages(w *Want) []Resource {
	var out []Resource
	at := map[string]int{}
	for _, n := range w.Topology.Nodes {
		if n.Process == nil || n.Process.Image == "" {
			continue
		}
		ref := n.Process.Image
		if i, ok := at[ref]; ok {
			r := out[i].(image)
			r.nodes = append(r.nodes, n.Name)
			out[i] = r
			continue
		}
		at[ref] = len(out)
		found := imageIn(w.Host, ref)
		r := image{ref: ref, digest: found.Digest, nodes: []string{n.Name}}
		if found.Now != "" {
			r.digest = found.Now
		}
		out = append(out, r)
	}
	return out
}

// observeImages: only those that are asked for are read, so none is ever superfluous.
func observeImages(h *Have) []Resource {
	var out []Resource
	for _, i := range h.Snapshot.Images {
		if i.Digest != "" {
			out = append(out, image{ref: i.Reference, digest: i.Digest})
		}
	}
	return out
}

func imageIn(s kernel.Snapshot, ref string) kernel.Image {
	i := slices.IndexFunc(s.Images, func(i kernel.Image) bool { return i.Reference == ref })
	if i < 0 {
		return kernel.Image{Reference: ref}
	}
	return s.Images[i]
}

// addImage asks for a process's image. One policy of always is enough to ask the registry, and all must be never to look at
// the store alone.
func addImage(list []kernel.ImageQuery, p *spec.Process) []kernel.ImageQuery {
	if p == nil || p.Image == "" {
		return list
	}
	fresh, stored := p.PullPolicy == spec.PullAlways, p.PullPolicy == spec.PullNever
	if i := slices.IndexFunc(list, func(q kernel.ImageQuery) bool { return q.Reference == p.Image }); i >= 0 {
		list[i].Fresh, list[i].Stored = list[i].Fresh || fresh, list[i].Stored && stored
		return list
	}
	return append(list, kernel.ImageQuery{Reference: p.Image, Fresh: fresh, Stored: stored})
}

// imageID is the config of the image that a process will be started from; "" where only pulling will tell.
func imageID(s kernel.Snapshot, ref string) string {
	i := imageIn(s, ref)
	if i.Now != "" && i.Now != i.Digest {
		return ""
	}
	return i.ID
}

func (r image) ID() ID      { return ID{"image", r.ref} }
func (r image) Needs() []ID { return nil }

func (r image) Attrs() []Attr { return []Attr{{"digest", r.digest}} }

func (r image) Detail() string { return short(r.digest) }

// short is a digest as people read it.
func short(digest string) string {
	const n = len("sha256:") + 12
	if len(digest) > n {
		return digest[:n]
	}
	return digest
}

func (r image) Create() []kernel.Op {
	return []kernel.Op{kernel.ImagePull{Reference: r.ref, Digest: r.digest}}
}

// Delete does nothing: the store is all projects'.
func (r image) Delete() []kernel.Op { return nil }

func (r image) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }
