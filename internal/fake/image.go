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
	m.images[o.Reference] = cmp.Or(o.Digest, digest)
	return nil
}

func (m *Machine) findImages(queries []kernel.ImageQuery) []kernel.Image {
	var list []kernel.Image
	for _, q := range queries {
		i := kernel.Image{Reference: q.Reference, Digest: m.images[q.Reference]}
		if i.Digest != "" {
			i.ID = configOf(i.Digest)
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

func configOf(digest string) string { return "config of " + digest }
