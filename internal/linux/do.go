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
	for batch := range kernel.Transactions(ops) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, ok := batch[0].(kernel.Iptables); ok {
			if err := h.restore(ctx, batch); err != nil {
				return err
			}
			continue
		}
		if err := h.do(batch[0]); err != nil {
			return &kernel.OpError{Op: batch[0], Err: err}
		}
	}
	return nil
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
	case kernel.FlowsDelete:
		return h.flowsDelete(o)
	case kernel.FlowsRenew:
		return h.flowsRenew(o)
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
