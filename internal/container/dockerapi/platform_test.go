package dockerapi

import (
	"testing"

	"github.com/moby/moby/api/types/image"
)

func TestSuits(t *testing.T) {
	arm := image.InspectResponse{Os: "linux", Architecture: "arm", Variant: "v7"}
	for _, c := range []struct {
		image    image.InspectResponse
		platform string
		want     bool
	}{
		{arm, "", true},
		{arm, "linux/arm", true},
		{arm, "linux/arm/v7", true},
		{arm, "linux/arm/v6", false},
		{arm, "linux/arm64", false},
		{image.InspectResponse{Os: "linux", Architecture: "arm"}, "linux/arm/v6", true},
		{image.InspectResponse{Os: "windows", Architecture: "amd64"}, "linux/amd64", false},
		{image.InspectResponse{}, "linux/riscv64", true},
	} {
		if got := suits(c.image, c.platform); got != c.want {
			t.Errorf("%s/%s/%s for %q: %t", c.image.Os, c.image.Architecture, c.image.Variant, c.platform, got)
		}
	}
}
