package linux

import (
	"errors"
	"fmt"
	"io/fs"

	"topo/internal/kernel"
)

// readSecrets reads the keys of a project's WireGuards: those that the kernel has, and those that topo made.
func (h *Host) readSecrets(s kernel.Snapshot, project string) (map[kernel.SecretOf]kernel.Secret, error) {
	secrets := map[kernel.SecretOf]kernel.Secret{}
	for _, k := range s.Keys {
		if k.Public == "" {
			continue // it is no key
		}
		key, err := readKeyFile(keyFile(project, k.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		} else if err != nil {
			return nil, err
		}
		secrets[kernel.SecretOf{Made: k.Name}] = key
	}
	links := func(n kernel.Netns, ours func(kernel.Link) bool) error {
		for _, l := range n.Links {
			if l.WireGuard == nil || !ours(l) {
				continue
			}
			if err := h.linkSecrets(n.Name, l, secrets); err != nil && !absent(err) {
				return fmt.Errorf("reading the keys of %s: %w", l.Name, err)
			}
		}
		return nil
	}
	err := links(s.Host, func(l kernel.Link) bool {
		m, _ := kernel.ParseMark(l.Alias)
		return m.Project == project
	})
	for _, n := range s.Netns {
		if n.Mark.Project == project {
			err = errors.Join(err, links(n, func(kernel.Link) bool { return true }))
		}
	}
	return secrets, err
}

// linkSecrets reads a link's private key, and those that it shares with its peers.
func (h *Host) linkSecrets(netns string, l kernel.Link, secrets map[kernel.SecretOf]kernel.Secret) error {
	return h.generic(netns, wgFamily, func(c *conn, id int) error {
		return c.dump(uint16(id), parts{genl{wgGet, wgVersion}, numberAttr(wgIndex, uint32(l.Index))}, func() {}, func(body []byte) error {
			for kind, value := range attributes(after(body, genlHeader)) {
				switch kind {
				case wgPrivateKey:
					keepSecret(secrets, kernel.SecretOf{Netns: netns, Link: l.Name}, value)
				case wgPeers:
					for _, one := range attributes(value) {
						of := kernel.SecretOf{Netns: netns, Link: l.Name, Peer: parsePeer(one).PublicKey}
						for kind, value := range attributes(one) {
							if kind == wgPeerPreshared {
								keepSecret(secrets, of, value)
							}
						}
					}
				}
			}
			return nil
		})
	})
}

// keepSecret keeps a key; all zeros are none.
func keepSecret(secrets map[kernel.SecretOf]kernel.Secret, of kernel.SecretOf, b []byte) {
	if len(b) == len(kernel.Secret{}) && kernel.Secret(b) != (kernel.Secret{}) {
		secrets[of] = kernel.Secret(b)
	}
}
