package planner

import (
	"testing"

	"topo/internal/kernel"
	"topo/spec"
)

// A volume that a node has for itself is found again whether the file says it or its image.
func TestOwnVolumesHaveOneName(t *testing.T) {
	if a, b := spec.OwnVolumeName("lab", "web", "/data"), kernel.OwnVolumeName("lab", "web", "/data"); a != b {
		t.Errorf("%s by a file, %s by an image", a, b)
	}
}
