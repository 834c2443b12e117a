package examples_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// A hub and two spokes: their keys are made, kept and never shown; a peer changes alone.
func TestVMWireGuard(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	testhost.Kernel(t, "CONFIG_WIREGUARD", "ip", "link", "add", "probe", "type", "wireguard")
	l := &lab{T: t, file: "wireguard.yaml", before: testhost.Machine(t)}
	said := l.topo("plan") + l.topo("plan", "--json")
	said += l.topo("up", "--wait")
	l.settled()
	l.sh(in("wireguard-a", ping("10.99.0.1")))
	meet := func() { // b says where it is at once, and where that was too early, after five seconds
		t.Helper()
		testhost.Poll(t, func() error {
			_, err := testhost.Try(t, "sh", "-c", in("wireguard-a", noPing("10.99.0.3")))
			return err
		})
	}
	meet()
	l.shows(in("wireguard-hub", "wg show wg0 listen-port"), "51820")
	l.shows(in("wireguard-b", "wg show wg0 persistent-keepalive"), "25")
	l.shows("ip -n wireguard-hub -d link show wg0", "mtu 1420", "wireguard")

	// Nothing says a private key.
	said += l.topo("plan", "--json") + l.topo("config") + l.topo("inspect", "hub") + l.topo("inspect", "hub", "--json") + l.topo("up")
	said += l.sh("cat $(find /run/topo -type f)")
	keys := strings.Fields(l.sh("cat /var/lib/topo/keys/wireguard/*"))
	if len(keys) != 3 {
		t.Fatalf("%d keys, want 3", len(keys))
	}
	for _, key := range keys {
		if strings.Contains(said, key) {
			t.Error("a private key was printed, or kept where it has no business")
		}
	}
	if modes := l.sh("stat -c %a /var/lib/topo/keys/wireguard/*"); modes != "600\n600\n600\n" {
		t.Errorf("modes of the keys: %q", modes)
	}
	hub := l.sh(in("wireguard-hub", "wg show wg0 public-key"))
	l.shows("topo=$("+in("wireguard-a", "wg show wg0 peers")+") && echo $topo", strings.TrimSpace(hub))
	l.shows(os.Getenv(binaryVariable)+" inspect -f wireguard.yaml hub", strings.TrimSpace(hub), "10.99.0.2/32")

	// Each part that somebody changes is put right alone.
	l.heal(in("wireguard-hub", "wg set wg0 listen-port 1234"), "~ wireguard/hub:wg0")
	l.heal(in("wireguard-hub", "wg set wg0 fwmark 9"), "~ wireguard/hub:wg0")
	l.heal("wg genkey > /tmp/other && "+in("wireguard-hub", "wg set wg0 private-key /tmp/other && rm /tmp/other"), "~ wireguard/hub:wg0")
	peer := "$(" + in("wireguard-a", "wg show wg0 peers") + ")"
	l.heal(in("wireguard-a", "wg set wg0 peer "+peer+" allowed-ips 10.0.0.0/8"), "~ peer/a:wg0/hub:wg0")
	l.heal(in("wireguard-a", "wg set wg0 peer "+peer+" persistent-keepalive 7"), "~ peer/a:wg0/hub:wg0")
	l.heal(in("wireguard-a", "wg set wg0 peer "+peer+" endpoint 192.0.2.1:7"), "~ peer/a:wg0/hub:wg0")
	l.heal("wg genpsk > /tmp/psk && "+in("wireguard-a", "wg set wg0 peer "+peer+" preshared-key /tmp/psk && rm /tmp/psk"), "~ peer/a:wg0/hub:wg0")
	l.heal(in("wireguard-a", "wg set wg0 peer "+peer+" remove"), "+ peer/a:wg0/hub:wg0")
	stranger := strings.TrimSpace(l.sh("wg genkey | wg pubkey"))
	l.heal(in("wireguard-hub", "wg set wg0 peer "+stranger+" allowed-ips 10.99.0.9/32"), "- peer/hub:wg0/"+stranger)
	// Where a peer is that has no endpoint in the file is its own affair.
	l.sh(in("wireguard-a", "wg set wg0 listen-port 4444") + " && " + in("wireguard-a", ping("10.99.0.1")))
	l.shows(in("wireguard-hub", "wg show wg0 endpoints"), "10.1.0.3:4444")
	l.settled()
	// The key stays whatever becomes of the interface and the node.
	l.sh("ip -n wireguard-hub link delete wg0")
	l.plans("no interface", "+ address/hub:wg0/10.99.0.1/24", "+ link/hub:wg0", "+ peer/hub:wg0/a:wg0", "+ peer/hub:wg0/b:wg0", "+ wireguard/hub:wg0")
	l.up()
	l.sh("ip netns delete wireguard-hub")
	l.up()
	if again := l.sh(in("wireguard-hub", "wg show wg0 public-key")); again != hub {
		t.Errorf("the hub has another key: %s, before %s", again, hub)
	}

	index := l.sh("ip -n wireguard-b -o link show wg0 | cut -d: -f1")
	l.edited("persistent_keepalive: 25", "persistent_keepalive: 15")
	l.plans("an edit of a peer", "~ peer/b:wg0/hub:wg0")
	l.up()
	if after := l.sh("ip -n wireguard-b -o link show wg0 | cut -d: -f1"); after != index {
		t.Errorf("the interface is another one: %s, before %s", after, index)
	}

	// A key of one's own, from a file: the peers learn of it. It is not topo's to remove.
	file := filepath.Join(filepath.Dir(l.file), "hub.key")
	l.sh("umask 077 && wg genkey > " + file)
	l.edited("listen_port: 51820", "listen_port: 51820, private_key_file: "+file)
	l.plans("a key from a file", "- key/hub:wg0", "~ wireguard/hub:wg0",
		"± peer/a:wg0/hub:wg0", "± peer/b:wg0/hub:wg0")
	l.up()
	meet()
	l.down()
}
