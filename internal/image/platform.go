package image

import (
	"fmt"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Query is what an image is asked for by.
type Query struct {
	Reference string
	// Platform is "linux/ARCH" or "linux/ARCH/VARIANT"; "" is this machine's.
	Platform string
}

// machine is this one's platform: of an image for many, its own is taken where none is asked for.
var machine = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}

// Machine is this machine's platform.
func Machine() string { return machine.String() }

// forPlatform gives a reference the platform that is asked for.
func (r reference) forPlatform(text string) (reference, error) {
	if r.platform = machine; text == "" || text == Machine() {
		return r, nil
	}
	p, err := v1.ParsePlatform(text)
	if err != nil {
		return r, err
	}
	r.platform, r.foreign = *p, text
	return r, nil
}

// checkPlatform fails where another platform than the machine's is asked for, and the image is for neither: a manifest that is
// no index is what it is. Images without a word on it are believed.
func (r reference) checkPlatform(is v1.Platform) error {
	if r.foreign == "" || is.Architecture == "" || is.OS == r.platform.OS && is.Architecture == r.platform.Architecture {
		return nil
	}
	return fmt.Errorf("it is for %s, not for %s", platformText(is), r.foreign)
}

func platformText(p v1.Platform) string {
	var words []string
	for _, w := range []string{p.OS, p.Architecture, p.Variant} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, "/")
}
