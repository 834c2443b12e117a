package spec

import (
	"fmt"
	"path"
	"strings"
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
		}
	}
}

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
	for _, known := range runtimeNames {
		if runtime == known {
			return nil
		}
	}
	if runtime == "" || path.IsAbs(runtime) && !strings.Contains(runtime, "\x00") {
		return nil
	}
	return runtimeError(runtime)
}

func runtimeError(runtime string) error {
	return fmt.Errorf("runtime %q is not docker, crun, runc or an absolute path%s", runtime, suggest(runtime, runtimeNames))
}
