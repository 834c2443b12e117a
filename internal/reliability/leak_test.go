package reliability_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// leaking is a project with ports that are published, and a way to the outside, in both families.
const leaking = `name: leak
bridges:
  app: {subnet: [10.77.0.0/24, "fd77::/64"]}
namespaces:
  a:
    bridges: {app: {address: [10.77.0.2, "fd77::2"]}}
    ports: ["9000:9000/udp", "8080:8080"]
`

// private is what must not be seen outside, as tcpdump's filter; the lures are addresses of it that are nobody's.
const (
	private    = "net 10.77.0.0/16 or net fd77::/16"
	firstLure  = "10.77.9.8"
	secondLure = "10.77.9.9"
)

// flows are the kinds of traffic, each of which must come through while the project is up: packets of one flow, each of a flow of its
// own, and streams, to the published ports from outside and from the host; and from the node to the outside and back.
type flows struct {
	mu   sync.Mutex
	seen map[string]int
}

func (f *flows) count(kind string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[kind] += n
}

// reset begins a new count, and total gives what was counted in all.
func (f *flows) reset() (total int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.seen {
		total += n
	}
	f.seen = map[string]int{}
	return total
}

// missing lists the kinds that have not come through since the last reset.
func (f *flows) missing(kinds []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, k := range kinds {
		if f.seen[k] == 0 {
			out = append(out, k)
		}
	}
	if len(out) > 0 {
		return fmt.Errorf("nothing came through of: %s", strings.Join(out, ", "))
	}
	return nil
}

// pace is between two packets of a flow.
const pace = time.Millisecond

// each calls f until the context is done, with a pause between.
func each(ctx context.Context, f func()) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// actors are goroutines in network namespaces, all of which end with stop.
type actors struct {
	ctx  context.Context //nolint:containedctx // it ends what this starts
	stop func()
	done sync.WaitGroup
}

func newActors(t *testing.T) *actors {
	t.Helper()
	a := &actors{}
	ctx, cancel := context.WithCancel(t.Context())
	a.ctx, a.stop = ctx, func() { cancel(); a.done.Wait() }
	t.Cleanup(a.stop)
	return a
}

// in runs f on a thread in a network namespace ("" = the host's). Sockets belong to the namespace in which they are opened.
func (a *actors) in(t *testing.T, netns string, f func(ctx context.Context)) {
	t.Helper()
	entered := make(chan error, 1)
	a.done.Go(func() {
		if netns != "" {
			runtime.LockOSThread() // for ever: the thread ends with the goroutine
			fd, err := unix.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
			}
			if err != nil {
				entered <- err
				return
			}
		}
		entered <- nil
		f(a.ctx)
	})
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
}

// Errors of those who send are what they are for: a port that nobody has says so. What came through is counted.

// packets sends packets of one flow, or each from a port of its own.
func packets(kind, to string, one bool) func(context.Context) {
	return func(ctx context.Context) {
		var conn net.Conn
		each(ctx, func() {
			if conn == nil {
				c, err := net.Dial("udp", to)
				if err != nil {
					return
				}
				conn = c
			}
			_, _ = io.WriteString(conn, kind)
			if !one {
				conn.Close()
				conn = nil
			}
		})
		if conn != nil {
			conn.Close()
		}
	}
}

// stream sends over a connection, and makes another one when that has ended.
func stream(kind, to string) func(context.Context) {
	return func(ctx context.Context) {
		dialer := net.Dialer{Timeout: 200 * time.Millisecond}
		var conn net.Conn
		each(ctx, func() {
			if conn == nil {
				c, err := dialer.Dial("tcp", to)
				if err != nil {
					return
				}
				conn = c
			}
			_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := io.WriteString(conn, kind+"\n"); err != nil {
				conn.Close()
				conn = nil
			}
		})
		if conn != nil {
			conn.Close()
		}
	}
}

// hears counts the packets that come to an address. Who is asked to answers goes on doing so for a while, whether he hears more or not.
func (f *flows) hears(address string, answers bool) func(context.Context) {
	return func(ctx context.Context) {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			f.count(err.Error(), 1)
			return
		}
		defer c.Close()
		peers := map[string]net.Addr{}
		last := map[string]time.Time{}
		b := make([]byte, 100)
		for ctx.Err() == nil {
			_ = c.SetReadDeadline(time.Now().Add(pace))
			if n, from, err := c.ReadFrom(b); err == nil {
				f.count(string(b[:n]), 1)
				peers[from.String()], last[from.String()] = from, time.Now()
			}
			for name, peer := range peers {
				if time.Since(last[name]) > time.Second {
					delete(peers, name)
				} else if answers {
					_, _ = c.WriteTo([]byte("answer to "+name), peer)
				}
			}
		}
	}
}

// accepts reads lines from connections and counts them; it answers each.
func (f *flows) accepts(address string) func(context.Context) {
	return func(ctx context.Context) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			f.count(err.Error(), 1)
			return
		}
		defer context.AfterFunc(ctx, func() { l.Close() })()
		var all sync.WaitGroup
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			all.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				b := make([]byte, 1000)
				for {
					_ = c.SetDeadline(time.Now().Add(time.Second))
					n, err := c.Read(b)
					if err != nil {
						return
					}
					for line := range strings.Lines(string(b[:n])) {
						f.count(strings.TrimSpace(line), 1)
					}
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
				}
			})
		}
		l.Close()
		all.Wait()
	}
}

// TestNothingPrivateLeaves looks at the uplink while a project comes and goes, and somebody outside, the host and a node of it go on
// sending, by flows that the kernel knows from before and by new ones. No packet there may have a private address.
func TestNothingPrivateLeaves(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	remote := h.outside()
	remote.Run("ip", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
	testhost.Run(t, "ip", "address", "add", "2001:db8::1/64", "dev", "em3", "nodad")
	// With a way to the outside for all, as a host has: what has lost its own way leaves by the uplink.
	testhost.Run(t, "ip", "route", "add", "default", "via", "203.0.113.130")
	testhost.Run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8::2")
	h.file = h.put(t.TempDir(), "leak", leaking)

	wire := h.capture(remote)
	testhost.Run(t, "sh", "-c", "ping -c 1 -W 0.1 "+firstLure+" || true")
	wire.until(t, firstLure)

	through := &flows{seen: map[string]int{}}
	outsiders := newActors(t)
	var kinds []string
	send := func(netns, kind, to string, f func(kind, to string) func(context.Context)) {
		kind = "<" + kind + " " + to + ">"
		kinds = append(kinds, kind)
		outsiders.in(t, netns, f(kind, to))
	}
	one := func(kind, to string) func(context.Context) { return packets(kind, to, true) }
	each := func(kind, to string) func(context.Context) { return packets(kind, to, false) }
	for _, host := range []string{"203.0.113.129", "[2001:db8::1]"} {
		for where, netns := range map[string]string{"outside": remote.Netns(), "host": ""} {
			send(netns, "a flow of packets from "+where+" to", host+":9000", one)
			send(netns, "packets from "+where+" to", host+":9000", each)
			send(netns, "a stream from "+where+" to", host+":8080", stream)
		}
	}
	send("", "a stream from the host to", "127.0.0.1:8080", stream)
	outsiders.in(t, remote.Netns(), through.hears("203.0.113.130:7", true))
	outsiders.in(t, remote.Netns(), through.hears("[2001:db8::2]:7", true))
	outsiders.in(t, remote.Netns(), through.accepts(":8"))

	cycles, came := 4, 0
	if *whole {
		cycles = 100
	}
	for range cycles {
		h.must("up")
		node := newActors(t)
		const netns = "/run/netns/leak-a"
		node.in(t, netns, through.hears(":9000", false))
		node.in(t, netns, through.accepts(":8080"))
		out := []string{}
		for _, to := range []string{"203.0.113.130", "[2001:db8::2]"} {
			for kind, f := range map[string]func(kind, to string) func(context.Context){"a flow of packets": one, "packets": each} {
				kind = "<" + kind + " from the node to " + to + ">"
				out = append(out, kind)
				node.in(t, netns, f(kind, to+":7"))
			}
			kind := "<a stream from the node to " + to + ">"
			out = append(out, kind)
			node.in(t, netns, stream(kind, to+":8"))
		}
		testhost.Poll(t, func() error { return through.missing(append(out, kinds...)) })
		h.must("down")
		node.stop()
		came += through.reset()
	}
	outsiders.stop()
	testhost.Run(t, "sh", "-c", "ping -c 1 -W 0.1 "+secondLure+" || true")
	wire.until(t, secondLure)
	leaked := wire.without(firstLure, secondLure)
	for i, line := range leaked {
		if i < 10 {
			t.Errorf("on the uplink: %s", line)
		}
	}
	t.Logf("figure: nothing private leaves: %d cycles, %d packets and lines of %d flows came through, %d packets with a private address on the uplink",
		cycles, came, len(kinds)+6, len(leaked))
}

// capture is what tcpdump sees of private addresses on a wire.
type capture struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (h *host) capture(remote *testhost.RemoteMachine) *capture {
	h.Helper()
	c := &capture{}
	cmd := remote.Command("tcpdump", "-n", "-l", "--immediate-mode", "-i", "eth0", private)
	begun := &capture{}
	cmd.Stdout, cmd.Stderr = c, begun
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) && h.Context().Err() == nil {
			h.Error(err)
		}
	})
	begun.until(h.T, "listening on")
	return c
}

// until waits for a text.
func (c *capture) until(t *testing.T, text string) {
	t.Helper()
	testhost.Poll(t, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !strings.Contains(c.text.String(), text) {
			return fmt.Errorf("%q is not seen in:\n%s", text, tail(c.text.String()))
		}
		return nil
	})
}

// without lists the lines that have none of the words.
func (c *capture) without(words ...string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
line:
	for line := range strings.Lines(c.text.String()) {
		for _, w := range words {
			if strings.Contains(line, w) {
				continue line
			}
		}
		out = append(out, strings.TrimSpace(line))
	}
	return out
}
