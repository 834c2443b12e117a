package testhost

import (
	"os"
	"strings"
	"testing"
)

// fullVariable says that the kernel has everything: what a test needs and is not there fails it.
const fullVariable = "TOPO_TEST_FULL_KERNEL"

// Kernel skips a test where the running kernel was built without an option, which a command shows that needs it. The test's
// name begins with TestVM: scripts/test runs those again, on a kernel that has everything (scripts/run-in-vm).
func Kernel(t testing.TB, option string, probe ...string) {
	t.Helper()
	if !strings.HasPrefix(t.Name(), "TestVM") {
		t.Fatal("the name of a test for another kernel begins with TestVM")
	}
	if out, err := Try(t, probe...); err != nil {
		if os.Getenv(fullVariable) != "" {
			t.Fatalf("%s: %v\n%s", option, err, out)
		}
		t.Skipf("needs a kernel with %s: scripts/run-in-vm", option)
	}
}

// Netem skips a test where packets can't be delayed and lost.
func Netem(t testing.TB) {
	t.Helper()
	Kernel(t, "CONFIG_NET_SCH_NETEM", "sh", "-c", "tc qdisc add dev lo root netem && tc qdisc delete dev lo root")
}

// VLANFiltering skips a test where bridges can't keep VLANs apart.
func VLANFiltering(t testing.TB) {
	t.Helper()
	Kernel(t, "CONFIG_BRIDGE_VLAN_FILTERING", "sh", "-c", `ip link add topo-probe type bridge vlan_filtering 1 && ip -d link show topo-probe | grep -q 'vlan_filtering 1'
		found=$?; ip link delete topo-probe; exit $found`)
}
