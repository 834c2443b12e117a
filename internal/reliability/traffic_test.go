package reliability_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"topo/internal/testhost"
)

// live is a project with flows between a and b, from a to the outside, and to ports of a; the rest comes after it.
const live = `name: live
bridges:
  app: {subnet: 10.77.0.0/24}
  %[1]s: {subnet: 10.78.%[2]d.0/24}
namespaces:
  a: {bridges: {app: {address: 10.77.0.2}}, ports: ["9000:9000/udp", "8080:8080"]}
  b: {bridges: {app: {address: 10.77.0.3}}}
  %[1]s: {bridges: [app, %[1]s], ports: ["%[2]d:80"]}
`

const other = "name: other\nbridges: {app: {}}\nnamespaces:\n  web: {bridges: [app], ports: [\"80\"]}\n"

// outside is a machine on the wire of the host's uplink, which the host forwards to.
func (h *host) outside() *testhost.RemoteMachine {
	h.Helper()
	return testhost.Remote(h.T, "em3", "203.0.113.129/25", "203.0.113.130/25")
}

// put writes a topology into a file of the test's folder.
func (h *host) put(dir, name, text string) string {
	h.Helper()
	path := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	return path
}

var pinged = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// asking sends one packet or line after the other, and waits for the answer to each. One socket does it all: a connection that
// ends, or is led elsewhere, is lost.
type asking struct {
	name     string
	answered int
	lost     error
}

// ask goes on until the context is done or an answer fails to come.
func (a *asking) ask(network, to string) func(context.Context) {
	return func(ctx context.Context) {
		a.lost = a.all(ctx, network, to)
	}
}

func (a *asking) all(ctx context.Context, network, to string) error {
	conn, err := net.Dial(network, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	b := make([]byte, 100)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		asked := fmt.Sprintf("%d\n", a.answered)
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, asked); err != nil {
			return err
		}
		if n, err := conn.Read(b); err != nil || string(b[:n]) != asked {
			return fmt.Errorf("%q is answered with %q: %w", asked, b[:n], err)
		}
		a.answered++
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// echo answers packets.
func echo(address string) func(context.Context) {
	return func(ctx context.Context) {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			return // nobody is answered then
		}
		defer context.AfterFunc(ctx, func() { c.Close() })()
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				_, _ = c.WriteTo(b[:n], from) // what is lost, the one who asks says
			}
		}
	}
}

// TestLiveTraffic has packets with numbers flow between two nodes, from a node through the host to the outside, and to published
// ports, by UDP and TCP, while up makes, changes and removes other nodes, bridges and ports of the project and of another. All sent
// must be answered.
func TestLiveTraffic(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	remote := h.outside()
	dir := t.TempDir()
	files := []string{h.put(dir, "one", fmt.Sprintf(live, "c", 10)), h.put(dir, "two", fmt.Sprintf(live, "d", 20))}
	neighbour := []string{h.put(dir, "other", other)}
	h.allMust(files[:1], "up")
	for _, to := range []string{"10.77.0.3", "203.0.113.130"} { // the neighbour is known from here on
		testhost.Run(t, "ip", "netns", "exec", "live-a", "ping", "-c", "1", "-W", "5", to)
	}
	const node = "/run/netns/live-a"
	servers, clients := newActors(t), newActors(t)
	servers.in(t, node, echo(":9000"))
	servers.in(t, node, (&flows{seen: map[string]int{}}).accepts(":8080"))
	var ports []*asking
	for where, netns := range map[string]string{"outside": remote.Netns(), "the host": ""} {
		for network, port := range map[string]string{"udp": "9000", "tcp": "8080"} {
			a := &asking{name: network + " from " + where}
			ports = append(ports, a)
			testhost.Poll(t, func() error { // once it is heard
				once, end := context.WithCancel(t.Context())
				end()
				first := &asking{}
				return first.all(once, network, "203.0.113.129:"+port)
			})
			clients.in(t, netns, a.ask(network, "203.0.113.129:"+port))
		}
	}
	runs := 6
	if *whole {
		runs = 100
	}
	sent, changed := 0, 0
	for changed < runs {
		var flows []chan string
		for _, to := range []string{"10.77.0.3", "203.0.113.130"} {
			flow := make(chan string, 1)
			flows = append(flows, flow)
			go func() {
				out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", "live-a",
					"ping", "-q", "-i", "0.002", "-c", "1500", "-W", "2", to).CombinedOutput()
				if err != nil {
					out = append(out, err.Error()...)
				}
				flow <- string(out)
			}()
		}
		h.allMust(files[1:], "up")
		h.allMust(neighbour, "up")
		h.allMust(files[:1], "up")
		h.allMust(neighbour, "down")
		changed += 4
		for _, flow := range flows {
			out := <-flow
			m := pinged.FindStringSubmatch(out)
			if m == nil || m[1] != m[2] {
				t.Fatalf("packets are lost while others change:\n%s", out)
			}
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
	}
	clients.stop()
	servers.stop()
	asked := 0
	for _, a := range ports {
		if a.lost != nil || a.answered < changed {
			t.Errorf("to a published port, %s: lost while others change, after %d answers: %v", a.name, a.answered, a.lost)
		}
		asked += a.answered
	}
	h.allMust(files[:1], "down")
	t.Logf("figure: live traffic: %d packets through the bridge and to the outside, and %d asked and answered by %d flows through published ports, "+
		"during %d runs of up and down of others, 0 lost", sent, asked, len(ports), changed)
}
