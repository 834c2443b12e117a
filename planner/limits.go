package planner

import (
	"fmt"

	"topo/internal/kernel"
	"topo/spec"
)

// A MissingError is something that the machine lacks for this topology.
type MissingError struct {
	Family kernel.Family
	Reason string // why rules of the family can't be read
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("rules of %s are needed, but can't be read: %s", e.Family, e.Reason)
}

// missing reports a machine on which the rules that a plan needs can't be made.
func missing(o Options, changes map[ID]*Change) error {
	for _, f := range families {
		reason, bad := o.Snapshot.IptablesError[f]
		if !bad {
			continue
		}
		for _, c := range changes {
			if r, ok := c.Want.(firewall); ok && r.table.family == f {
				return &MissingError{Family: f, Reason: reason}
			}
		}
	}
	return nil
}

// limits checks what the whole machine can hold.
func limits(o Options) error {
	if o.Topology == nil {
		return nil
	}
	var errs spec.Errors
	perBridge := map[string]int{}
	for _, n := range o.Topology.Nodes {
		for _, a := range n.Attachments {
			perBridge[a.Bridge]++
		}
	}
	for _, b := range o.Topology.Bridges {
		if n := perBridge[b.Name]; n > maxPorts {
			errs = append(errs, &spec.Error{Pos: b.Pos, Msg: fmt.Sprintf("bridge %s has %d ports: the kernel takes %d", b.Name, n, maxPorts)})
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// maxPorts is how many ports a bridge takes (BR_PORT_BITS 10; port 0 is none).
const maxPorts = 1023

// warnings says what the machine may not bear. All namespaces share one neighbour table: a node and its gateway know each
// other, which takes two entries a node and family; beyond its size new neighbours are refused, and packets lost.
func warnings(o Options) []string {
	if o.Topology == nil || o.Snapshot.Neighbours == 0 {
		return nil
	}
	entries := 0
	for _, n := range o.Topology.Nodes {
		for _, a := range n.Attachments {
			entries += 2 * len(a.Addresses)
		}
	}
	if entries <= o.Snapshot.Neighbours {
		return nil
	}
	return []string{fmt.Sprintf("the nodes and their gateways take %d entries of the neighbour table, which has %d (net.ipv4.neigh.default.gc_thresh3)",
		entries, o.Snapshot.Neighbours)}
}
