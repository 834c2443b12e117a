package examples_test

import (
	"strings"
	"testing"

	"topo/internal/testhost"
)

// The truth table of published ports, row by row, on both kinds of iptables and on a host
// whose FORWARD policy lets nothing pass but what a rule allows.
func TestTruthTable(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		for _, policy := range []string{"ACCEPT", "DROP"} {
			name := map[bool]string{false: "nft", true: "legacy"}[legacy] + "/FORWARD " + policy
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if testhost.Outside(t) {
					return
				}
				if legacy {
					testhost.Legacy(t)
				}
				testhost.Run(t, "iptables", "-P", "FORWARD", policy)
				remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
				// A neighbour on the wire may claim any address; it has a route to every node and to our loopback.
				remote.Run("sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1")
				remote.Run("ip", "route", "add", "172.31.0.0/16", "via", "203.0.113.1")
				remote.Run("ip", "rule", "add", "priority", "1", "to", "127.0.0.1", "lookup", "99")
				remote.Run("ip", "rule", "add", "priority", "2", "lookup", "local")
				remote.Run("ip", "rule", "delete", "priority", "0")
				remote.Run("ip", "route", "add", "127.0.0.1", "via", "203.0.113.1", "dev", "eth0", "table", "99")
				l := start(t, "truth-table.yaml")
				table(l, remote, nil)
				l.down()
				if got := testhost.Run(t, "iptables", "-S", "FORWARD"); got != "-P FORWARD "+policy+"\n" {
					t.Errorf("afterwards FORWARD is %q", got)
				}
			})
		}
	}
}

// The same table by IPv6. On ::1 nothing is published.
func TestTruthTableIPv6(t *testing.T) {
	for _, policy := range []string{"ACCEPT", "DROP"} {
		t.Run("FORWARD "+policy, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			testhost.Run(t, "ip6tables", "-P", "FORWARD", policy)
			remote := testhost.Remote(t, "wan0", "2001:db8:113::1/64", "2001:db8:113::9/64")
			remote.Run("ip", "-6", "route", "add", "fd00:31::/32", "via", "2001:db8:113::1")
			l := start(t, "truth-table-ipv6.yaml")
			// Nobody waits for what ::1 can't have: a client goes on to 127.0.0.1.
			if out, err := testhost.Try(t, "curl", "--silent", "--show-error", "http://[::1]:8001/"); err == nil || !strings.Contains(err.Error(), "exit status 7") {
				t.Errorf("on ::1: %v %s, want it to be refused", err, out)
			}
			table(l, remote, addressing{
				"172.31.6.", "fd00:31:6::", "172.31.7.", "fd00:31:7::", "172.31.8.", "fd00:31:8::", "172.31.9.", "fd00:31:9::",
				"203.0.113.", "2001:db8:113::", "127.0.0.1", "::1", "truth-table-", "truth-table-ipv6-",
			})
			l.down()
			if got := testhost.Run(t, "ip6tables", "-S", "FORWARD"); got != "-P FORWARD "+policy+"\n" {
				t.Errorf("afterwards FORWARD is %q", got)
			}
		})
	}
}

// addressing is what stands for what of the IPv4 table, in pairs.
type addressing []string

func (a addressing) of(text string) string { return strings.NewReplacer(a...).Replace(text) }

// url is one of the IPv4 table's "ADDRESS:PORT" or "NAME:PORT".
func (a addressing) url(text string) string {
	host, port, _ := strings.Cut(text, ":")
	if host = a.of(host); strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "'http://" + host + ":" + port + "/'"
}

const hostIP = "203.0.113.1"

// table checks every row. Answers are the address that the server sees.
func table(l *lab, remote *testhost.RemoteMachine, as addressing) {
	const front, cell, inside = "172.31.6.2", "172.31.8.3", "172.31.9.3"
	type row struct {
		what, from, url string
		want            string // "" = any address; "no" = not reached
	}
	for _, r := range []row{
		{"host → 127.0.0.1:published", "host", "127.0.0.1:8001", ""},
		{"host → 127.0.0.1:published on loopback", "host", "127.0.0.1:8002", ""},
		{"host → hostIP:published", "host", hostIP + ":8001", ""},
		{"host → a node's IP and port", "host", front + ":8000", ""},
		{"host → the IP and port of a node on an icc off bridge", "host", cell + ":8000", ""},
		{"host → the IP and port of a node on an internal bridge", "host", inside + ":8000", ""},
		{"same bridge → any port, by IP", "front-peer", front + ":8000", "172.31.6.3"},
		{"same bridge → any port, by name", "front-peer", "front-web:8000", "172.31.6.3"},
		{"same bridge → hostIP:published", "front-peer", hostIP + ":8001", ""},
		{"internal bridge → peer", "inside-a", inside + ":8000", "172.31.9.2"},
		{"a node → its own published port", "front-web", hostIP + ":8001", ""},
		{"other bridge → hostIP:published", "back-peer", hostIP + ":8001", "172.31.7.2"},
		{"other bridge → hostIP:published of an icc off bridge", "back-peer", hostIP + ":8003", "172.31.7.2"},
		{"other bridge → node IP", "back-peer", front + ":8000", "no"},
		{"other bridge → internal bridge", "back-peer", inside + ":8000", "no"},
		{"other bridge → name", "back-peer", "front-web:8000", "no"},
		{"internal bridge → hostIP:published", "inside-a", hostIP + ":8001", "no"},
		{"internal bridge → other bridge", "inside-a", front + ":8000", "no"},
		{"remote machine → hostIP:published", "remote", hostIP + ":8001", "203.0.113.9"},
		{"remote machine → node IP", "remote", front + ":8000", "no"},
		{"remote machine → internal node IP", "remote", inside + ":8000", "no"},
		{"remote machine → hostIP:published on 127.0.0.1", "remote", hostIP + ":8002", "no"},
		{"remote machine → 127.0.0.1:published on 127.0.0.1", "remote", "127.0.0.1:8002", "no"},
		{"a node → 127.0.0.1 of the host, by its gateway", "front-peer", "172.31.6.1:8002", "no"},
		{"icc off: peer → peer", "cell-a", cell + ":8000", "no"},
		{"icc off: peer → hostIP:published", "cell-a", hostIP + ":8003", ""},
	} {
		if strings.HasPrefix(r.url, "127.0.0.1:") && as != nil {
			r.want = "no"
		}
		line := get(as.url(r.url))
		if r.want == "no" {
			line = strings.Replace(noGet(as.url(r.url)), "--output /dev/null ", "", 1)
		}
		var out string
		var err error
		switch r.from {
		case "host":
			out, err = testhost.Try(l.T, "sh", "-c", line)
		case "remote":
			out, err = remote.Try("sh", "-c", line)
		default:
			out, err = testhost.Try(l.T, "sh", "-c", as.of("ip netns exec truth-table-"+r.from)+" "+line)
		}
		out = strings.TrimSpace(out)
		switch {
		case r.want == "no" && err == nil:
			l.Errorf("%s: reached, as %s", r.what, out)
		case r.want != "no" && err != nil:
			l.Errorf("%s: %v", r.what, err)
		case r.want != "no" && r.want != "" && out != as.of(r.want):
			l.Errorf("%s: reached as %s, want %s", r.what, out, as.of(r.want))
		}
	}

	for what, line := range map[string]string{
		"a node → outside":             in("truth-table-front-peer", ping("203.0.113.9")),
		"another bridge → outside":     in("truth-table-back-peer", ping("203.0.113.9")),
		"icc off: peer → outside":      in("truth-table-cell-a", ping("203.0.113.9")),
		"internal bridge → the host":   in("truth-table-inside-a", ping("172.31.9.1")),
		"host → internal bridge":       ping("172.31.9.2"),
		"same bridge → peer, by ping":  in("truth-table-front-peer", ping("front-web")),
		"internal bridge, peer → peer": in("truth-table-inside-a", ping("inside-b")),
	} {
		if _, err := testhost.Try(l.T, "sh", "-c", as.of(line)); err != nil {
			l.Errorf("%s: %v", what, err)
		}
	}
	for what, line := range map[string]string{
		"internal bridge → outside":   in("truth-table-inside-a", noPing("203.0.113.9")),
		"icc off: peer → peer":        in("truth-table-cell-a", noPing("172.31.8.3")),
		"other bridge → node":         in("truth-table-back-peer", noPing(front)),
		"other bridge → name":         in("truth-table-back-peer", "getent hosts front-web"),
		"other bridge → the others":   in("truth-table-front-peer", "getent hosts cell-b"),
		"internal bridge → another's": in("truth-table-inside-a", noPing("172.31.7.2")),
	} {
		if out, err := testhost.Try(l.T, "sh", "-c", as.of(line)); err == nil {
			l.Errorf("%s: succeeded:\n%s", what, out)
		}
	}
	for what, argv := range map[string][]string{
		"remote machine → node":       {"ping", "-c", "1", "-W", "1", front},
		"remote machine → icc off":    {"ping", "-c", "1", "-W", "1", cell},
		"remote machine → an inside":  {"ping", "-c", "1", "-W", "1", inside},
		"remote machine → other node": {"ping", "-c", "1", "-W", "1", "172.31.7.2"},
	} {
		argv[len(argv)-1] = as.of(argv[len(argv)-1])
		if out, err := remote.Try(argv...); err == nil {
			l.Errorf("%s: succeeded:\n%s", what, out)
		}
	}
}
