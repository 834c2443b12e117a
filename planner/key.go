package planner

import (
	"fmt"
	"slices"

	"topo/internal/kernel"
	"topo/spec"
)

// key is a private key that topo made, once, and keeps: over replacements of its interface and of the node, and over reboots. It goes with
// the interface's place in the file, and with the project.
type key struct {
	project string
	name    string        // of the interface, "hub:wg0"
	whole   bool          // what is there is a key
	secret  kernel.Secret // that is to be brought back; zero: a new one
}

var keyKind = Kind{Name: "key", Desire: desireKeys, Observe: observeKeys}

func keyID(i spec.Interface) ID { return ID{"key", i.Node + ":" + i.Name} }

func desireKeys(w *Want) []Resource {
	var out []Resource
	for _, i := range w.Topology.Interfaces {
		if i.WireGuard != nil && i.WireGuard.Key == (spec.WireGuardKey{}) {
			out = append(out, key{project: w.Project, name: keyID(i).Name, whole: true})
		}
	}
	return out
}

func observeKeys(h *Have) []Resource {
	var out []Resource
	for _, k := range h.Snapshot.Keys {
		out = append(out, key{project: h.Project, name: k.Name, whole: k.Public != ""})
	}
	return out
}

func (r key) ID() ID         { return ID{"key", r.name} }
func (r key) Needs() []ID    { return nil }
func (r key) Detail() string { return "made once, and kept" }
func (r key) Attrs() []Attr {
	return []Attr{{"key", map[bool]string{true: "private", false: "broken"}[r.whole]}}
}

func (r key) Create() []kernel.Op {
	return []kernel.Op{kernel.KeyAdd{Project: r.project, Name: r.name, Key: r.secret}}
}

func (r key) Delete() []kernel.Op {
	return []kernel.Op{kernel.KeyDelete{Project: r.project, Name: r.name}}
}

func (r key) Update(Resource) ([]kernel.Op, bool) { return nil, false }

// keyRef is where a key of the file is; made is the interface's that topo makes one for where the file has none.
func keyRef(project string, k spec.WireGuardKey, made string) kernel.KeyRef {
	if k == (spec.WireGuardKey{}) && made != "" {
		return kernel.KeyRef{Project: project, Made: made}
	}
	return kernel.KeyRef{File: k.File, Given: kernel.Secret(k.Given)}
}

// publicKey is that of a private key; "" while that is not there.
func publicKey(s kernel.Snapshot, k kernel.KeyRef) string {
	switch {
	case k.Made != "":
		for _, made := range s.Keys {
			if made.Name == k.Made {
				return made.Public
			}
		}
		return ""
	case k.File != "":
		return s.KeyFiles[k.File].Public
	}
	return k.Given.Public()
}

// presharedPrint tells a preshared key from others.
func presharedPrint(s kernel.Snapshot, k kernel.KeyRef) string {
	if k.File != "" {
		return s.KeyFiles[k.File].Print
	}
	return k.Given.Print()
}

// keyFiles are the files of keys that a topology names, each with its place and its key.
func keyFiles(t *spec.Topology, each func(pos spec.Pos, key, path string)) {
	for _, i := range t.Interfaces {
		if i.WireGuard == nil {
			continue
		}
		if f := i.WireGuard.Key.File; f != "" {
			each(i.Pos, "private_key_file", f)
		}
		for _, p := range i.WireGuard.Peers {
			if p.Preshared.File != "" {
				each(p.Pos, "preshared_key_file", p.Preshared.File)
			}
		}
	}
}

// keyless reports files of keys that are not there, or have none.
func keyless(o Options) error {
	if o.Topology == nil {
		return nil
	}
	var errs spec.Errors
	keyFiles(o.Topology, func(pos spec.Pos, key, path string) {
		e := spec.Error{Pos: pos, Msg: fmt.Sprintf("%s %s: %s", key, path, o.Snapshot.KeyFiles[path].Error)}
		if o.Snapshot.KeyFiles[path].Error != "" && !slices.ContainsFunc(errs, func(x *spec.Error) bool { return *x == e }) {
			errs = append(errs, &e)
		}
	})
	if len(errs) > 0 {
		return errs
	}
	return nil
}
