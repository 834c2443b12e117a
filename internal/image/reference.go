package image

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The schemes of references to files of this machine.
const (
	layoutScheme  = "oci:"
	archiveScheme = "docker-archive:"
)

// reference is a parsed one.
type reference struct {
	text   string         // as it is kept: of a registry's, with the registry and tag that it left out
	remote name.Reference // nil for one of this machine
	layout string         // folder of an OCI layout
	tag    string         // in the layout; "" for its only image
	file   string         // docker-archive

	platform v1.Platform
	foreign  string // the platform as text, where it is not the machine's
}

func parse(q Query) (reference, error) {
	r, err := parseReference(q.Reference)
	if err != nil {
		return reference{}, err
	}
	return r.forPlatform(q.Platform)
}

func parseReference(text string) (reference, error) {
	if rest, ok := strings.CutPrefix(text, layoutScheme); ok {
		dir, tag := rest, ""
		if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "/") {
			dir, tag = rest[:i], rest[i+1:]
		}
		if !filepath.IsAbs(dir) {
			return reference{}, fmt.Errorf("image %s: the folder must be absolute", text)
		}
		return reference{text: text, layout: dir, tag: tag}, nil
	}
	if file, ok := strings.CutPrefix(text, archiveScheme); ok {
		if !filepath.IsAbs(file) {
			return reference{}, fmt.Errorf("image %s: the file must be absolute", text)
		}
		return reference{text: text, file: file}, nil
	}
	r, err := name.ParseReference(text)
	if err != nil {
		return reference{}, err
	}
	return reference{text: r.Name(), remote: r}, nil
}

// at is the reference by its digest, where it is a registry's and that is known: a tag may have gone on.
func (r reference) at(digest string) reference {
	if r.remote != nil && digest != "" {
		r.remote = r.remote.Context().Digest(digest)
	}
	return r
}

// Local reports whether a reference is to a folder or file of this machine.
func Local(text string) bool {
	return strings.HasPrefix(text, layoutScheme) || strings.HasPrefix(text, archiveScheme)
}
