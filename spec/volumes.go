package spec

import (
	"path"
	"slices"
	"strings"
)

// propagations are those of mount(8), shared subtrees, by their names in Compose.
var propagations = []string{"rprivate", "private", "rshared", "shared", "rslave", "slave"}

// mounts reads the volumes of a container: bind mounts.
func (r *resolver) mounts(list []volume) []Mount {
	var mounts []Mount
	targets := map[string]Pos{}
	for _, raw := range list {
		m, ok := r.mount(raw)
		if !ok {
			continue
		}
		if first, twice := targets[m.Target]; twice {
			r.add(m.Pos, "something is mounted at %s already, in line %d", m.Target, first.Line)
			continue
		}
		targets[m.Target] = m.Pos
		mounts = append(mounts, m)
	}
	return mounts
}

func (r *resolver) mount(raw volume) (Mount, bool) {
	switch {
	case raw.Scalar.Set:
		return r.shortMount(raw.Scalar)
	case raw.Scalar.Bad || !raw.Type.Set || !raw.Target.Set || raw.Source.Bad:
		return Mount{}, false
	}
	m := Mount{Pos: raw.Pos, ReadOnly: raw.ReadOnly.Value, CreateSource: true}
	switch raw.Type.Value {
	case "bind":
	case "volume", "tmpfs", "image", "npipe", "cluster":
		r.add(raw.Type.Pos, "volume of type %s is not supported yet", raw.Type.Value)
		return m, false
	default:
		r.add(raw.Type.Pos, "type can't be %q%s", raw.Type.Value, suggestOrList(raw.Type.Value, []string{"bind"}))
		return m, false
	}
	if raw.Source.Value == "" {
		r.add(raw.Pos, "source is missing")
		return m, false
	}
	m.Source = r.absolute(raw.Source.Value)
	if b := raw.Bind; b != nil {
		m.Propagation = b.Propagation.Value
		m.CreateSource = b.CreateHostPath.or(true)
	}
	return m, r.mountTarget(&m, raw.Target)
}

// shortMount reads SOURCE:TARGET[:OPTION,…].
func (r *resolver) shortMount(t text) (Mount, bool) {
	m := Mount{Pos: t.Pos, CreateSource: true}
	parts := strings.Split(t.Value, ":")
	switch {
	case slices.Contains(parts, ""):
		r.add(t.Pos, "volume %q is not SOURCE:TARGET[:OPTIONS]", t.Value)
		return m, false
	case len(parts) == 1:
		r.add(t.Pos, "anonymous volume %q is not supported yet", t.Value)
		return m, false
	case len(parts) > 3:
		r.add(t.Pos, "volume %q has too many colons", t.Value)
		return m, false
	case !strings.ContainsRune("./~", rune(parts[0][0])):
		r.add(t.Pos, "named volume %q is not supported yet; a path starts with . / or ~", parts[0])
		return m, false
	}
	m.Source = r.absolute(parts[0])
	if len(parts) == 3 {
		for _, option := range strings.Split(parts[2], ",") {
			if !r.mountOption(&m, option) {
				return m, false
			}
		}
	}
	return m, r.mountTarget(&m, text{origin: t.origin, Value: parts[1]})
}

func (r *resolver) mountOption(m *Mount, option string) bool {
	// z and Z relabel for SELinux; the last three are Docker Desktop's. None has an effect here.
	known := append([]string{"ro", "rw", "z", "Z", "cached", "delegated", "consistent"}, propagations...)
	switch {
	case !slices.Contains(known, option):
		r.add(m.Pos, "volume option %q is not known%s", option, suggest(option, known))
		return false
	case option == "ro" || option == "rw":
		m.ReadOnly = option == "ro"
	case slices.Contains(propagations, option):
		m.Propagation = option
	}
	return true
}

func (r *resolver) mountTarget(m *Mount, t text) bool {
	m.Target = path.Clean(t.Value)
	switch {
	case !path.IsAbs(t.Value):
		r.add(t.Pos, "target %q must be absolute", t.Value)
	case m.Target == "/":
		r.add(t.Pos, "target can't be the root")
	default:
		return true
	}
	return false
}
