package fake

import (
	"testing"

	"topo/executor"
)

func TestContract(t *testing.T) {
	Contract(t, func(*testing.T) executor.Machine { return New() })
	ContractVolumes(t, func(*testing.T) executor.Machine { return New() })
}
