package linux

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func rulesOf(table string, lines ...string) []kernel.Op {
	ops := make([]kernel.Op, len(lines))
	for i, l := range lines {
		ops[i] = kernel.Iptables{Family: kernel.IPv4, Table: table, Args: l}
	}
	return ops
}

func TestTables(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testTables(t)
}

func TestTablesLegacy(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Legacy(t)
	testTables(t)
}

func testTables(t *testing.T) {
	h := open(t)
	before := testhost.Machine(t)
	if s := snapshot(t, h); len(s.Chains) != 0 || len(s.IptablesError) != 0 {
		t.Errorf("on a fresh machine: %+v, %v", s.Chains, s.IptablesError)
	}
	const rule = "-s 10.0.0.0/24 ! -d 10.0.0.0/24 -m comment --comment topo:lab:masquerade/app -j MASQUERADE"
	do(t, h, rulesOf("nat", "-N TOPO-S", "-A TOPO-S "+rule, "-I POSTROUTING 1 -j TOPO-S")...)
	six := kernel.Iptables{Family: kernel.IPv6, Table: "filter", Args: "-A FORWARD -m comment --comment topo:lab:x/y -j ACCEPT"}
	do(t, h, six)
	testhost.Run(t, "iptables", "-P", "FORWARD", "DROP")

	s := snapshot(t, h)
	want := []kernel.Rule{
		{Family: kernel.IPv4, Table: "nat", Chain: "POSTROUTING", Spec: kernel.Canonical("-j TOPO-S")},
		{Family: kernel.IPv4, Table: "nat", Chain: "TOPO-S", Spec: kernel.Canonical(rule)},
		{Family: kernel.IPv6, Table: "filter", Chain: "FORWARD", Spec: kernel.Canonical(six.Args[len("-A FORWARD "):])},
	}
	if len(s.Rules) != len(want) {
		t.Fatalf("rules are %+v", s.Rules)
	}
	for _, r := range want {
		if !contains(s.Rules, r) {
			t.Errorf("missing %+v in %+v", r, s.Rules)
		}
	}
	for _, c := range []kernel.Chain{
		{Family: kernel.IPv4, Table: "nat", Name: "TOPO-S"},
		{Family: kernel.IPv4, Table: "filter", Name: "FORWARD", Policy: "DROP"},
		{Family: kernel.IPv6, Table: "filter", Name: "FORWARD", Policy: "ACCEPT"},
	} {
		if !contains(s.Chains, c) {
			t.Errorf("missing %+v in %+v", c, s.Chains)
		}
	}
	testhost.Run(t, "iptables", "-P", "FORWARD", "ACCEPT")
	do(t, h, rulesOf("nat", "-D POSTROUTING -j TOPO-S", "-F TOPO-S", "-X TOPO-S")...)
	six.Args = strings.Replace(six.Args, "-A", "-D", 1)
	do(t, h, six)
	unchanged(t, before)
}

func contains[T comparable](all []T, one T) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

// All or nothing, and the error is about the line that failed.
func TestTransaction(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testTransaction(t)
}

func TestTransactionLegacy(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Legacy(t)
	testTransaction(t)
}

func testTransaction(t *testing.T) {
	h := open(t)
	do(t, h, rulesOf("filter", "-N HERE")...)
	var sent []string
	h.Trace(func(s string) { sent = append(sent, s) })
	for _, bad := range []string{"-N HERE", "-A NOWHERE -j ACCEPT", "-A HERE --nonsense"} {
		ops := rulesOf("filter", "-N NEW", bad, "-A NEW -j RETURN")
		err := h.Do(t.Context(), ops)
		var failed *kernel.OpError
		if !errors.As(err, &failed) || failed.Op != ops[1] {
			t.Errorf("%s: error %v", bad, err)
		}
		if c := snapshot(t, h).Chains; contains(c, kernel.Chain{Family: kernel.IPv4, Table: "filter", Name: "NEW"}) {
			t.Errorf("%s: half of the transaction was done", bad)
		}
	}
	// Deleting what is not there is no failure, of the rest neither.
	do(t, h, rulesOf("filter", "-D HERE -j ACCEPT", "-N NEW", "-X NOWHERE", "-F NOWHERE", "-D NOWHERE -j ACCEPT", "-A NEW -j RETURN")...)
	if r := (kernel.Rule{Family: kernel.IPv4, Table: "filter", Chain: "NEW", Spec: "-j RETURN"}); !contains(snapshot(t, h).Rules, r) {
		t.Error("the rest of the transaction was not done")
	}
	// One that is there twice is deleted twice, and a deletion in vain is not.
	do(t, h, rulesOf("filter", "-A NEW -j RETURN", "-D NEW -j RETURN", "-D NEW -j RETURN")...)
	// Another table or family, or another op in between, ends a transaction.
	sent = nil
	do(t, h,
		kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-A HERE -j RETURN"},
		kernel.Iptables{Family: kernel.IPv4, Table: "nat", Args: "-N HERE"},
		kernel.BridgeAdd{Name: "br0"},
		kernel.Iptables{Family: kernel.IPv4, Table: "nat", Args: "-A HERE -j RETURN"})
	if len(sent) != 5 { // a bridge takes two
		t.Errorf("sent %q", sent)
	}
}

func TestWithoutIptables(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	path := os.Getenv("PATH")
	if err := os.Setenv("PATH", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	h := open(t)
	s := snapshot(t, h)
	refused(t, h, errNoIptables, kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-N X"})
	if err := os.Setenv("PATH", path); err != nil {
		t.Fatal(err)
	}
	if len(s.IptablesError) != 2 || len(s.Host.Links) != 1 {
		t.Errorf("errors %v, links %v", s.IptablesError, s.Host.Links)
	}
}

// Reading with the legacy programs must not make tables: those cost every packet.
func TestReadingMakesNoTables(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	testhost.Legacy(t)
	snapshot(t, open(t))
	for _, f := range []string{"ip_tables_names", "ip6_tables_names"} {
		names, err := os.ReadFile("/proc/net/" + f)
		if err != nil && !errors.Is(err, unix.ENOENT) || len(names) != 0 {
			t.Errorf("%s: %q, %v", f, names, err)
		}
	}
}

func TestFailedOp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		output string
		want   int
	}{
		{"iptables-restore: line 3 failed\n", 1},
		{"iptables-nft-restore: line 4 failed: Chain already exists.\n", 2},
		{"iptables-restore v1.8.9 (legacy): unknown option \"--nope\"\nError occurred at line: 2\n", 0},
		{"iptables-restore v1.8.9 (nf_tables): \nline 5: CHAIN_DEL failed (Device or resource busy): chain A\n", 2},
		{"no number at all\n", 2},
		{"line 1 failed", 2},
	} {
		if got := failedOp(c.output, 3); got != c.want {
			t.Errorf("%q is about op %d, want %d", c.output, got, c.want)
		}
	}
}

func TestParseTables(t *testing.T) {
	t.Parallel()
	if _, _, err := parseTables(kernel.IPv4, "*filter\n:FORWARD\n"); err == nil {
		t.Error("a chain without policy is taken")
	}
	if _, _, err := parseTables(kernel.IPv4, "nonsense\n"); err == nil {
		t.Error("nonsense is taken")
	}
}

func TestOldIptablesRestoreIsNotAskedToWait(t *testing.T) {
	for version, want := range map[[3]int]int{{1, 4, 21}: 1, {1, 6, 1}: 1, {1, 6, 2}: 2, {1, 8, 9}: 2, {2, 0, 0}: 2} {
		if got := restoreFlags(version[0], version[1], version[2]); len(got) != want {
			t.Errorf("%v: %v", version, got)
		}
	}
}

// A line that deletes a rule for the second time, where there is one only, failed the whole transaction.
func TestARuleThatIsDeletedTwice(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, rulesOf("filter", "-N HERE", "-A HERE -p tcp -j ACCEPT")...)
	do(t, h, rulesOf("filter", "-D HERE -p tcp -j ACCEPT", "-D HERE -p tcp -j ACCEPT", "-X HERE")...)
	if chains := snapshot(t, h).Chains; slices.ContainsFunc(chains, func(c kernel.Chain) bool { return c.Name == "HERE" }) {
		t.Error("the chain is there")
	}
}
