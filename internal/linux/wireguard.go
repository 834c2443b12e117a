package linux

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// WireGuard is set up by generic netlink, with a family of its own (include/uapi/linux/wireguard.h), in the namespace of the link.
const (
	wgFamily  = "wireguard"
	wgVersion = 1
	wgGet     = 0 // WG_CMD_GET_DEVICE
	wgSet     = 1 // WG_CMD_SET_DEVICE

	wgIndex      = 1 // WGDEVICE_A_…
	wgPrivateKey = 3
	wgPublicKey  = 4
	wgListenPort = 6
	wgFwMark     = 7
	wgPeers      = 8

	wgPeerPublicKey  = 1 // WGPEER_A_…
	wgPeerPreshared  = 2
	wgPeerFlags      = 3
	wgPeerEndpoint   = 4
	wgPeerKeepalive  = 5
	wgPeerAllowedIPs = 9

	wgPeerRemove         = 1 // WGPEER_F_…
	wgPeerReplaceAllowed = 2

	wgAllowedFamily = 1 // WGALLOWEDIP_A_…
	wgAllowedIP     = 2
	wgAllowedBits   = 3
)

// genl is a struct genlmsghdr: command, version, two bytes that must be zero. (nl.Genlmsg has only the first two, and sends what follows
// it in memory.)
type genl [genlHeader]byte

const genlHeader = 4

func (g genl) Len() int          { return len(g) }
func (g genl) Serialize() []byte { return g[:] }

// generic calls f with a socket of generic netlink in a namespace, and the number that a family has there.
func (h *Host) generic(netns, family string, f func(c *conn, id int) error) error {
	ns, done, err := h.descriptor(netns)
	if err != nil {
		return err
	}
	defer done() //nolint:errcheck // it was only read
	var c *conn
	err = h.onThread(ns, func() (err error) {
		c, err = h.dialProtocol(netns, unix.NETLINK_GENERIC)
		return err
	})
	if err != nil {
		return err
	}
	defer c.close()
	id := 0
	req := nl.NewNetlinkRequest(unix.GENL_ID_CTRL, 0)
	req.AddData(genl{nl.GENL_CTRL_CMD_GETFAMILY, nl.GENL_CTRL_VERSION})
	req.AddData(textAttr(nl.GENL_CTRL_ATTR_FAMILY_NAME, family))
	err = c.ask(req, func(body []byte) error {
		for kind, value := range attributes(after(body, genlHeader)) {
			if kind == nl.GENL_CTRL_ATTR_FAMILY_ID && len(value) == 2 {
				id = int(binary.NativeEndian.Uint16(value))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("finding family %s: %w", family, err)
	}
	return f(c, id)
}

// wgChange sends what fill adds to a message about a wireguard link.
func (h *Host) wgChange(netns, link, what string, fill func(req *nl.NetlinkRequest) error) error {
	index := 0
	err := h.in(netns, func(c *conn) (err error) {
		index, err = c.index(link)
		return err
	})
	if err != nil {
		return err
	}
	return h.generic(netns, wgFamily, func(c *conn, id int) error {
		req := nl.NewNetlinkRequest(id, 0)
		req.AddData(genl{wgSet, wgVersion})
		req.AddData(numberAttr(wgIndex, uint32(index)))
		if err := fill(req); err != nil {
			return err
		}
		return c.change(req, "WG_CMD_SET_DEVICE "+link+" "+what)
	})
}

func (h *Host) wireGuardSet(o kernel.WireGuardSet) error {
	return h.wgChange(o.Netns, o.Link, "itself", func(req *nl.NetlinkRequest) error {
		if o.PrivateKey != nil {
			key, err := readKey(*o.PrivateKey)
			if err != nil {
				return err
			}
			req.AddData(nl.NewRtAttr(wgPrivateKey, key[:]))
		}
		if o.ListenPort != nil {
			req.AddData(nl.NewRtAttr(wgListenPort, native16.put(uint32(*o.ListenPort))))
		}
		if o.FwMark != nil {
			req.AddData(numberAttr(wgFwMark, *o.FwMark))
		}
		return nil
	})
}

func (h *Host) peerSet(o kernel.PeerSet) error {
	public := o.PublicKey
	if public == "" {
		key, err := readKey(o.Key)
		if err != nil {
			return err
		}
		public = key.Public()
	}
	return h.wgChange(o.Netns, o.Link, "peer "+public, func(req *nl.NetlinkRequest) error {
		peer, err := peerAttr(req, public)
		if err != nil {
			return err
		}
		var preshared kernel.Secret // all zeros take one away
		if o.Preshared != (kernel.KeyRef{}) {
			if preshared, err = readKey(o.Preshared); err != nil {
				return err
			}
		}
		peer.AddRtAttr(wgPeerFlags, native32.put(wgPeerReplaceAllowed))
		peer.AddRtAttr(wgPeerPreshared, preshared[:])
		if o.Endpoint.IsValid() {
			peer.AddRtAttr(wgPeerEndpoint, socketAddress(o.Endpoint))
		}
		peer.AddRtAttr(wgPeerKeepalive, native16.put(uint32(o.Keepalive)))
		allowed := peer.AddRtAttr(wgPeerAllowedIPs|unix.NLA_F_NESTED, nil)
		for _, p := range o.AllowedIPs {
			family := uint32(unix.AF_INET)
			if p.Addr().Is6() {
				family = unix.AF_INET6
			}
			one := allowed.AddRtAttr(unix.NLA_F_NESTED, nil)
			one.AddRtAttr(wgAllowedFamily, native16.put(family))
			one.AddRtAttr(wgAllowedIP, p.Addr().AsSlice())
			one.AddRtAttr(wgAllowedBits, []byte{byte(p.Bits())})
		}
		return nil
	})
}

func (h *Host) peerDelete(o kernel.PeerDelete) error {
	return gone(h.wgChange(o.Netns, o.Link, "peer "+o.PublicKey, func(req *nl.NetlinkRequest) error {
		peer, err := peerAttr(req, o.PublicKey)
		if err != nil {
			return err
		}
		peer.AddRtAttr(wgPeerFlags, native32.put(wgPeerRemove))
		return nil
	}))
}

// peerAttr adds the attribute of one peer to a message.
func peerAttr(req *nl.NetlinkRequest, public string) (*nl.RtAttr, error) {
	key, err := base64.StdEncoding.DecodeString(public)
	if err != nil || len(key) != len(kernel.Secret{}) {
		return nil, fmt.Errorf("public key %q: %w", public, unix.EINVAL)
	}
	peers := nl.NewRtAttr(wgPeers|unix.NLA_F_NESTED, nil)
	peer := peers.AddRtAttr(unix.NLA_F_NESTED, nil)
	peer.AddRtAttr(wgPeerPublicKey, key)
	req.AddData(peers)
	return peer, nil
}

// socketAddress is a struct sockaddr_in or sockaddr_in6.
func socketAddress(e netip.AddrPort) []byte {
	port := binary.BigEndian.AppendUint16(nil, e.Port())
	if a := e.Addr(); a.Is4() {
		b := append(native16.put(unix.AF_INET), port...)
		return append(append(b, a.AsSlice()...), make([]byte, 8)...)
	}
	b := append(native16.put(unix.AF_INET6), port...)
	b = append(append(b, 0, 0, 0, 0), e.Addr().AsSlice()...) // after the flow's label
	return append(b, 0, 0, 0, 0)                             // the scope
}

func parseSocketAddress(b []byte) netip.AddrPort {
	if len(b) < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch family := binary.NativeEndian.Uint16(b); {
	case family == unix.AF_INET:
		return netip.AddrPortFrom(address(b[4:8]), port)
	case family == unix.AF_INET6 && len(b) >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(address(b[8:24]), port)
	}
	return netip.AddrPort{}
}

// readWireGuard reads what the wireguard links of a namespace have. Of one that is gone meanwhile nothing is known.
func (h *Host) readWireGuard(s *space) error {
	if !slices.ContainsFunc(s.links, func(l link) bool { return l.Kind == wgFamily }) {
		return nil
	}
	return h.generic(s.Name, wgFamily, func(c *conn, id int) error {
		for i := range s.links {
			l := &s.links[i]
			if l.Kind != wgFamily {
				continue
			}
			var read kernel.WireGuard
			err := c.dump(uint16(id), parts{genl{wgGet, wgVersion}, numberAttr(wgIndex, uint32(l.Index))},
				func() { read = kernel.WireGuard{} },
				func(body []byte) error { parseWireGuard(after(body, genlHeader), &read); return nil })
			switch {
			case errors.Is(err, unix.ENODEV):
				continue
			case err != nil:
				return fmt.Errorf("reading %s: %w", l.Name, err)
			}
			for j := range read.Peers {
				slices.SortFunc(read.Peers[j].AllowedIPs, netip.Prefix.Compare)
			}
			slices.SortFunc(read.Peers, func(a, b kernel.WireGuardPeer) int { return cmp.Compare(a.PublicKey, b.PublicKey) })
			l.WireGuard = &read
		}
		return nil
	})
}

// parseWireGuard reads one message about a device: what doesn't fit into one goes on in the next, also in the middle of a peer.
func parseWireGuard(b []byte, w *kernel.WireGuard) {
	for kind, value := range attributes(b) {
		switch kind {
		case wgPublicKey:
			w.PublicKey = publicKey(value)
		case wgListenPort:
			if n, ok := native16.get(value); ok {
				w.ListenPort = int(n)
			}
		case wgFwMark:
			w.FwMark = unsigned(value)
		case wgPeers:
			for _, one := range attributes(value) {
				p := parsePeer(one)
				if last := len(w.Peers) - 1; last >= 0 && w.Peers[last].PublicKey == p.PublicKey {
					w.Peers[last].AllowedIPs = append(w.Peers[last].AllowedIPs, p.AllowedIPs...)
					continue
				}
				w.Peers = append(w.Peers, p)
			}
		}
	}
}

func parsePeer(b []byte) (p kernel.WireGuardPeer) {
	for kind, value := range attributes(b) {
		switch kind {
		case wgPeerPublicKey:
			p.PublicKey = publicKey(value)
		case wgPeerPreshared:
			if len(value) == len(kernel.Secret{}) {
				p.Preshared = kernel.Secret(value).Print()
			}
		case wgPeerEndpoint:
			p.Endpoint = parseSocketAddress(value)
		case wgPeerKeepalive:
			if n, ok := native16.get(value); ok {
				p.Keepalive = int(n)
			}
		case wgPeerAllowedIPs:
			for _, one := range attributes(value) {
				var a netip.Addr
				bits := -1
				for kind, value := range attributes(one) {
					switch {
					case kind == wgAllowedIP:
						a = address(value)
					case kind == wgAllowedBits && len(value) == 1:
						bits = int(value[0])
					}
				}
				if prefix := netip.PrefixFrom(a, bits); prefix.IsValid() {
					p.AllowedIPs = append(p.AllowedIPs, prefix)
				}
			}
		}
	}
	return p
}

// publicKey is a key in base64; all zeros are none.
func publicKey(b []byte) string {
	if len(b) != len(kernel.Secret{}) || kernel.Secret(b) == (kernel.Secret{}) {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// readKey reads a private or preshared key from where it is.
func readKey(k kernel.KeyRef) (kernel.Secret, error) {
	path := k.File
	switch {
	case k.Given != (kernel.Secret{}):
		return k.Given, nil
	case k.Made != "":
		path = keyFile(k.Project, k.Made)
	}
	return readKeyFile(path)
}

func readKeyFile(path string) (kernel.Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return kernel.Secret{}, err
	}
	key, err := kernel.ParseSecret(string(text))
	if err != nil {
		return kernel.Secret{}, fmt.Errorf("%s %w", path, err)
	}
	return key, nil
}
