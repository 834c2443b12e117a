package linux

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

const project = "lab"

func open(t testing.TB) *Host {
	t.Helper()
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func do(t testing.TB, h *Host, ops ...kernel.Op) {
	t.Helper()
	if err := h.Do(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
}

// refused carries out an op that must fail with the error.
func refused(t testing.TB, h *Host, want error, op kernel.Op) *kernel.OpError {
	t.Helper()
	err := h.Do(t.Context(), []kernel.Op{op})
	var failed *kernel.OpError
	if !errors.As(err, &failed) || !errors.Is(err, want) || failed.Op.String() != op.String() {
		t.Fatalf("%s: error %v, want %v of this op", op, err, want)
	}
	return failed
}

func snapshot(t testing.TB, h *Host, keys ...kernel.SysctlKey) kernel.Snapshot {
	t.Helper()
	s, err := h.Snapshot(t.Context(), kernel.Query{Project: project, Sysctls: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func settle(t testing.TB, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.Settle(ctx, kernel.Query{Project: project}); err != nil {
		t.Fatal(err)
	}
}

// unchanged fails the test unless the machine is as it was, once the kernel has done what it does later.
func unchanged(t testing.TB, before string) {
	t.Helper()
	testhost.Poll(t, func() error {
		after := testhost.Machine(t)
		if after == before {
			return nil
		}
		return errors.New("the machine changed:\n" + firstDifference(before, after))
	})
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range as {
		if i >= len(bs) || as[i] != bs[i] {
			return strings.Join(as[i:min(i+5, len(as))], "\n") + "\n-- is now\n" + strings.Join(bs[min(i, len(bs)):min(i+5, len(bs))], "\n")
		}
	}
	return strings.Join(bs[len(as):], "\n")
}

func netnsOf(t testing.TB, s kernel.Snapshot, name string) kernel.Netns {
	t.Helper()
	if name == "" {
		return s.Host
	}
	for _, n := range s.Netns {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("no namespace %s in the snapshot", name)
	return kernel.Netns{}
}

func linkOf(t testing.TB, n kernel.Netns, name string) kernel.Link {
	t.Helper()
	for _, l := range n.Links {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no link %s in namespace %q", name, n.Name)
	return kernel.Link{}
}

func mark(id string) string { return kernel.Mark{Project: project, ID: id}.String() }

var group = kernel.Group(project)

func ptr[T any](v T) *T { return &v }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// node is the ops that make a namespace on the bridge br with an address and a default route.
func node(name, bridge, address, gateway string) []kernel.Op {
	return []kernel.Op{
		kernel.NetnsAdd{Name: name, Alias: mark("netns/" + name), Group: group},
		kernel.VethAdd{
			A: kernel.VethEnd{Name: "v" + name, MTU: 1500, Group: group, Up: true, Master: bridge, Alias: mark("port/" + name + ":eth0")},
			B: kernel.VethEnd{Netns: name, Name: "eth0", MTU: 1500, Group: group, Up: true, Alias: mark("link/" + name + ":eth0")},
		},
		kernel.AddrAdd{Netns: name, Link: "eth0", Prefix: prefix(address)},
		kernel.RouteReplace{Netns: name, Dst: prefix("0.0.0.0/0"), Via: addr(gateway), Link: "eth0", Table: kernel.TableMain},
	}
}

func bridge(name string) []kernel.Op {
	return []kernel.Op{
		kernel.BridgeAdd{Name: name, MAC: "02:00:00:00:00:01", MTU: 1500, Group: group},
		kernel.LinkSet{Name: name, Alias: ptr(mark("bridge/" + name))},
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// creating says whether this process is the one that a test starts to kill it.
func creating() bool { return os.Getenv("TOPO_CREATE") != "" }

// announce tells the test that started this process.
func announce(s string) { _, _ = os.Stdout.WriteString(s + "\n") }
