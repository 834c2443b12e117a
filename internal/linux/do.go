package linux

import (
	"context"
	"errors"
	"fmt"

	"topo/internal/kernel"
)

// Do carries out edits in order and stops at the first that fails, with a *[kernel.OpError]. Consecutive
// iptables ops of one family and table are one transaction: all of them or none. Between two edits
// it ends with the context's error when that is done. Calls may run side by side.
func (h *Host) Do(ctx context.Context, ops []kernel.Op) error {
	for i := 0; i < len(ops); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if first, ok := ops[i].(kernel.Iptables); ok {
			batch := transaction(ops[i:], first)
			if err := h.restore(ctx, batch); err != nil {
				return err
			}
			i += len(batch)
			continue
		}
		if err := h.do(ops[i]); err != nil {
			return &kernel.OpError{Op: ops[i], Err: err}
		}
		i++
	}
	return nil
}

// transaction is the row of ops at the front that share the first one's family and table.
func transaction(ops []kernel.Op, first kernel.Iptables) []kernel.Iptables {
	var batch []kernel.Iptables
	for _, op := range ops {
		o, ok := op.(kernel.Iptables)
		if !ok || o.Family != first.Family || o.Table != first.Table {
			break
		}
		batch = append(batch, o)
	}
	return batch
}

// errForeign is an op that another part of topo carries out.
var errForeign = errors.New("not an edit of the network")

func (h *Host) do(op kernel.Op) error {
	switch o := op.(type) {
	case kernel.NetnsAdd:
		return h.netnsAdd(o)
	case kernel.NetnsDelete:
		return h.netnsDelete(o)
	case kernel.BridgeAdd:
		return h.bridgeAdd(o)
	case kernel.BridgeSet:
		return h.bridgeSet(o)
	case kernel.PortSet:
		return h.portSet(o)
	case kernel.VethAdd:
		return h.vethAdd(o)
	case kernel.LinkAdd:
		return h.linkAdd(o)
	case kernel.LinkParams:
		return h.linkParams(o)
	case kernel.Enslave:
		return h.enslave(o)
	case kernel.RemoteAdd:
		return h.remoteAdd(o)
	case kernel.RemoteDelete:
		return h.remoteDelete(o)
	case kernel.KeyAdd:
		return h.keyAdd(o)
	case kernel.KeyDelete:
		return h.keyDelete(o)
	case kernel.WireGuardSet:
		return h.wireGuardSet(o)
	case kernel.PeerSet:
		return h.peerSet(o)
	case kernel.PeerDelete:
		return h.peerDelete(o)
	case kernel.LinkSet:
		return h.linkSet(o)
	case kernel.LinkDelete:
		return h.linkDelete(o)
	case kernel.GroupDelete:
		return h.groupDelete(o)
	case kernel.AddrAdd:
		return h.addrAdd(o)
	case kernel.AddrDelete:
		return h.addrDelete(o)
	case kernel.RouteReplace:
		return h.routeReplace(o)
	case kernel.RouteDelete:
		return h.routeDelete(o)
	case kernel.VLANAdd:
		return h.vlanAdd(o)
	case kernel.VLANDelete:
		return h.vlanDelete(o)
	case kernel.FDBReplace:
		return h.fdbReplace(o)
	case kernel.FDBDelete:
		return h.fdbDelete(o)
	case kernel.PolicyRuleAdd:
		return h.policyRuleAdd(o)
	case kernel.PolicyRuleDelete:
		return h.policyRuleDelete(o)
	case kernel.NetemSet:
		return h.netemSet(o)
	case kernel.TBFSet:
		return h.tbfSet(o)
	case kernel.QdiscDelete:
		return h.qdiscDelete(o)
	case kernel.UplinkTake:
		return h.uplinkTake(o)
	case kernel.UplinkRelease:
		return h.uplinkRelease(o)
	case kernel.CardLend:
		return h.cardLend(o)
	case kernel.CardReturn:
		return h.cardReturn(o)
	case kernel.SysctlSet:
		return h.sysctlSet(o)
	case kernel.SysctlRestore:
		return h.sysctlRestore(o)
	case kernel.ForwardingOn:
		return h.forwardingOn(o.Family)
	case kernel.ForwardingRestore:
		return h.forwardingRestore(o.Family)
	case kernel.FileWrite:
		return h.fileWrite(o)
	case kernel.FileDelete:
		return h.fileDelete(o.Path)
	default:
		return fmt.Errorf("carrying out %T: %w", op, errForeign)
	}
}
