package planner

import (
	"fmt"
	"net/netip"
	"strings"

	"topo/internal/kernel"
	"topo/spec"
)

// fence keeps what the kernel translates (published ports, masquerading) within the bridge of the subnet that it leads to: while
// the bridge is not up yet, or is gone already, the host has no route there, and such packets would leave by the uplink. Once
// the bridge and the rules that translate are gone, the kernel forgets the connections that it still translates, and the fence goes.
var fenceKind = Kind{Name: "fence", Desire: desireFences, Observe: observeFences}

// fenceID names the fence of a bridge's subnet: that of another subnet is another one, which stands while both are there.
func fenceID(bridge string, subnet netip.Prefix) ID {
	return ID{"fence", bridge + "/" + subnet.Masked().String()}
}

func desireFences(w *Want) []Resource {
	var out []Resource
	for _, f := range families {
		routed, published := routedBridges(w.Topology, f), publishedBridges(w.Topology, f)
		for _, b := range w.Topology.Bridges {
			if b.Node != "" || !published[b.Name] && !(b.Masquerade && routed[b.Name]) {
				continue
			}
			for _, s := range subnetsOf(b, f) {
				out = append(out, newFence(w.Project, b, s.Prefix.Masked()))
			}
		}
	}
	return out
}

func newFence(project string, b spec.Bridge, subnet netip.Prefix) ruleset {
	t := table{kernel.FamilyOf(subnet.Addr()), "mangle"}
	r := newRuleset(project, fenceID(b.Name, subnet), t, "what is translated leaves by "+b.Interface+" alone", nil,
		fmt.Sprintf("%s -d %s ! -o %s -m conntrack --ctstate SNAT,DNAT -j DROP", chainName("F", project), subnet, b.Interface))
	r.subnet = subnet
	return r
}

// fencesAround are those of a bridge in a family, as what rules that translate into it need.
func fencesAround(w *Want, b spec.Bridge, f kernel.Family) []ID {
	var out []ID
	for _, r := range w.of(fenceKind) {
		if fence := r.(ruleset); fence.table.family == f && fenceOf(fence.id, b.Name) {
			out = append(out, fence.id)
		}
	}
	return out
}

func fenceOf(id ID, bridge string) bool {
	name, _, _ := strings.Cut(id.Name, "/")
	return id.Kind == fenceKind.Name && name == bridge
}

func observeFences(h *Have) []Resource {
	out := observeRules("fence")(h)
	for i, r := range out {
		fence := r.(ruleset)
		_, subnet, _ := strings.Cut(fence.id.Name, "/")
		// A mark that somebody wrote by hand may name no subnet: nothing is forgotten for it.
		fence.subnet, _ = netip.ParsePrefix(subnet)
		out[i] = fence
	}
	return out
}

// fences lists those that the machine has of the project.
func (h *Have) fences() []ruleset {
	if h.fenced == nil {
		h.fenced = []ruleset{}
		for _, r := range observeFences(h) {
			h.fenced = append(h.fenced, r.(ruleset))
		}
	}
	return h.fenced
}

// outlive is what must still stand when a bridge is removed: what keeps packets from leaving by another way meanwhile.
func (h *Have) outlive(bridge string) []ID {
	var out []ID
	for _, f := range families {
		out = append(out, ruleID("masquerade", bridge, f), ruleID("hairpin", bridge, f))
	}
	for _, fence := range h.fences() {
		if fenceOf(fence.id, bridge) {
			out = append(out, fence.id)
		}
	}
	return out
}

// fencesIn are those of a family: rules that translate go before them.
func (h *Have) fencesIn(f kernel.Family) []ID {
	var out []ID
	for _, fence := range h.fences() {
		if fence.table.family == f {
			out = append(out, fence.id)
		}
	}
	return out
}
