package reliability_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"topo/internal/testhost"
)

// live is a project with a flow between a and b, and one from a to the outside; the rest comes after it.
const live = `name: live
bridges:
  app: {subnet: 10.77.0.0/24}
  %[1]s: {subnet: 10.78.%[2]d.0/24}
namespaces:
  a: {bridges: {app: {address: 10.77.0.2}}}
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

// TestLiveTraffic has packets with numbers flow between two nodes, and from a node through the host to the outside, while up
// makes, changes and removes other nodes, bridges and ports of the project and of another. All sent must be answered.
func TestLiveTraffic(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	h.outside()
	dir := t.TempDir()
	files := []string{h.put(dir, "one", fmt.Sprintf(live, "c", 10)), h.put(dir, "two", fmt.Sprintf(live, "d", 20))}
	neighbour := []string{h.put(dir, "other", other)}
	h.allMust(files[:1], "up")
	for _, to := range []string{"10.77.0.3", "203.0.113.130"} { // the neighbour is known from here on
		testhost.Run(t, "ip", "netns", "exec", "live-a", "ping", "-c", "1", "-W", "5", to)
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
	h.allMust(files[:1], "down")
	t.Logf("figure: live traffic: %d packets through the bridge and to the outside during %d runs of up and down of others, 0 lost", sent, changed)
}
