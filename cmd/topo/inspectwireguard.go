package main

import (
	"fmt"

	"topo/internal/kernel"
)

// wireGuardView is what a WireGuard has. There is no private and no preshared key in it.
type wireGuardView struct {
	PublicKey  string              `json:"public_key"`
	ListenPort int                 `json:"listen_port"`
	FwMark     uint32              `json:"fwmark"`
	Peers      []wireGuardPeerView `json:"peers"`
}

type wireGuardPeerView struct {
	PublicKey    string `json:"public_key"`
	Endpoint     string `json:"endpoint,omitempty"` // where it is now
	AllowedIPs   string `json:"allowed_ips"`
	Keepalive    int    `json:"persistent_keepalive"` // seconds
	PresharedKey bool   `json:"preshared_key"`
}

func wireGuardOf(l kernel.Link) *wireGuardView {
	w := l.WireGuard
	if w == nil {
		return nil
	}
	v := &wireGuardView{PublicKey: w.PublicKey, ListenPort: w.ListenPort, FwMark: w.FwMark, Peers: []wireGuardPeerView{}}
	for _, p := range w.Peers {
		peer := wireGuardPeerView{PublicKey: p.PublicKey, AllowedIPs: kernel.PrefixText(p.AllowedIPs), Keepalive: p.Keepalive, PresharedKey: p.Preshared != ""}
		if p.Endpoint.IsValid() {
			peer.Endpoint = p.Endpoint.String()
		}
		v.Peers = append(v.Peers, peer)
	}
	return v
}

func wireGuardText(w wireGuardView) []string {
	line := fmt.Sprintf("   wireguard  port %d  public key %s", w.ListenPort, w.PublicKey)
	if w.FwMark != 0 {
		line += fmt.Sprintf("  fwmark %d", w.FwMark)
	}
	lines := []string{line}
	for _, p := range w.Peers {
		line := fmt.Sprintf("   peer %s  allowed %s", p.PublicKey, p.AllowedIPs)
		if p.Endpoint != "" {
			line += "  at " + p.Endpoint
		}
		if p.Keepalive != 0 {
			line += fmt.Sprintf("  keepalive %ds", p.Keepalive)
		}
		if p.PresharedKey {
			line += "  with a preshared key"
		}
		lines = append(lines, line)
	}
	return lines
}
