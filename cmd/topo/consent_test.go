package main

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"topo/planner"
)

func TestSessionAddr(t *testing.T) {
	files := map[string]string{
		"/proc/30/environ": "HOME=/root\x00", // of sudo
		"/proc/30/stat":    "30 (a ) S b) S 20 30 30",
		"/proc/20/environ": "SHELL=/bin/sh\x00SSH_CONNECTION=198.51.100.7 5000 192.0.2.10 22\x00",
		"/proc/40/environ": "SSH_CONNECTION=fe80::1%em1 5000 ::ffff:192.0.2.11 22\x00",
		"/proc/50/environ": "SSH_CONNECTION=\x00",
		"/proc/50/stat":    "50 (topo) S 1 50 50",
		"/proc/60/environ": "",
		"/proc/60/stat":    "60",
	}
	read := func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
	for pid, want := range map[int]string{30: "192.0.2.10", 20: "192.0.2.10", 40: "192.0.2.11", 50: "invalid IP", 60: "invalid IP", 70: "invalid IP"} {
		if got := sessionAddr(pid, read).String(); got != want {
			t.Errorf("of process %d: %s, want %s", pid, got, want)
		}
	}
}

func TestConsent(t *testing.T) {
	p := &planner.Plan{Moves: []planner.Move{
		{Card: "em2", Bridge: "lan", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		{
			Card: "em1", Bridge: "lan", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")},
			Gateways: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		},
	}}
	err := consent(p, false, nil, nil)
	if err == nil || err.Error() != "em1 carries the default route (via 192.0.2.1); nothing was changed" || exitCode(err) != exitRefused {
		t.Errorf("%v, exit code %d", err, exitCode(err))
	}
	if h := strings.Join(hints(err), "\n"); !strings.Contains(h, "em1 becomes a port of lan, which gets its addresses (192.0.2.10/24)") || !strings.Contains(h, "--yes") {
		t.Errorf("hints: %s", h)
	}
	p.Moves = p.Moves[:1]
	if err := consent(p, false, nil, nil); err != nil {
		t.Error(err)
	}
	if got := p.Moves[0].Carries(netip.MustParseAddr("10.0.0.1")); got != "the session that topo runs in (10.0.0.1)" {
		t.Errorf("carries %q", got)
	}
}
