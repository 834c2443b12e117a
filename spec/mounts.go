package spec

import (
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// propagations are those of mount(8), shared subtrees, by their names in Compose.
var propagations = []string{"rprivate", "private", "rshared", "shared", "rslave", "slave"}

// mounts reads the volumes of a container.
func (r *resolver) mounts(n *Node, list []volume) []Mount {
	var mounts []Mount
	targets := map[string]Pos{}
	for _, raw := range list {
		m, ok := r.mount(raw)
		if !ok {
			continue
		}
		if first, twice := targets[m.Target]; twice {
			r.add(m.Pos, "something is mounted at %s already, in %s", m.Target, line(first))
			continue
		}
		targets[m.Target] = m.Pos
		if m.Kind == VolumeMount && m.Source == "" {
			m.Source = r.ownVolume(m.Pos, n, m.Target)
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// mount reads one; a volume without a Source is the node's own.
func (r *resolver) mount(raw volume) (Mount, bool) {
	switch {
	case raw.Scalar.Set:
		return r.shortMount(raw.Scalar)
	case raw.Scalar.Bad || !raw.Type.Set || !raw.Target.Set || raw.Source.Bad:
		return Mount{}, false
	}
	m := Mount{Pos: raw.Pos, ReadOnly: raw.ReadOnly.Value, Kind: MountKind(raw.Type.Value)}
	var ok bool
	switch m.Kind {
	case BindMount:
		ok = r.bindMount(&m, raw)
	case VolumeMount:
		ok = r.volumeMount(&m, raw)
	case TmpfsMount:
		ok = r.tmpfsMount(&m, raw)
	case "image", "npipe", "cluster":
		r.add(raw.Type.Pos, "volume of type %s is not supported yet", raw.Type.Value)
		return m, false
	default:
		r.add(raw.Type.Pos, "type can't be %q%s", raw.Type.Value, suggestOrList(raw.Type.Value, []string{"volume", "bind", "tmpfs"}))
		return m, false
	}
	ok = r.onlyFor(&m, raw) && ok
	return m, r.mountTarget(&m, raw.Target) && ok
}

// onlyFor refuses what is said of a mount of another type.
func (r *resolver) onlyFor(m *Mount, raw volume) bool {
	ok := true
	about := func(kind MountKind, at origin) {
		if kind != m.Kind {
			r.add(at.Pos, "%s: is for type %[1]s, this one is of type %s", kind, m.Kind)
			ok = false
		}
	}
	if raw.Bind != nil {
		about(BindMount, raw.Bind.origin)
	}
	if raw.Volume != nil {
		about(VolumeMount, raw.Volume.origin)
	}
	if raw.Tmpfs != nil {
		about(TmpfsMount, raw.Tmpfs.origin)
	}
	return ok
}

func (r *resolver) bindMount(m *Mount, raw volume) bool {
	if raw.Source.Value == "" {
		r.add(raw.Pos, "source is missing")
		return false
	}
	m.Source, m.CreateSource = r.absolute(raw.Source.Pos, raw.Source.Value), true
	if b := raw.Bind; b != nil {
		m.Propagation = b.Propagation.Value
		m.CreateSource = b.CreateHostPath.or(true)
	}
	return true
}

func (r *resolver) volumeMount(m *Mount, raw volume) (ok bool) {
	ok = true
	if raw.Source.Set && raw.Source.Value != "" {
		m.Volume = raw.Source.Value
		m.Source, ok = r.findVolume(raw.Source.Pos, m.Volume)
	}
	if v := raw.Volume; v != nil {
		m.NoCopy = v.NoCopy.Value
		if v.Subpath.Set {
			m.Subpath = filepath.Clean(v.Subpath.Value)
			if !filepath.IsLocal(v.Subpath.Value) {
				r.add(v.Subpath.Pos, "subpath %q must be relative, and stay in the volume", v.Subpath.Value)
				return false
			}
		}
	}
	return ok
}

// defaultTmpfsMode is Docker's: everybody may write, and remove what is theirs.
const defaultTmpfsMode = 0o1777

func (r *resolver) tmpfsMount(m *Mount, raw volume) bool {
	m.Mode = defaultTmpfsMode
	if raw.Source.Set {
		r.add(raw.Source.Pos, "source: a tmpfs is in memory, and has none")
		return false
	}
	t := raw.Tmpfs
	if t == nil {
		return true
	}
	if t.Size.Set {
		size, err := units.RAMInBytes(t.Size.Value)
		if err != nil || size < 0 {
			r.add(t.Size.Pos, "size %q is not bytes, or a number with b, k, m or g", t.Size.Value)
			return false
		}
		m.Size = size
	}
	if t.Mode.Set {
		mode, err := strconv.ParseUint(t.Mode.Value, 0, 32)
		if err != nil || mode > 0o7777 {
			r.add(t.Mode.Pos, "mode %q is not one: 01777 is, or 0700", t.Mode.Value)
			return false
		}
		m.Mode = uint32(mode)
	}
	return true
}

// shortMount reads [SOURCE:]TARGET[:OPTION,…].
func (r *resolver) shortMount(t text) (Mount, bool) {
	m := Mount{Pos: t.Pos, Kind: VolumeMount}
	parts := strings.Split(t.Value, ":")
	ok := true
	switch {
	case slices.Contains(parts, ""):
		r.add(t.Pos, "volume %q is not [SOURCE:]TARGET[:OPTIONS]", t.Value)
		return m, false
	case len(parts) > 3:
		r.add(t.Pos, "volume %q has too many colons", t.Value)
		return m, false
	case len(parts) == 1:
		return m, r.mountTarget(&m, t)
	case strings.ContainsRune("./~", rune(parts[0][0])):
		m.Kind, m.Source, m.CreateSource = BindMount, r.absolute(t.Pos, parts[0]), true
	default:
		m.Volume = parts[0]
		m.Source, ok = r.findVolume(t.Pos, m.Volume)
	}
	if len(parts) == 3 {
		for _, option := range strings.Split(parts[2], ",") {
			if !r.mountOption(&m, option) {
				return m, false
			}
		}
	}
	return m, r.mountTarget(&m, text{origin: t.origin, Value: parts[1]}) && ok
}

func (r *resolver) mountOption(m *Mount, option string) bool {
	// z and Z relabel for SELinux; the last three are Docker Desktop's. None has an effect here.
	known := append([]string{"ro", "rw", "nocopy", "z", "Z", "cached", "delegated", "consistent"}, propagations...)
	switch {
	case !slices.Contains(known, option):
		r.add(m.Pos, "volume option %q is not known%s", option, suggest(option, known))
		return false
	case option == "ro" || option == "rw":
		m.ReadOnly = option == "ro"
	case option == "nocopy" && m.Kind != VolumeMount:
		r.add(m.Pos, "volume option nocopy is for volumes, this is a bind mount")
		return false
	case option == "nocopy":
		m.NoCopy = true
	case slices.Contains(propagations, option) && m.Kind != BindMount:
		r.add(m.Pos, "volume option %s is for bind mounts, this is a volume", option)
		return false
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
