package spec

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// PullPolicy says when an image is fetched.
type PullPolicy string

// The policies.
const (
	PullMissing PullPolicy = "missing" // when it was never fetched
	PullAlways  PullPolicy = "always"  // when the registry has another one
	PullNever   PullPolicy = "never"
)

// The schemes of images that are files of this machine.
const (
	layoutScheme  = "oci:"
	daemonScheme  = "docker-daemon:" // skopeo's, of the images that an engine has
	archiveScheme = "docker-archive:"
)

// root reads what a container's root is. Whether that is there is the machine's to say: a plan checks it.
func (r *resolver) root(c *container, p *Process) {
	p.Rootfs, p.RootPos = r.rootfs(c.Rootfs), c.Rootfs.Pos
	if c.Image.Set {
		p.Image, p.RootPos = r.image(c.Image), c.Image.Pos
		p.PullPolicy = pullPolicy(c.PullPolicy)
	}
	r.platform(c, p)
	switch {
	case c.Image.Set && c.Rootfs.Set:
		r.add(c.Rootfs.Pos, "rootfs and image exclude each other")
	case c.PullPolicy.Set && !c.Image.Set:
		r.add(c.PullPolicy.Pos, "pull_policy needs an image")
	}
}

func (r *resolver) rootfs(t text) string {
	switch {
	case !t.Set:
		return ""
	case t.Value == "":
		r.add(t.Pos, "rootfs is empty")
		return ""
	case strings.Contains(t.Value, "\x00"):
		r.add(t.Pos, "rootfs has a zero byte in it")
		return ""
	}
	return r.absolute(t.Pos, t.Value)
}

// image reads a reference; the paths of those to files become absolute.
func (r *resolver) image(t text) string {
	for _, scheme := range []string{layoutScheme, archiveScheme} {
		path, ok := strings.CutPrefix(t.Value, scheme)
		switch {
		case !ok:
		case path == "" || strings.Contains(path, "\x00"):
			r.add(t.Pos, "image %q names no %s", t.Value, map[string]string{layoutScheme: "folder", archiveScheme: "file"}[scheme])
			return t.Value
		default:
			return scheme + r.absolute(t.Pos, path)
		}
	}
	if ref, ok := strings.CutPrefix(t.Value, daemonScheme); ok {
		r.add(t.Pos, "image %q: say image: %s and runtime: docker", t.Value, ref)
		return t.Value
	}
	if _, err := name.ParseReference(t.Value); err != nil {
		r.add(t.Pos, "image %q is not NAME[:TAG][@DIGEST], oci:DIR[:TAG] or docker-archive:FILE", t.Value)
	}
	return t.Value
}

func pullPolicy(t text) PullPolicy {
	switch p := PullPolicy(t.Value); p {
	case PullAlways, PullNever:
		return p
	}
	return PullMissing // or if_not_present, which is the same
}

// leaveToImage notes what the file doesn't say and an image may. As in Compose, an entrypoint replaces the image's command, too,
// and an empty one takes it away. It is false where nothing at all can run.
func (r *resolver) leaveToImage(raw *node, p *Process) bool {
	p.ImageEntrypoint = !raw.Entrypoint.Set
	p.ImageCommand = !raw.Entrypoint.Set && !raw.Command.Set
	p.ImageHealth = raw.Healthcheck == nil || !raw.Healthcheck.Set || raw.Healthcheck.leavesTest()
	if !raw.StopSignal.Set {
		p.StopSignal = ""
	}
	if !p.ImageEntrypoint && len(p.Argv) == 0 && !raw.broken() {
		r.add(raw.Entrypoint.Pos, "entrypoint: it is empty, and there is no command")
	}
	return p.ImageEntrypoint
}
