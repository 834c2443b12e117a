package reliability_test

import (
	"os"
	"path/filepath"
	"testing"

	"topo/internal/testhost"
	"topo/internal/topogen"
)

// TestVMDriftOfEverything edits each attribute of each kind of resource that a network has, once. That there is an edit of each
// attribute is planner's TestEveryAttributeHasAnEdit.
func TestVMDriftOfEverything(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "kernel")
	h.file = filepath.Join(t.TempDir(), "everything.yaml")
	if err := os.WriteFile(h.file, topogen.Everything, 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("up")
	d := newDrifted(h)
	d.files++
	d.stands(func(edits []topogen.Edit) []topogen.Edit {
		different := topogen.Different(edits)
		h.random.Shuffle(len(different), func(i, j int) { different[i], different[j] = different[j], different[i] })
		if !*whole {
			different = different[:8]
		}
		return different
	})
	h.must("down", "-v")
	if diff := h.residue(); diff != "" {
		t.Errorf("down leaves (-before +after):\n%s", diff)
	}
	d.figure(t, "every attribute, full kernel")
}
