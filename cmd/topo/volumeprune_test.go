package main

import (
	"testing"

	"topo/internal/kernel"
)

// A project that went down while prune waited for locks had its volumes removed without its own lock: it may be coming up again.
func TestPruneTakesVolumesOfUnlockedProjects(t *testing.T) {
	t.Parallel()
	before := []kernel.Volume{{Name: "a_data", Project: "a"}, {Name: "b_data", Project: "b"}}
	now := []kernel.Volume{{Name: "b_data", Project: "b"}, {Name: "c_data", Project: "c"}}
	if got := still(now, before); len(got) != 1 || got[0].Name != "b_data" {
		t.Errorf("%+v", got)
	}
}
