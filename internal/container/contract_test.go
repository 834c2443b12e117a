package container_test

import (
	"context"
	"testing"

	"topo/executor"
	"topo/internal/container"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/internal/testhost"
)

// Volumes are kept as the fake keeps them.
func TestVolumeContract(t *testing.T) {
	fake.ContractVolumes(t, func(t *testing.T) executor.Machine {
		if testhost.Outside(t) {
			return nil
		}
		return volumeMachine{container.New(container.Config{})}
	})
}

// volumeMachine is a machine that has volumes and nothing else.
type volumeMachine struct{ *container.Engine }

func (m volumeMachine) Do(ctx context.Context, ops []kernel.Op) error {
	for _, op := range ops {
		if err := m.Engine.Do(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

func (m volumeMachine) Snapshot(ctx context.Context, _ kernel.Query) (kernel.Snapshot, error) {
	volumes, err := m.Volumes(ctx)
	return kernel.Snapshot{Volumes: volumes}, err
}

func (volumeMachine) Settle(context.Context, kernel.Query) error { return nil }
