package planner

import (
	"cmp"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// image is what the reference of a container image names in this machine's store, or in the engine that runs its containers.
// It belongs to no project: what is there stays there.
type image struct {
	ref string
	// platform is "" for the machine's.
	platform string
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
		r := image{ref: imageReference(n.Process), platform: n.Process.Platform, nodes: []string{n.Name}}
		if i, ok := at[r.ID().Name]; ok {
			r := out[i].(image)
			r.nodes = append(r.nodes, n.Name)
			out[i] = r
			continue
		}
		at[r.ID().Name] = len(out)
		found := imageIn(w.Host, r.ref, r.platform)
		r.digest = cmp.Or(found.Now, found.Digest)
		out = append(out, r)
	}
	return out
}

// observeImages: only those that are asked for are read, so none is ever superfluous.
func observeImages(h *Have) []Resource {
	var out []Resource
	for _, i := range h.Snapshot.Images {
		if i.Digest != "" {
			out = append(out, image{ref: i.Reference, platform: i.Platform, digest: i.Digest})
		}
	}
	return out
}

func imageIn(s kernel.Snapshot, ref, platform string) kernel.Image {
	i := slices.IndexFunc(s.Images, func(i kernel.Image) bool { return i.Reference == ref && i.Platform == platform })
	if i < 0 {
		return kernel.Image{Reference: ref, Platform: platform}
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
	ref := imageReference(p)
	if i := slices.IndexFunc(list, func(q kernel.ImageQuery) bool { return q.Reference == ref && q.Platform == p.Platform }); i >= 0 {
		list[i].Fresh, list[i].Stored = list[i].Fresh || fresh, list[i].Stored && stored
		return list
	}
	return append(list, kernel.ImageQuery{Reference: ref, Platform: p.Platform, Fresh: fresh, Stored: stored})
}

// imageReference names a process's image in queries and edits.
func imageReference(p *spec.Process) string {
	return kernel.Process{Image: p.Image, Runtime: p.Runtime}.ImageReference()
}

// imageID is the config of the image that a process will be started from; "" where only pulling will tell.
func imageID(s kernel.Snapshot, ref, platform string) string {
	i := imageIn(s, ref, platform)
	if i.Now != "" && i.Now != i.Digest {
		return ""
	}
	return i.ID
}

// ID names the platform where it is stated: a reference may be wanted for several.
func (r image) ID() ID {
	if r.platform != "" {
		return ID{"image", r.ref + "[" + r.platform + "]"}
	}
	return ID{"image", r.ref}
}

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
	return []kernel.Op{kernel.ImagePull{Reference: r.ref, Digest: r.digest, Platform: r.platform}}
}

// Delete does nothing: the store is all projects'.
func (r image) Delete() []kernel.Op { return nil }

func (r image) Update(Resource) ([]kernel.Op, bool) { return r.Create(), true }
