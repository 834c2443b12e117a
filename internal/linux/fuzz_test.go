package linux

import (
	"bytes"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// FuzzNetlink: no message of the kernel's, and none in a record, makes a reader read beyond its end or go on for ever. The kernel
// sends whole headers; what is behind them may be anything.
func FuzzNetlink(f *testing.F) {
	c, err := new(Host).dial("")
	if err != nil {
		f.Fatal(err)
	}
	defer c.close()
	for kind, header := range map[uint16]nl.NetlinkRequestData{
		unix.RTM_GETLINK: nl.NewIfInfomsg(unix.AF_UNSPEC), unix.RTM_GETADDR: nl.NewIfAddrmsg(unix.AF_UNSPEC), unix.RTM_GETROUTE: nl.NewRtMsg(),
	} {
		var bodies [][]byte
		err := c.dump(kind, header, func() { bodies = nil }, func(body []byte) error {
			bodies = append(bodies, bytes.Clone(body))
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
		for _, body := range bodies {
			f.Add(body)
		}
	}
	const longest = 32 // no header is longer
	f.Add(make([]byte, longest))
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range messages(b) {
			_ = m.refusal()
		}
		body := append(b, make([]byte, max(0, longest-len(b)))...)
		links := map[int]*link{}
		l := parseLink(body)
		l.Qdisc = &kernel.Qdisc{} // only links that have one are asked for it
		links[l.Index] = &l
		parseAddr(body, links)
		parseRoute(body, links)
		parsePolicyRule(body)
		parseQdisc(body, links)
		l.parseFDB(body)
		parseVLANs(b)
		parseLinkInfo(b, &l)
		parseBridge(b)
		parsePort(b)
		parseAcceptRA(b)
		var w kernel.WireGuard
		parseWireGuard(b, &w)
		parseSocketAddress(b)
		parseWays(b, links)
		_, _, _ = cardRoute(body, l.Index)
		_ = movable(body, &l)
		if kept := keep(body, unix.SizeofRtMsg, nil); len(kept) > align(len(body)) {
			t.Errorf("%d bytes of a message of %d are kept", len(kept), len(body))
		}
		_ = addressFor(body, place{l.Index, "a"}, "b", true)
		_ = routeFor(body, l.Index)
		_, _ = addressText(body), routeText(body)
		_ = dynamic(body)
	})
}

// FuzzTables: what iptables-save prints is read, or refused.
func FuzzTables(f *testing.F) {
	for _, text := range []string{
		"", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n", "# x\n*nat\n:TOPO-DNAT - [0:0]\n-A TOPO-DNAT -m comment --comment \"topo:p:x y\" -j RETURN\nCOMMIT\n",
		"*\n:\n-A \n", ":X", "-A X",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		chains, rules, err := parseTables(kernel.IPv4, text)
		if err != nil && (chains != nil || rules != nil) {
			t.Errorf("an error, and %v %v", chains, rules)
		}
		for _, r := range rules {
			if r.Spec != kernel.Canonical(r.Spec) {
				t.Errorf("%q is not canonical", r.Spec)
			}
		}
	})
}
