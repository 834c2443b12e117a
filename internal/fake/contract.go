package fake

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"topo/executor"
	"topo/internal/kernel"
)

// Contract is how a machine behaves: what its edits do, what they refuse, what a reading shows.
// It is run against [Machine] and against Linux, so that the one can't drift from the other. Each
// case gets a machine of its own from open, with lo up; nil where the case is run by another process
// (internal/testhost). Processes are not part of it.
func Contract(t *testing.T, open func(*testing.T) executor.Machine) {
	for _, c := range []struct {
		name string
		run  func(*host)
	}{
		{"namespace", contractNetns},
		{"namespace of others", contractForeignNetns},
		{"namespace deleted", contractNetnsCascade},
		{"veth", contractVeth},
		{"veth refused leaves nothing", contractVethRefused},
		{"link attributes", contractLinkSet},
		{"bridge", contractBridge},
		{"bridge keeps what was set", contractBridgePinned},
		{"bridge port", contractPort},
		{"parameters of a bridge", contractBridgeParameters},
		{"parameters of a port", contractPortParameters},
		{"bridge in a namespace", contractBridgeInNetns},
		{"bridge deleted", contractBridgeCascade},
		{"VLANs of bridges and ports", contractVLAN},
		{"static entries of a bridge", contractFDB},
		{"group delete", contractGroup},
		{"rate of a link", contractTBF},
		{"delay and loss of a link", contractNetem},
		{"links of other kinds", contractKinds},
		{"a second link that does the same", contractTwins},
		{"what stands on another link", contractParents},
		{"members of bonds and VRFs", contractMembers},
		{"remote ends of a VXLAN", contractRemotes},
		{"a WireGuard, its key and its peers", contractWireGuard},
		{"card of a bridge", contractUplink},
		{"card in a namespace", contractCard},
		{"address", contractAddr},
		{"secondary address", contractSecondary},
		{"address on a link that goes down", contractAddrDown},
		{"IPv6 address on a small MTU", contractSmallMTU},
		{"link-local address", contractLinkLocal},
		{"route", contractRoute},
		{"route refused", contractRouteRefused},
		{"routes that the kernel removes", contractRouteCascade},
		{"routes of every form", contractRouteForms},
		{"policy rules", contractPolicyRules},
		{"router advertisements", contractAdvertisements},
		{"routes of every form that the kernel removes", contractRouteFormsCascade},
		{"sysctl", contractSysctl},
		{"forwarding", contractForwarding},
		{"iptables", contractIptables},
		{"iptables refused leaves nothing", contractIptablesRefused},
		{"iptables rules read back", contractIptablesCanonical},
		{"file", contractFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m := open(t); m != nil {
				c.run(&host{t, m})
			}
		})
	}
}

const contractProject = "contract"

// host is a machine under test. Its methods fail the test where the machine does not do as told.
type host struct {
	*testing.T
	machine executor.Machine
}

func (h *host) do(ops ...kernel.Op) {
	h.Helper()
	if err := h.machine.Do(h.Context(), ops); err != nil {
		h.Fatalf("do: %v", err)
	}
}

// refuse expects an edit to fail with an errno (0: any) and to be named in the error.
func (h *host) refuse(want syscall.Errno, op kernel.Op) {
	h.Helper()
	err := h.machine.Do(h.Context(), []kernel.Op{op})
	var failure *kernel.OpError
	switch {
	case err == nil:
		h.Errorf("%s: succeeded, want %v", op, want)
	case !errors.As(err, &failure):
		h.Errorf("%s: error %v (%T) is no *kernel.OpError", op, err, err)
	case want != 0 && !errors.Is(err, want):
		h.Errorf("%s: error %v, want %v", op, failure.Err, want)
	}
}

func (h *host) read(keys ...kernel.SysctlKey) kernel.Snapshot {
	h.Helper()
	s, err := h.machine.Snapshot(h.Context(), kernel.Query{Project: contractProject, Sysctls: keys})
	if err != nil {
		h.Fatalf("snapshot: %v", err)
	}
	return s
}

// builtWithout reports whether the machine was built without an option.
func (h *host) builtWithout(option string) bool {
	h.Helper()
	s, err := h.machine.Snapshot(h.Context(), kernel.Query{Options: []string{option}})
	if err != nil {
		h.Fatal(err)
	}
	return slices.Contains(s.Lacking, option)
}

// lacks reports whether the machine's kernel was built without an option, and if so that what needs it is refused.
func (h *host) lacks(option string, op kernel.Op) bool {
	h.Helper()
	if !h.builtWithout(option) {
		return false
	}
	h.refuse(syscall.EOPNOTSUPP, op)
	return true
}

func (h *host) settle() {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 20*time.Second)
	defer cancel()
	if err := h.machine.Settle(ctx, kernel.Query{Project: contractProject}); err != nil {
		h.Fatalf("settle: %v", err)
	}
}

// netns is a namespace that must be there.
func (h *host) netns(name string) kernel.Netns {
	h.Helper()
	s := h.read()
	if name == "" {
		return s.Host
	}
	for _, n := range s.Netns {
		if n.Name == name {
			return n
		}
	}
	h.Fatalf("no namespace %s", name)
	return kernel.Netns{}
}

func (h *host) hasNetns(name string) bool {
	return slices.ContainsFunc(h.read().Netns, func(n kernel.Netns) bool { return n.Name == name })
}

func (h *host) find(netns, name string) (kernel.Link, bool) {
	h.Helper()
	for _, l := range h.netns(netns).Links {
		if l.Name == name {
			return l, true
		}
	}
	return kernel.Link{}, false
}

func (h *host) link(netns, name string) kernel.Link {
	h.Helper()
	l, ok := h.find(netns, name)
	if !ok {
		h.Fatalf("no link %q:%s", netns, name)
	}
	return l
}

func (h *host) noLink(netns, name string) {
	h.Helper()
	if _, ok := h.find(netns, name); ok {
		h.Errorf("link %q:%s is there", netns, name)
	}
}

// oper expects one of some operational states. Linux gets there in its own time (linkwatch_schedule_work: up to a second).
func (h *host) oper(netns, name string, want ...string) {
	h.Helper()
	const limit, pause = 5 * time.Second, 5 * time.Millisecond
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		got := h.link(netns, name).Oper
		if slices.Contains(want, got) {
			return
		}
		if time.Now().After(end) {
			h.Errorf("operational state of %q:%s: %s, want %v", netns, name, got, want)
			return
		}
	}
}

// addrs is what somebody gave a link; those of the kernel itself are left out.
func (h *host) addrs(netns, link string) []string {
	h.Helper()
	var found []string
	for _, a := range h.netns(netns).Addrs {
		if a.Link == link && !a.Kernel {
			found = append(found, a.Prefix.String())
		}
	}
	slices.Sort(found)
	return found
}

func (h *host) route(netns, dst string, metric int) (kernel.Route, bool) {
	h.Helper()
	for _, r := range h.netns(netns).Routes {
		if r.Dst == netip.MustParsePrefix(dst) && r.Metric == metric && r.Type == "unicast" {
			return r, true
		}
	}
	return kernel.Route{}, false
}

func (h *host) hasRoute(netns, dst string, metric int, want bool) {
	h.Helper()
	if _, ok := h.route(netns, dst, metric); ok != want {
		h.Errorf("route %s metric %d in %q: there %t, want %t; all: %v", dst, metric, netns, ok, want, h.netns(netns).Routes)
	}
}

func equal[T any](h *host, what string, got, want T) {
	h.Helper()
	if !deepEqual(got, want) {
		h.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func ref[T any](v T) *T { return &v }

func contractMark(id string) string { return kernel.Mark{Project: contractProject, ID: id}.String() }

var contractGroupNumber = kernel.Group(contractProject)

// addNetns makes namespaces of the project.
func (h *host) addNetns(names ...string) {
	h.Helper()
	for _, name := range names {
		h.do(kernel.NetnsAdd{Name: name, Alias: contractMark("netns/" + name), Group: contractGroupNumber})
	}
}

// wire makes two namespaces, a and b, and a veth between them, up: a:eth0 and b:eth0.
func (h *host) wire() {
	h.Helper()
	h.addNetns("a", "b")
	h.do(kernel.VethAdd{
		A: kernel.VethEnd{Netns: "a", Name: "eth0", MAC: "02:00:00:00:00:0a", Group: contractGroupNumber, Up: true, Alias: contractMark("link/a:eth0")},
		B: kernel.VethEnd{Netns: "b", Name: "eth0", MAC: "02:00:00:00:00:0b", Group: contractGroupNumber, Up: true, Alias: contractMark("link/b:eth0")},
	})
}
