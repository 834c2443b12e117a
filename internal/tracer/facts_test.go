package tracer_test

import (
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

func facts(t *testing.T, script string) []string {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	r, err := tracer.Run(t.Context(), tracer.Program{Args: []string{sh, "-c", script}, Facts: true}, pass)
	if err != nil {
		t.Fatal(err)
	}
	return r.Facts
}

// Two programs that do the same have the same facts, however much each says in one message.
func TestFactsAreTheSmallestParts(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Run(t, "ip", "netns", "add", "n")
	one := facts(t, "ip link add near mtu 1400 group 7 up type veth peer name far netns n; ip link delete near")
	parts := facts(t, "ip link add near type veth peer name far netns n; ip link set near up; ip link set near group 7; ip link set near mtu 1400; ip link delete near")
	if diff := cmp.Diff(one, parts); diff != "" {
		t.Errorf("-at once +one after the other:\n%s", diff)
	}
	want := []string{"host: delete link near", "host: near group 7", "host: near made veth", "host: near mtu 1400", "host: near up true", "n: far made"}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFactsTellOneChangeFromAnother(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Run(t, "ip", "link", "add", "br0", "up", "type", "bridge")
	seen := map[string]string{}
	for _, line := range []string{
		"ip address add 10.0.0.1/24 dev br0", "ip address add 10.0.0.1/25 dev br0", "ip address add 10.0.0.2/24 dev br0",
		"ip route add 10.1.0.0/16 dev br0", "ip route add 10.1.0.0/16 dev br0 table 7", "ip route add 10.1.0.0/16 dev br0 metric 5",
		"ip route add 10.2.0.0/16 via 10.0.0.9 dev br0", "ip rule add priority 7 table 7", "ip rule add priority 8 table 7",
		"ip link set br0 mtu 1400", "ip link set br0 mtu 1300", "ip link set br0 type bridge priority 4096", "sysctl -w net.ipv4.ip_forward=1",
		"iptables-nft -A FORWARD -j DROP", "iptables-nft -A FORWARD -s 10.0.0.1 -j DROP", "iptables-nft -N X", "tc qdisc add dev br0 root tbf rate 1mbit burst 10k limit 10k",
		"bridge fdb add 02:00:00:00:00:01 dev br0 self", "bridge fdb add 02:00:00:00:00:02 dev br0 self",
	} {
		got := facts(t, line)
		if len(got) == 0 {
			t.Errorf("%s is not seen", line)
		}
		text := ""
		for _, f := range got {
			text += f + "\n"
		}
		if other, ok := seen[text]; ok {
			t.Errorf("%s and %s look the same: %s", line, other, text)
		}
		seen[text] = line
	}
}

// What the kernel refuses is no fact.
func TestFactsLeaveOutWhatIsRefused(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	if got := facts(t, "ip route add 10.1.0.0/16 via 10.9.9.9; ip link add lo type bridge; true"); len(got) > 0 {
		t.Errorf("these were refused: %q", got)
	}
}
