package dockerapi

import (
	"strings"

	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platformOf reads "linux/ARCH" or "linux/ARCH/VARIANT"; nil is none stated.
func platformOf(text string) *ocispec.Platform {
	if text == "" {
		return nil
	}
	os, rest, _ := strings.Cut(text, "/")
	arch, variant, _ := strings.Cut(rest, "/")
	return &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}
}

// suits reports whether an image is for a platform. What it doesn't say of itself is believed.
func suits(i image.InspectResponse, platform string) bool {
	p := platformOf(platform)
	if p == nil {
		return true
	}
	for _, word := range []struct{ is, wanted string }{{i.Os, p.OS}, {i.Architecture, p.Architecture}, {i.Variant, p.Variant}} {
		if word.is != "" && word.wanted != "" && word.is != word.wanted {
			return false
		}
	}
	return true
}
