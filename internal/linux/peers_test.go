package linux

import (
	"fmt"
	"testing"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// Links of a ring of namespaces that have their names, addresses and indices in common: nothing but the kernel's numbers tells whose
// end is whose.
func TestPeersThatLookAlike(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	const nodes = 6
	name := func(i int) string { return fmt.Sprintf("n%d", i%nodes) }
	for i := range nodes {
		do(t, h, kernel.NetnsAdd{Name: name(i), Alias: mark("netns/" + name(i)), Group: group})
	}
	for i := range nodes {
		testhost.Run(t, "ip", "-n", name(i), "link", "add", "right", "index", "20", "address", "02:00:00:00:00:01", "type", "veth",
			"peer", "name", "left", "index", "10", "address", "02:00:00:00:00:02", "netns", name(i+1))
	}
	s := snapshot(t, h)
	for i := range nodes {
		if got, want := linkOf(t, netnsOf(t, s, name(i)), "right").Peer, (kernel.End{Netns: name(i + 1), Name: "left"}); got != want {
			t.Errorf("the other end of %s's right is %+v", name(i), got)
		}
		if got, want := linkOf(t, netnsOf(t, s, name(i+1)), "left").Peer, (kernel.End{Netns: name(i), Name: "right"}); got != want {
			t.Errorf("the other end of %s's left is %+v", name(i+1), got)
		}
	}
}
