package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// WriteArchive writes an image of this machine's files as an archive, as docker save does, in which it is called as.
func WriteArchive(ctx context.Context, q Query, as string, w io.Writer) error {
	r, err := parse(q)
	if err != nil {
		return err
	}
	if err := r.checkLocal(); err != nil {
		return err
	}
	_, img, err := r.source(ctx)
	if err != nil {
		return err
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	_, is, _, err := readConfig(raw)
	if err != nil {
		return err
	}
	if err := r.checkPlatform(is); err != nil {
		return err
	}
	tag, err := name.NewTag(as)
	if err != nil {
		return err
	}
	return tarball.Write(tag, img, w)
}

// ByDigest is a reference of a registry's by a digest that it had, in place of its tag; "" of one that has a digest already.
func ByDigest(text, digest string) (string, error) {
	r, err := parseReference(text)
	if err != nil {
		return "", err
	}
	if _, tagged := r.remote.(name.Tag); !tagged {
		return "", nil
	}
	return r.at(digest).remote.Name(), nil
}

// RegistryAuth gives the credentials for a reference's registry, those of Docker's config.json and its helpers, as an engine
// takes them (X-Registry-Auth); "" where there are none.
func RegistryAuth(ctx context.Context, text string) (string, error) {
	r, err := parse(Query{Reference: text})
	if err != nil {
		return "", err
	}
	if r.remote == nil {
		return "", nil
	}
	found, err := authn.Resolve(ctx, authn.DefaultKeychain, r.remote.Context())
	if err != nil {
		return "", fmt.Errorf("reading credentials: %w", err)
	}
	if found == authn.Anonymous {
		return "", nil
	}
	config, err := authn.Authorization(ctx, found)
	if err != nil {
		return "", fmt.Errorf("reading credentials: %w", err)
	}
	doc, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	return base64.URLEncoding.EncodeToString(doc), nil
}
