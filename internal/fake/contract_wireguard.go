package fake

import (
	"net/netip"
	"syscall"

	"topo/internal/kernel"
)

func contractWireGuard(h *host) {
	h.addNetns("a")
	add := kernel.LinkAdd{Netns: "a", Name: "wg0", Kind: "wireguard", MTU: 1420, Group: contractGroupNumber, Up: true}
	if h.lacks("WIREGUARD", add) {
		return
	}
	h.do(add)
	w := h.link("a", "wg0").WireGuard
	equal(h, "key of a new one", w.PublicKey, "")
	equal(h, "peers of a new one", len(w.Peers), 0)

	made := kernel.KeyRef{Project: contractProject, Made: "a:wg0"}
	h.refuse(syscall.ENOENT, kernel.WireGuardSet{Netns: "a", Link: "wg0", PrivateKey: &made})
	h.do(kernel.KeyAdd{Project: contractProject, Name: "a:wg0"})
	h.refuse(syscall.EEXIST, kernel.KeyAdd{Project: contractProject, Name: "a:wg0"})
	keys := h.read().Keys
	if len(keys) != 1 || keys[0].Name != "a:wg0" || len(keys[0].Public) != 44 {
		h.Fatalf("keys: %v", keys)
	}
	h.do(kernel.WireGuardSet{Netns: "a", Link: "wg0", PrivateKey: &made, ListenPort: ref(51820), FwMark: ref(uint32(7))})
	w = h.link("a", "wg0").WireGuard
	equal(h, "public key", w.PublicKey, keys[0].Public)
	equal(h, "port", w.ListenPort, 51820)
	equal(h, "mark", w.FwMark, 7)
	h.do(kernel.LinkAdd{Netns: "a", Name: "wg1", Kind: "wireguard", MTU: 1420, Up: true})
	h.refuse(syscall.EADDRINUSE, kernel.WireGuardSet{Netns: "a", Link: "wg1", ListenPort: ref(51820)})
	h.do(kernel.LinkDelete{Netns: "a", Name: "wg1"})

	given, preshared := kernel.Secret{0: 1, 31: 64}, kernel.Secret{2}
	one := kernel.PeerSet{
		Netns: "a", Link: "wg0", Key: kernel.KeyRef{Given: given}, Endpoint: netip.MustParseAddrPort("10.0.0.1:5000"),
		AllowedIPs: []netip.Prefix{prefix("10.9.0.0/24"), prefix("10.8.0.0/16"), prefix("fd00::/64")}, Keepalive: 25, Preshared: kernel.KeyRef{Given: preshared},
	}
	h.do(one)
	want := kernel.WireGuardPeer{
		PublicKey: given.Public(), Endpoint: one.Endpoint, Keepalive: 25, Preshared: preshared.Print(),
		AllowedIPs: []netip.Prefix{prefix("10.8.0.0/16"), prefix("10.9.0.0/24"), prefix("fd00::/64")},
	}
	equal(h, "peers", h.link("a", "wg0").WireGuard.Peers, []kernel.WireGuardPeer{want})
	// What is not said of an endpoint leaves it; the rest is as said.
	again := kernel.PeerSet{Netns: "a", Link: "wg0", PublicKey: given.Public(), AllowedIPs: []netip.Prefix{prefix("10.9.0.0/24")}}
	h.do(again)
	want.Keepalive, want.Preshared, want.AllowedIPs = 0, "", again.AllowedIPs
	equal(h, "peers", h.link("a", "wg0").WireGuard.Peers, []kernel.WireGuardPeer{want})
	// A prefix is one peer's: the last one's.
	other := kernel.PeerSet{
		Netns: "a", Link: "wg0", PublicKey: "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", Endpoint: netip.MustParseAddrPort("[fd00::1]:5000"),
		AllowedIPs: again.AllowedIPs,
	}
	h.do(other)
	peers := h.link("a", "wg0").WireGuard.Peers
	equal(h, "number of peers", len(peers), 2)
	for _, p := range peers {
		if p.PublicKey == given.Public() {
			equal(h, "prefixes that another one has", len(p.AllowedIPs), 0)
		} else {
			equal(h, "endpoint", p.Endpoint, other.Endpoint)
		}
	}
	h.refuse(0, kernel.PeerSet{Netns: "a", Link: "wg0", PublicKey: "short"})
	h.refuse(syscall.ENODEV, kernel.PeerSet{Netns: "a", Link: "gone", PublicKey: given.Public()})
	gone := kernel.PeerDelete{Netns: "a", Link: "wg0", PublicKey: given.Public()}
	h.do(gone, gone)
	equal(h, "number of peers", len(h.link("a", "wg0").WireGuard.Peers), 1)
	// The key outlives the link and its namespace.
	h.do(kernel.LinkDelete{Netns: "a", Name: "wg0"}, kernel.NetnsDelete{Name: "a"})
	equal(h, "keys", h.read().Keys, keys)
	h.do(kernel.KeyDelete{Project: contractProject, Name: "a:wg0"}, kernel.KeyDelete{Project: contractProject, Name: "a:wg0"})
	equal(h, "number of keys", len(h.read().Keys), 0)
}
