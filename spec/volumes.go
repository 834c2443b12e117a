package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// readVolumes reads the named volumes of the file.
func (r *resolver) readVolumes() {
	r.volumes = map[string]int{}
	names := map[string]Pos{}
	for _, e := range r.file.Volumes {
		raw := e.Value
		r.checkName(e.Pos, "volume", e.Key)
		v := Volume{Pos: e.Pos, Key: e.Key, Name: r.topo.Name + "_" + e.Key, External: raw.External.Value, Labels: r.labels(raw.Labels)}
		if v.External {
			v.Name = e.Key
		}
		if raw.Name.Set {
			v.Name = raw.Name.Value
			r.volumeName(raw.Name)
		}
		if v.External && len(v.Labels) > 0 {
			r.add(raw.Labels.Pos, "labels: volume %s is external, and has those that its maker gave it", e.Key)
		}
		if raw.Driver.Set && raw.Driver.Value != "local" {
			r.add(raw.Driver.Pos, "driver %q: a volume of topo's is a folder on this machine; driver can only be local", raw.Driver.Value)
		}
		if first, twice := names[v.Name]; twice {
			r.add(e.Pos, "volume %s has the name %s on the machine, as the one in %s", e.Key, v.Name, line(first))
			continue
		}
		names[v.Name] = e.Pos
		r.volumes[e.Key] = len(r.topo.Volumes)
		r.topo.Volumes = append(r.topo.Volumes, v)
	}
}

// volumeName checks a name that is taken verbatim: it is that of a folder.
func (r *resolver) volumeName(t text) {
	if err := CheckVolumeName(t.Value); err != nil {
		r.add(t.Pos, "%v", err)
	}
}

// CheckVolumeName tells what is wrong with a volume's name on the machine.
func CheckVolumeName(name string) error {
	switch {
	case !objectName.MatchString(name):
		return fmt.Errorf("name %q of a volume must be letters, digits, -, _ and ., and start with a letter or digit", name)
	case len(name) > maxFile:
		return fmt.Errorf("name of a volume is longer than %d bytes", maxFile)
	}
	return nil
}

func (r *resolver) volumeKeys() []string {
	keys := make([]string, 0, len(r.file.Volumes))
	for _, e := range r.file.Volumes {
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return keys
}

// findVolume gives the name on the machine of a volume of the file; ok is false, and it is noted, when there is none.
func (r *resolver) findVolume(pos Pos, key string) (name string, ok bool) {
	i, ok := r.volumes[key]
	if ok {
		return r.topo.Volumes[i].Name, true
	}
	if !slices.Contains(r.volumeKeys(), key) { // one that is there, and not well-formed, was noted
		hint := r.near(key, r.volumeKeys)
		if hint == "" {
			hint = "; volumes: of the file lists them, and a path starts with . / or ~"
		}
		r.add(pos, "there is no volume %q%s", key, hint)
	}
	return "", false
}

// ownVolume notes the volume that a node has for itself at a target, and gives its name on the machine: the same
// for the same node and target each time, so that it is found again.
func (r *resolver) ownVolume(pos Pos, n *Node, target string) string {
	v := Volume{Pos: pos, Key: n.Name + ":" + target, Name: OwnVolumeName(r.topo.Name, n.Name, target)}
	r.topo.Volumes = append(r.topo.Volumes, v)
	return v.Name
}

// OwnVolumeName is the name on the machine of the volume that a node has for itself at a target.
func OwnVolumeName(project, node, target string) string {
	const digits = 12 // 48 bits: a node has few volumes
	sum := sha256.Sum256([]byte(target))
	return project + "_" + node + "_" + hex.EncodeToString(sum[:])[:digits]
}
