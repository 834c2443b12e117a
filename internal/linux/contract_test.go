package linux_test

import (
	"testing"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/linux"
	"topo/internal/testhost"
)

// The kernel behaves as the fake does.
func TestContract(t *testing.T) {
	fake.Contract(t, func(t *testing.T) executor.Machine {
		if testhost.Outside(t) {
			return nil
		}
		return open(t)
	})
}

// The same with iptables of the old kind.
func TestContractLegacy(t *testing.T) {
	fake.Contract(t, func(t *testing.T) executor.Machine {
		if testhost.Outside(t) {
			return nil
		}
		testhost.Legacy(t)
		return open(t)
	})
}

func open(t *testing.T) executor.Machine {
	t.Helper()
	h, err := linux.Open()
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
