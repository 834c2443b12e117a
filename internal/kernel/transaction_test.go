package kernel_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
)

func TestTransactions(t *testing.T) {
	t.Parallel()
	nat := func(args string) kernel.Op { return kernel.Iptables{Family: kernel.IPv4, Table: "nat", Args: args} }
	filter := kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-N A"}
	nat6 := kernel.Iptables{Family: kernel.IPv6, Table: "nat", Args: "-N A"}
	other := kernel.NetnsAdd{Name: "n"}
	for name, c := range map[string]struct {
		ops  []kernel.Op
		want [][]kernel.Op
	}{
		"nothing":                {nil, nil},
		"one family and table":   {[]kernel.Op{nat("-N A"), nat("-N B")}, [][]kernel.Op{{nat("-N A"), nat("-N B")}}},
		"another table, family":  {[]kernel.Op{nat("-N A"), filter, filter, nat6}, [][]kernel.Op{{nat("-N A")}, {filter, filter}, {nat6}}},
		"something else between": {[]kernel.Op{other, other, nat("-N A"), other, nat("-N B")}, [][]kernel.Op{{other}, {other}, {nat("-N A")}, {other}, {nat("-N B")}}},
	} {
		if got := slices.Collect(kernel.Transactions(c.ops)); !cmp.Equal(got, c.want) {
			t.Errorf("%s: %s", name, cmp.Diff(c.want, got))
		}
	}
}
