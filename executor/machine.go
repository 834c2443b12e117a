package executor

import (
	"context"

	"topo/internal/kernel"
)

// Machine is a host that can be read and edited: the real one, or a strict fake.
type Machine interface {
	// Snapshot reads the host. It changes nothing.
	Snapshot(context.Context, kernel.Query) (kernel.Snapshot, error)
	// Do carries out edits in order and stops at the first that fails, with a *[kernel.OpError].
	// Consecutive Iptables ops of one family and table are one transaction. Calls may run side by side.
	Do(context.Context, []kernel.Op) error
	// Settle waits for what the kernel does in its own time: ports of the query's project's bridges
	// that have a carrier forwarding, addresses no longer tentative, links of deleted namespaces gone.
	Settle(ctx context.Context, q kernel.Query) error
}
