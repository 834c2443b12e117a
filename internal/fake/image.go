package fake

import (
	"cmp"
	"fmt"
	"syscall"

	"topo/internal/kernel"
)

// Publish lets a reference name a digest from now on, as a registry does.
func (m *Machine) Publish(reference, digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.registry[reference] = digest
}

func (m *Machine) pullImage(o kernel.ImagePull) error {
	digest, ok := m.registry[o.Reference]
	if !ok {
		return fmt.Errorf("image %s: %w", o.Reference, syscall.ENOENT)
	}
	m.images[imageKey{o.Reference, o.Platform}] = cmp.Or(o.Digest, digest)
	return nil
}

// imageKey names an image in the store; a platform of "" is the machine's.
type imageKey struct{ reference, platform string }

// platform is what the machine runs, and nothing else.
const platform = "linux/amd64"

func (m *Machine) findImages(queries []kernel.ImageQuery) []kernel.Image {
	var list []kernel.Image
	for _, q := range queries {
		key := imageKey{q.Reference, q.Platform}
		i := kernel.Image{Reference: q.Reference, Platform: q.Platform, Digest: m.images[key]}
		if i.Digest != "" {
			i.ID = m.configOf(key)
		}
		if q.Platform != "" && q.Platform != platform {
			i.Unfit = "this machine is " + platform
		}
		switch {
		case q.Asked:
			i.Now, i.Error = q.Now, q.Error
		case q.Fresh:
			if i.Now = m.registry[q.Reference]; i.Now == "" {
				i.Error = "no such image"
			}
		}
		list = append(list, i)
	}
	return list
}

func (m *Machine) configOf(key imageKey) string { return "config of " + m.images[key] }
