package fake

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"syscall"

	"topo/internal/kernel"
)

type keyID struct{ project, name string }

// PutKeyFile makes a file with a key in it.
func (m *Machine) PutKeyFile(path string, key kernel.Secret) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keyFiles[path] = key
}

// addKey makes a key that is another one each time, as a random one is, and the same in each run,
// whatever is made beside it.
func (m *Machine) addKey(o kernel.KeyAdd) error {
	id := keyID{o.Project, o.Name}
	if _, there := m.keys[id]; there {
		return syscall.EEXIST
	}
	if o.Key != (kernel.Secret{}) {
		m.keys[id] = o.Key
		return nil
	}
	m.keysMade[id]++
	m.keys[id] = sha256.Sum256(fmt.Appendf(nil, "key %s %s %d", o.Project, o.Name, m.keysMade[id]))
	return nil
}

func (m *Machine) deleteKey(o kernel.KeyDelete) error {
	id := keyID{o.Project, o.Name}
	if _, there := m.keys[id]; !there {
		return errAbsent
	}
	delete(m.keys, id)
	return nil
}

func (m *Machine) readKey(k kernel.KeyRef) (kernel.Secret, error) {
	key, there := m.keyFiles[k.File]
	switch {
	case k.Given != (kernel.Secret{}):
		return k.Given, nil
	case k.Made != "":
		key, there = m.keys[keyID{k.Project, k.Made}]
	}
	if !there {
		return key, syscall.ENOENT
	}
	return key, nil
}

// wireGuard is a link of that kind.
func (m *Machine) wireGuard(netns, name string) (*link, error) {
	l, err := m.link(netns, name)
	switch {
	case err != nil:
		return nil, err
	case l.wireGuard == nil:
		return nil, syscall.EOPNOTSUPP
	}
	return l, nil
}

func (m *Machine) setWireGuard(o kernel.WireGuardSet) error {
	l, err := m.wireGuard(o.Netns, o.Link)
	if err != nil {
		return err
	}
	if o.PrivateKey != nil {
		key, err := m.readKey(*o.PrivateKey)
		if err != nil {
			return err
		}
		l.wireGuard.PublicKey = key.Public()
		l.keep("", key)
	}
	if o.ListenPort != nil && *o.ListenPort != 0 && l.up && slices.ContainsFunc(l.space.links, func(x *link) bool {
		return x != l && x.up && x.wireGuard != nil && x.wireGuard.ListenPort == *o.ListenPort
	}) {
		return syscall.EADDRINUSE
	}
	set(&l.wireGuard.ListenPort, o.ListenPort)
	set(&l.wireGuard.FwMark, o.FwMark)
	return nil
}

// setPeer: a prefix is one peer's; who asks for it last has it.
func (m *Machine) setPeer(o kernel.PeerSet) error {
	l, err := m.wireGuard(o.Netns, o.Link)
	if err != nil {
		return err
	}
	p := kernel.WireGuardPeer{PublicKey: o.PublicKey, Endpoint: o.Endpoint, Keepalive: o.Keepalive, AllowedIPs: slices.Clone(o.AllowedIPs)}
	if p.PublicKey == "" {
		key, err := m.readKey(o.Key)
		if err != nil {
			return err
		}
		p.PublicKey = key.Public()
	}
	if o.Preshared != (kernel.KeyRef{}) {
		key, err := m.readKey(o.Preshared)
		if err != nil {
			return err
		}
		p.Preshared = key.Print()
		l.keep(p.PublicKey, key)
	}
	if b, err := base64.StdEncoding.DecodeString(p.PublicKey); err != nil || len(b) != len(kernel.Secret{}) {
		return syscall.EINVAL
	}
	if i := l.peerAt(p.PublicKey); i >= 0 {
		if !p.Endpoint.IsValid() {
			p.Endpoint = l.wireGuard.Peers[i].Endpoint
		}
		l.wireGuard.Peers = slices.Delete(l.wireGuard.Peers, i, i+1)
	}
	for i := range l.wireGuard.Peers {
		other := &l.wireGuard.Peers[i]
		other.AllowedIPs = slices.DeleteFunc(other.AllowedIPs, func(x netip.Prefix) bool { return slices.Contains(p.AllowedIPs, x) })
	}
	slices.SortFunc(p.AllowedIPs, netip.Prefix.Compare)
	l.wireGuard.Peers = append(l.wireGuard.Peers, p)
	slices.SortFunc(l.wireGuard.Peers, func(a, b kernel.WireGuardPeer) int { return cmp.Compare(a.PublicKey, b.PublicKey) })
	return nil
}

func (m *Machine) deletePeer(o kernel.PeerDelete) error {
	l, err := m.wireGuard(o.Netns, o.Link)
	if err != nil {
		return errAbsent
	}
	i := l.peerAt(o.PublicKey)
	if i < 0 {
		return errAbsent
	}
	l.wireGuard.Peers = slices.Delete(l.wireGuard.Peers, i, i+1)
	return nil
}

func (l *link) peerAt(public string) int {
	return slices.IndexFunc(l.wireGuard.Peers, func(p kernel.WireGuardPeer) bool { return p.PublicKey == public })
}

// keep has a link know a key: its own, or that which it shares with a peer.
func (l *link) keep(peer string, key kernel.Secret) {
	if l.secrets == nil {
		l.secrets = map[string]kernel.Secret{}
	}
	l.secrets[peer] = key
}

// secretFacts are the keys of a project themselves.
func (m *Machine) secretFacts(project string) map[kernel.SecretOf]kernel.Secret {
	out := map[kernel.SecretOf]kernel.Secret{}
	for id, key := range m.keys {
		if id.project == project {
			out[kernel.SecretOf{Made: id.name}] = key
		}
	}
	for _, s := range m.spaces() {
		for _, l := range s.links {
			for peer, key := range l.secrets {
				out[kernel.SecretOf{Netns: s.name, Link: l.name, Peer: peer}] = key
			}
		}
	}
	return out
}

// keyFacts is what a reading finds of keys.
func (m *Machine) keyFacts(s *kernel.Snapshot, q kernel.Query) {
	for _, id := range slices.SortedFunc(maps.Keys(m.keys), func(a, b keyID) int { return cmp.Compare(a.name, b.name) }) {
		if id.project == q.Project {
			s.Keys = append(s.Keys, kernel.Key{Name: id.name, Public: m.keys[id].Public()})
		}
	}
	if q.Secrets {
		s.Secrets = m.secretFacts(q.Project)
	}
	s.KeyFiles = map[string]kernel.KeyFile{}
	for _, path := range q.KeyFiles {
		key, there := m.keyFiles[path]
		s.KeyFiles[path] = kernel.KeyFile{Public: key.Public(), Print: key.Print()}
		if !there {
			s.KeyFiles[path] = kernel.KeyFile{Error: "no such file or directory"}
		}
	}
}

func (l *link) wireGuardFacts() *kernel.WireGuard {
	if l.wireGuard == nil {
		return nil
	}
	w := *l.wireGuard
	w.Peers = slices.Clone(w.Peers)
	for i := range w.Peers {
		w.Peers[i].AllowedIPs = slices.Clone(w.Peers[i].AllowedIPs)
	}
	return &w
}

// keyName is what a text calls a public key: that of a made one is another one each time.
func (m *Machine) keyName(public string) string {
	for id, key := range m.keys {
		if key.Public() == public {
			return "of " + id.name
		}
	}
	return public
}
