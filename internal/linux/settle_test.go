package linux

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestSettleSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, kernel.BridgeAdd{Name: "br0", Group: group, STP: true, ForwardDelay: 30 * time.Second})
	do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
	do(t, h, kernel.LinkSet{Name: "br0", Up: ptr(true)})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.Settle(ctx, kernel.Query{Project: project}); err == nil || !strings.Contains(err.Error(), "port vweb is forwarding (it is listening)") {
		t.Errorf("error %v", err)
	}
	// Somebody's process in it keeps the namespace, and the link into it.
	holder := exec.Command("ip", "netns", "exec", "web", "sleep", "60")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	testhost.Poll(t, func() error {
		if pids := testhost.Run(t, "ip", "netns", "pids", "web"); strings.TrimSpace(pids) == "" {
			return errors.New("not in there yet")
		}
		return nil
	})
	do(t, h, kernel.NetnsDelete{Name: "web"})
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := h.Settle(ctx, kernel.Query{Project: project}); err == nil || !strings.Contains(err.Error(), "link vweb is gone") {
		t.Errorf("error %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // says that it was killed
	settle(t, h)
}

// A namespace is replaced, and the new one gets the old one's number: what is linked to it is not about to go.
func TestSettleAfterReplacement(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	for range 5 {
		do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
		snapshot(t, h)
		do(t, h, kernel.NetnsDelete{Name: "web"})
		testhost.Poll(t, func() error {
			if n := len(snapshot(t, h).Host.Links); n != 2 {
				return errors.New("the link into the namespace is still there")
			}
			return nil
		})
		do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
		settle(t, h)
		do(t, h, kernel.NetnsDelete{Name: "web"})
		settle(t, h)
	}
}

// Polling dumped everything that a snapshot has, the bridges' learnt addresses among it.
func TestSettleAsksForLinksAndAddressesAlone(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	do(t, h, node("web", "br0", "10.0.0.2/24", "10.0.0.1")...)
	settle(t, h)
	asked := count(h.conn)
	settle(t, h)
	if asked[unix.RTM_GETLINK] == 0 || asked[unix.RTM_GETADDR] == 0 || len(asked) != 2 {
		t.Errorf("messages by kind: %v", asked)
	}
}

// count counts the messages that a socket sends, by kind.
func count(c *conn) map[uint16]int {
	asked, send := map[uint16]int{}, c.send
	c.send = func(fd int, request []byte) error {
		asked[short(request[4:])]++
		return send(fd, request)
	}
	return asked
}
