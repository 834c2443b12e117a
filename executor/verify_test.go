package executor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"topo/executor"
	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
)

// gone plans the removal of a link as long as it is there.
func gone(link string) func(kernel.Snapshot) (*planner.Plan, error) {
	return func(s kernel.Snapshot) (*planner.Plan, error) {
		p := &planner.Plan{Project: "p"}
		for _, l := range s.Host.Links {
			if l.Name == link {
				r := resource{}
				p.Changes = append(p.Changes, planner.Change{Action: planner.Delete, ID: r.ID(), Have: r, Reason: planner.NotInFile})
			}
		}
		return p, nil
	}
}

type resource struct{ planner.Resource }

func (resource) ID() planner.ID        { return planner.ID{Kind: "port", Name: "web:eth0"} }
func (resource) Needs() []planner.ID   { return nil }
func (resource) Attrs() []planner.Attr { return nil }

func TestVerifyLetsTheKernelFinish(t *testing.T) {
	m := fake.New()
	err := m.Foreign(
		kernel.NetnsAdd{Name: "a"},
		kernel.VethAdd{A: kernel.VethEnd{Netns: "a", Name: "eth0"}, B: kernel.VethEnd{Name: "near"}},
		kernel.NetnsDelete{Name: "a"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := executor.Verify(t.Context(), m, gone("near"), kernel.Query{}, time.Second); err != nil {
		t.Error(err)
	}
}

func TestVerifyNamesWhatDiffers(t *testing.T) {
	m := fake.New()
	if err := m.Foreign(kernel.BridgeAdd{Name: "near"}); err != nil {
		t.Fatal(err)
	}
	err := executor.Verify(t.Context(), m, gone("near"), kernel.Query{}, 50*time.Millisecond)
	var differs *executor.VerifyError
	if !errors.As(err, &differs) || len(differs.Plan.Changes) != 1 || !strings.Contains(err.Error(), "\n  - port/web:eth0") {
		t.Errorf("error %v", err)
	}
}

type ending struct{ resource }

func (ending) Ended() bool { return true }

// up waited half a minute for a process that had failed at once.
func TestVerifyDoesNotWaitForTheEnded(t *testing.T) {
	replan := func(kernel.Snapshot) (*planner.Plan, error) {
		return &planner.Plan{Project: "p", Changes: []planner.Change{{Action: planner.Update, Have: ending{}, Want: ending{}}}}, nil
	}
	began := time.Now()
	err := executor.Verify(t.Context(), fake.New(), replan, kernel.Query{}, time.Minute)
	var differs *executor.VerifyError
	if took := time.Since(began); !errors.As(err, &differs) || took > 10*time.Second {
		t.Errorf("error %v after %v", err, took)
	}
}

// Somebody had flushed iptables during an up, and that waited half a minute for the rules to come back. But a reading beside somebody's
// transaction, which iptables-save makes of no one moment, is not taken for the truth.
func TestVerifyOfRules(t *testing.T) {
	rule := kernel.Iptables{Family: kernel.IPv4, Table: "filter", Args: "-A X -j ACCEPT"}
	missing := func(ops ...kernel.Op) *planner.Plan {
		r := resource{}
		return &planner.Plan{
			Project: "p", Changes: []planner.Change{{Action: planner.Create, ID: r.ID(), Want: r, Reason: planner.Missing}},
			Steps: []planner.Step{{Ops: ops}},
		}
	}
	for _, c := range []struct {
		name     string
		plan     *planner.Plan
		readings int // that have this plan; those after them have none
		limit    time.Duration
		differs  bool
	}{
		{"they stay away", missing(rule), 1 << 20, time.Minute, true},
		{"they are there again", missing(rule), 2, time.Minute, false},
		{"more than rules", missing(rule, kernel.BridgeAdd{Name: "b"}), 1 << 20, 300 * time.Millisecond, true},
		{"more than rules, which comes", missing(rule, kernel.BridgeAdd{Name: "b"}), 6, time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			began := time.Now()
			err := executor.Verify(t.Context(), fake.New(), func(kernel.Snapshot) (*planner.Plan, error) {
				if n++; n > c.readings {
					return &planner.Plan{Project: "p"}, nil
				}
				return c.plan, nil
			}, kernel.Query{}, c.limit)
			var differs *executor.VerifyError
			if took := time.Since(began); errors.As(err, &differs) != c.differs || took > 20*time.Second {
				t.Errorf("error %v after %v and %d readings", err, took, n)
			}
		})
	}
}

func TestVerifyReadsOnceAtLeast(t *testing.T) {
	if err := executor.Verify(t.Context(), fake.New(), gone("near"), kernel.Query{}, 0); err != nil {
		t.Error(err)
	}
}

func TestVerifyInterrupted(t *testing.T) {
	m := fake.New()
	if err := m.Foreign(kernel.BridgeAdd{Name: "near"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("somebody pressed Ctrl-C")
	cancel(why)
	if err := executor.Verify(ctx, m, gone("near"), kernel.Query{}, time.Minute); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}
