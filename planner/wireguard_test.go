package planner_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

const (
	givenKey = "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU="
	otherKey = "c2VlIHlvdSBzZWUgeW91IHNlZSB5b3Ugc2VlIHlvdSE="
)

var tunnelYAML = `
name: p
bridges:
  app: {subnet: 10.1.0.0/24}
namespaces:
  hub:
    bridges: [app]
    interfaces:
      wg0: {type: wireguard, listen_port: 51820, address: 10.99.0.1/24, peers: [a, b]}
  a:
    bridges: [app]
    interfaces:
      wg0: {type: wireguard, private_key: "` + givenKey + `", address: 10.99.0.2/24, peers: [{node: hub, preshared_key: "` + givenKey + `"}]}
  b:
    interfaces:
      wg0: {type: wireguard, private_key_file: b.key, address: 10.99.0.3/24, peers: {hub: {endpoint: "10.1.0.9:5"}, far: {public_key: "` + otherKey + `", allowed_ips: 10.98.0.0/24}}}
`

// tunnels is a lab of these on a machine that has the file with b's key.
func tunnels(t *testing.T) *lab {
	l := &lab{t: t, m: fake.New()}
	l.m.PutKeyFile("/p/b.key", kernel.Secret{7})
	l.load(tunnelYAML)
	return l
}

// Interfaces that swap their ports, or take over that of one that goes, found it in use.
func TestListenPortIsLetGoFirst(t *testing.T) {
	const yaml = `
name: p
namespaces: {n: {interfaces: {w0: {type: wireguard, listen_port: 5000}, w1: {type: wireguard, listen_port: 5001}}}}
`
	testEdits(t, yaml, func(t *testing.T) *lab { return on(t, yaml) }, map[string]edit{
		"in a swap": {
			replace: []string{"w0: {type: wireguard, listen_port: 5000}", "w0: {type: wireguard, listen_port: 5001}", "w1: {type: wireguard, listen_port: 5001}", "w1: {type: wireguard, listen_port: 5000}"},
			want:    []string{"± wireguard/n:w0 listen_port 5000 → 5001 edited", "± wireguard/n:w1 listen_port 5001 → 5000 edited"},
			ops:     []string{"ip netns exec p-n wg set w1 listen-port 0"},
		},
		"in a row": {
			replace: []string{"5001", "5002", "5000", "5001"},
			want:    []string{"± wireguard/n:w0 listen_port 5000 → 5001 edited", "± wireguard/n:w1 listen_port 5001 → 5002 edited"},
		},
		"by one that goes": {
			replace: []string{"w0: {type: wireguard, listen_port: 5000}, ", "", "5001", "5000"},
			want:    []string{"- link/n:w0 not in the file", "- key/n:w0 not in the file", "~ wireguard/n:w1 listen_port 5001 → 5000 edited"},
		},
		"to no other": {
			replace: []string{"5001", "5002"},
			want:    []string{"~ wireguard/n:w1 listen_port 5001 → 5002 edited"},
		},
	})
}

// The plan of a change of a WireGuard has that change and no other; up takes it.
func TestWireGuardChanges(t *testing.T) {
	public := func(key string) string {
		s, err := kernel.ParseSecret(key)
		if err != nil {
			t.Fatal(err)
		}
		return s.Public()
	}
	filed := kernel.Secret{7}
	hub := func(p kernel.PeerSet) kernel.Op { p.Netns, p.Link = "p-hub", "wg0"; return p }
	mark := uint32(9)
	testEdits(t, tunnelYAML, func(t *testing.T) *lab { l := tunnels(t); l.up(); return l }, map[string]edit{
		"another port": {
			replace: []string{"51820", "51821"},
			want:    []string{"~ wireguard/hub:wg0 listen_port 51820 → 51821 edited", "~ peer/a:wg0/hub:wg0 endpoint 10.1.0.2:51820 → 10.1.0.2:51821 edited"},
		},
		"a mark of somebody's": {
			foreign: []kernel.Op{kernel.WireGuardSet{Netns: "p-a", Link: "wg0", FwMark: &mark}},
			want:    []string{"~ wireguard/a:wg0 fwmark 9 → 0 changed outside topo"},
		},
		"a peer less": {replace: []string{"[a, b]", "[a]"}, want: []string{"- peer/hub:wg0/b:wg0 not in the file"}},
		"a peer that somebody removed": {
			foreign: []kernel.Op{kernel.PeerDelete{Netns: "p-hub", Link: "wg0", PublicKey: filed.Public()}},
			want:    []string{"+ peer/hub:wg0/b:wg0 allowed 10.99.0.3/32 missing"},
		},
		"a peer that somebody added": {
			foreign: []kernel.Op{hub(kernel.PeerSet{PublicKey: otherKey})},
			want:    []string{"- peer/hub:wg0/" + otherKey + " not in the file"},
		},
		"a peer that somebody changed": {
			foreign: []kernel.Op{hub(kernel.PeerSet{PublicKey: filed.Public(), Keepalive: 5})},
			want:    []string{"~ peer/hub:wg0/b:wg0 allowed_ips none → 10.99.0.3/32, persistent_keepalive 5 → 0 changed outside topo"},
		},
		"another preshared key": {
			replace: []string{`preshared_key: "` + givenKey, `preshared_key: "` + otherKey},
			want:    []string{"~ peer/a:wg0/hub:wg0 preshared_key " + secretOf(givenKey).Print() + " → " + secretOf(otherKey).Print() + " edited"},
		},
		"another private key": {
			replace: []string{`private_key: "` + givenKey, `private_key: "` + otherKey},
			want: []string{
				"~ wireguard/a:wg0 public_key " + public(givenKey) + " → " + public(otherKey) + " edited",
				"± peer/hub:wg0/a:wg0 public_key " + public(givenKey) + " → " + public(otherKey) + " edited",
			},
		},
		"a made key in the place of one's own": {
			replace: []string{`private_key: "` + givenKey + `", `, ""},
			want: []string{
				"+ key/a:wg0 made once, and kept missing", "~ wireguard/a:wg0 public_key " + public(givenKey) + " → known when made edited",
				"± peer/hub:wg0/a:wg0 public_key " + public(givenKey) + " → known when made edited",
			},
		},
		"a crash came before the key": {
			foreign: []kernel.Op{
				kernel.LinkDelete{Netns: "p-hub", Name: "wg0"},
				kernel.LinkAdd{Netns: "p-hub", Name: "wg0", Kind: "wireguard", MTU: 1420, Group: kernel.Group("p"), Up: true},
				kernel.KeyDelete{Project: "p", Name: "hub:wg0"},
			},
			want: []string{
				"- peer/b:wg0/haF0JIzu5fPBjFvORjN3bnDaMlH6heFmgJ1g023T6jU= not in the file",
				"- peer/a:wg0/haF0JIzu5fPBjFvORjN3bnDaMlH6heFmgJ1g023T6jU= not in the file",
				"+ key/hub:wg0 made once, and kept missing",
				"~ wireguard/hub:wg0 public_key none → known when made, listen_port any → 51820 edited",
				"+ address/hub:wg0/10.99.0.1/24 missing",
				"+ peer/a:wg0/hub:wg0 at 10.1.0.2:51820, allowed 10.99.0.1/32 missing",
				"+ peer/b:wg0/hub:wg0 at 10.1.0.9:5, allowed 10.99.0.1/32 missing",
				"+ peer/hub:wg0/a:wg0 allowed 10.99.0.2/32 missing",
				"+ peer/hub:wg0/b:wg0 allowed 10.99.0.3/32 missing",
			},
		},
		"the interface is gone": {
			foreign: []kernel.Op{kernel.LinkDelete{Netns: "p-hub", Name: "wg0"}},
			want: []string{
				"+ link/hub:wg0 wireguard missing", "+ wireguard/hub:wg0 …", "+ address/hub:wg0/10.99.0.1/24 missing",
				"+ peer/hub:wg0/a:wg0 allowed 10.99.0.2/32 missing", "+ peer/hub:wg0/b:wg0 allowed 10.99.0.3/32 missing",
			},
		},
	})
}

func secretOf(text string) kernel.Secret {
	s, _ := kernel.ParseSecret(text)
	return s
}

// Where a peer was heard last is no change, where the file doesn't say where it is.
func TestAPeerRoams(t *testing.T) {
	l := tunnels(t)
	l.up()
	for _, n := range l.options().Snapshot.Netns {
		for _, link := range n.Links {
			if n.Name != "p-hub" || link.WireGuard == nil {
				continue
			}
			for _, p := range link.WireGuard.Peers {
				op := kernel.PeerSet{Netns: "p-hub", Link: "wg0", PublicKey: p.PublicKey, AllowedIPs: p.AllowedIPs, Endpoint: netip.MustParseAddrPort("192.0.2.9:7")}
				if err := l.m.Foreign(op); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if got := lines(l.plan()); len(got) > 0 {
		t.Errorf("the plan has %q", got)
	}
}

// A key is kept as long as its interface is in the file, and nothing of it is left behind; a file of somebody's is.
func TestKeysGoWithTheProject(t *testing.T) {
	before := fake.New().String()
	l := tunnels(t)
	l.up()
	l.top = nil
	l.up()
	if diff := cmp.Diff(before, l.m.String()); diff != "" {
		t.Error(diff)
	}
}

// Whatever prints a plan, or what it is made of, there is no key in it.
func TestNoKeyIsPrinted(t *testing.T) {
	l := tunnels(t)
	p := l.plan()
	document, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	topology, err := json.Marshal(l.top)
	if err != nil {
		t.Fatal(err)
	}
	var ops strings.Builder
	for _, s := range p.Steps {
		for _, op := range s.Ops {
			for _, format := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s", "%q"} {
				fmt.Fprintf(&ops, format+"\n", op)
			}
			text, err := json.Marshal(op)
			if err != nil {
				t.Fatal(err)
			}
			ops.Write(text)
		}
	}
	said := p.Text(planner.TextOptions{Commands: true}) + string(document) + string(topology) + ops.String() + printed(l.top)
	bytes, err := base64.StdEncoding.DecodeString(givenKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{givenKey, string(bytes), fmt.Sprintf("%x", bytes), strings.Trim(fmt.Sprintf("%d", bytes), "[]"), strings.Trim(fmt.Sprintf("%#v", bytes), "[]byte{}")} {
		if strings.Contains(said, form) {
			t.Errorf("the key is printed, as %q", form)
		}
	}
	for r, text := range l.plan().Remember() {
		if strings.Contains(r+text, givenKey) {
			t.Errorf("the key is remembered: %s %s", r, text)
		}
	}
}

func printed(t *spec.Topology) string {
	var b strings.Builder
	for _, i := range t.Interfaces {
		for _, format := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s", "%q"} {
			fmt.Fprintf(&b, format+"\n", *i.WireGuard)
		}
	}
	return b.String()
}

// A file that has no key is a mistake of the plan, and what is in it is not said.
func TestNoKeyInTheFile(t *testing.T) {
	l := &lab{t: t, m: fake.New()}
	l.load(tunnelYAML)
	_, err := planner.Build(l.options())
	if want := "p.yaml:16:7: private_key_file /p/b.key: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
