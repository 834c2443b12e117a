package spec

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// RuntimeDocker is the runtime of a container that an engine runs: Docker, or Podman by its compatible socket.
const RuntimeDocker = "docker"

// runtimeNames are the runtimes that have names.
var runtimeNames = []string{RuntimeDocker, "crun", "runc"}

// runtimes reads who runs each container, and checks that an engine can. It comes last: all else of a process is known.
func (r *resolver) runtimes() {
	if err := CheckRuntime(r.Runtime); err != nil {
		r.add(Pos{}, "%v", err)
	}
	first := map[string]*Node{} // by the image that the engine has for it
	for _, s := range r.order {
		n := r.node(s)
		if s.container == nil || n.Process == nil {
			continue
		}
		stated, pos := s.container.Runtime, n.Pos
		n.Process.Runtime = r.Runtime
		if stated.Set {
			n.Process.Runtime, pos = stated.Value, stated.Pos
			if err := CheckRuntime(stated.Value); err != nil || stated.Value == "" {
				r.add(pos, "%v", runtimeError(stated.Value))
			}
		}
		if n.Process.Runtime == RuntimeDocker {
			r.checkEngine(pos, s, n)
			r.checkEngineImage(first, n)
		}
	}
}

// checkEngineImage refuses an image that is to be there for two platforms: an engine may keep but one image of a name.
func (r *resolver) checkEngineImage(first map[string]*Node, n *Node) {
	if strings.HasPrefix(n.Process.Image, layoutScheme) || strings.HasPrefix(n.Process.Image, archiveScheme) {
		return // topo gives those their names
	}
	ref, err := name.ParseReference(n.Process.Image)
	if err != nil {
		return // a mistake that is told elsewhere
	}
	other := first[ref.Name()]
	if other == nil {
		first[ref.Name()] = n
		return
	}
	if n.Process.Platform == other.Process.Platform {
		return
	}
	at := n.Process.PlatformPos
	if n.Process.Platform == "" {
		at = n.Process.RootPos
	}
	r.add(at, "image %s is for %s here and for %s in %s: an engine (runtime docker) may keep but one image of a name",
		n.Process.Image, platformWords(n.Process.Platform), platformWords(other.Process.Platform), other.Name)
}

func platformWords(platform string) string { return cmp.Or(platform, "the machine's platform") }

// checkEngine refuses what an engine can't do.
func (r *resolver) checkEngine(pos Pos, s *nodeState, n *Node) {
	p, c := n.Process, s.container
	switch {
	case c.Rootfs.Set:
		r.add(c.Rootfs.Pos, "rootfs: an engine runs %s (runtime docker), and makes containers from images only", n.Name)
	case !c.Image.Set:
		r.add(pos, "runtime docker: %s needs an image", n.Name)
	}
	if p.Userns.Private {
		r.add(p.Userns.Pos, "userns_mode private is not supported with runtime docker: the engine has one user namespace for all containers, or none")
	}
	for _, m := range p.Mounts {
		if m.Subpath != "" {
			r.add(m.Pos, "volume %s: subpath is not supported with runtime docker", m.Target)
		}
	}
}

// CheckRuntime says what is the matter with a runtime; "" is none.
func CheckRuntime(runtime string) error {
	if runtime == "" || slices.Contains(runtimeNames, runtime) || path.IsAbs(runtime) && !strings.Contains(runtime, "\x00") {
		return nil
	}
	return runtimeError(runtime)
}

func runtimeError(runtime string) error {
	return fmt.Errorf("runtime %q is not docker, crun, runc or an absolute path%s", runtime, suggest(runtime, runtimeNames))
}
