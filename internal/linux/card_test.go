package linux

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

var (
	lend     = kernel.CardLend{Project: project, Card: "em1", Netns: "web", Name: "eth0", Group: group, Up: true}
	giveBack = kernel.CardReturn{Project: project, Card: "em1"}
)

// A card is a node's for a time, and comes back as it was; killed at any message, too.
func TestCardLent(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	lan, state := card(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	testhost.Run(t, "ip", "link", "set", "em1", "alias", "to the basement", "mtu", "1490")
	testhost.Run(t, "sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0") // or each move takes seconds
	testhost.Run(t, "sysctl", "-q", "-w", "net.ipv4.conf.em1.rp_filter=2", "net.ipv6.conf.em1.use_tempaddr=1", "net.ipv4.neigh.em1.gc_stale_time=77")
	bare := state
	state = func() string {
		return bare() + testhost.Run(t, "sh", "-c", "grep -rs '' /proc/sys/net/*/conf/em1 /proc/sys/net/*/neigh/em1 | grep -v stable_secret")
	}
	before := state()
	small := lend
	small.MTU = 1400
	for range 2 {
		do(t, h, small)
		l := linkOf(t, netnsOf(t, snapshot(t, h), "web"), "eth0")
		if l.MTU != 1400 || l.Group != group || !l.Up {
			t.Errorf("in the node it is %+v", l)
		}
	}
	if c := snapshot(t, h).Lent; len(c) != 1 || c[0].Card != "em1" || c[0].Netns != "web" || c[0].Name != "eth0" || c[0].MTU != 1490 {
		t.Errorf("the record reads %+v", c)
	}
	testhost.Run(t, "ip", "-n", "web", "address", "add", "192.0.2.10/24", "dev", "eth0")
	lan.Run("ping", "-c", "1", "-W", "5", "192.0.2.10")
	testhost.Run(t, "ip", "-n", "web", "link", "set", "eth0", "address", "02:00:00:00:00:44")
	refused(t, h, unix.EBUSY, kernel.CardLend{Project: "other", Card: "em1", Netns: "web", Name: "eth0"})
	do(t, h, kernel.CardReturn{Project: "other", Card: "em1"}, giveBack, giveBack)
	asBefore(t, "given back", before, state)

	for _, op := range []kernel.Op{lend, giveBack} {
		for n := 0; ; n++ {
			if op == giveBack {
				do(t, h, lend)
			}
			was := doKilled(t, n, op)
			if n%2 == 0 {
				do(t, h, lend)
			}
			do(t, h, giveBack)
			asBefore(t, "killed: "+op.String(), before, state)
			if !was {
				break
			}
		}
	}
	if c := snapshot(t, h).Lent; len(c) != 0 {
		t.Errorf("a record is left: %+v", c)
	}
}

// A card that was lent while the host forwarded for topo came back as one that forwards.
func TestCardComesBackWithoutForwarding(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	card(t)
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	state := func() string {
		return testhost.Run(t, "sh", "-c", "grep -rs '' /proc/sys/net/*/conf/*/forwarding")
	}
	before := state()
	on, off := kernel.ForwardingOn{Family: kernel.IPv6}, kernel.ForwardingRestore{Family: kernel.IPv6}
	for _, order := range [][]kernel.Op{
		{on, lend, giveBack, off},
		{on, lend, off, giveBack},
		{lend, on, giveBack, off},
		{lend, on, off, giveBack},
	} {
		do(t, h, order...)
		asBefore(t, fmt.Sprint(order), before, state)
	}
}

func TestCardRefusals(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	_, state := card(t)
	before := state()
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group})
	refused(t, h, unix.ENOENT, kernel.CardLend{Project: project, Card: "em1", Netns: "none", Name: "eth0"})
	refused(t, h, unix.ENODEV, kernel.CardLend{Project: project, Card: "none", Netns: "web", Name: "eth0"})
	testhost.Run(t, "ip", "link", "add", "br9", "type", "bridge")
	testhost.Run(t, "ip", "link", "set", "em2", "master", "br9")
	refused(t, h, unix.EBUSY, kernel.CardLend{Project: project, Card: "em2", Netns: "web", Name: "eth0"})
	testhost.Run(t, "ip", "link", "delete", "br9")
	asBefore(t, "refused", before, state)
	// A veth goes with its namespace: nothing comes back, and nothing is waited for.
	do(t, h, lend, kernel.NetnsDelete{Name: "web"})
	settle(t, h)
	do(t, h, giveBack)
	if links := testhost.Run(t, "ip", "-o", "link"); strings.Contains(links, "em1") || len(snapshot(t, h).Lent) != 0 {
		t.Errorf("left: %s %+v", links, snapshot(t, h).Lent)
	}
}

// A namespace that could not be looked into was taken for one without the card, and what the card had was forgotten.
func TestCardInANamespaceThatCannotBeRead(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	_, state := card(t)
	before := state()
	do(t, h, kernel.NetnsAdd{Name: "web", Alias: mark("netns/web"), Group: group}, lend)
	testhost.Run(t, "sh", "-ec", "touch /run/keep; mount --bind /run/netns/web /run/keep; umount -l /run/netns/web; rm /run/netns/web; ln -s web /run/netns/web")
	refused(t, h, unix.ELOOP, giveBack)
	testhost.Run(t, "sh", "-ec", "rm /run/netns/web; touch /run/netns/web; mount --bind /run/keep /run/netns/web; umount /run/keep; rm /run/keep")
	do(t, h, giveBack)
	asBefore(t, "given back", before, state)
}
