package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// source finds what a reference names now: the digest of the manifest or index (of an archive, which has
// none, that of the config), and the image.
func (r reference) source(ctx context.Context) (digest string, img v1.Image, err error) {
	switch {
	case r.remote != nil:
		d, err := remote.Get(r.remote, r.options(ctx)...)
		if err != nil {
			return "", nil, err
		}
		img, err := d.Image()
		return d.Digest.String(), img, err
	case r.layout != "":
		return r.fromLayout()
	}
	img, err = tarball.Image(r.openArchive, nil)
	if err != nil {
		return "", nil, err
	}
	id, err := img.ConfigName()
	return id.String(), img, err
}

// openArchive opens an archive, which may be compressed with gzip as a whole.
func (r reference) openArchive() (io.ReadCloser, error) {
	f, err := os.Open(r.file)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(f)
	if magic, err := in.Peek(2); err != nil || !bytes.Equal(magic, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		return struct {
			io.Reader
			io.Closer
		}{in, f}, nil
	}
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{unzipped, f}, nil
}

// current is the digest alone, without the image: of a registry, one short request.
func (r reference) current(ctx context.Context) (string, error) {
	if r.remote == nil {
		digest, _, err := r.source(ctx)
		return digest, err
	}
	if d, err := remote.Head(r.remote, r.options(ctx)...); err == nil {
		return d.Digest.String(), nil
	}
	// Some registries answer no HEAD; and the error of a GET says more.
	d, err := remote.Get(r.remote, r.options(ctx)...)
	if err != nil {
		return "", err
	}
	return d.Digest.String(), nil
}

// options: credentials are those of Docker's config.json and its helpers. What fails is tried again by [Store.Pull],
// which also sees transfers that break off, so not in here.
func (r reference) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithPlatform(r.platform), remote.WithUserAgent("topo"), remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
}

// refName is the annotation that has an image's tag in a layout (OCI image-spec, annotations).
const refName = "org.opencontainers.image.ref.name"

func (r reference) fromLayout() (string, v1.Image, error) {
	index, err := layout.ImageIndexFromPath(r.layout)
	if err != nil {
		return "", nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", nil, err
	}
	var found []v1.Descriptor
	var tags []string
	for _, d := range manifest.Manifests {
		tag := d.Annotations[refName]
		tags = append(tags, tag)
		// containerd writes the whole reference.
		if r.tag == "" || tag == r.tag || strings.HasSuffix(tag, ":"+r.tag) {
			found = append(found, d)
		}
	}
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(d v1.Descriptor) bool { return d.Platform != nil && !d.Platform.Satisfies(r.platform) })
	}
	if len(found) != 1 {
		return "", nil, fmt.Errorf("%d of the images in the layout are meant; it has %q", len(found), tags)
	}
	img, err := r.imageOf(index, found[0])
	return found[0].Digest.String(), img, err
}

// deepest is how many indices may stand in each other: a layout's could name itself.
const deepest = 8

// imageOf follows indices to the platform's image.
func (r reference) imageOf(index v1.ImageIndex, d v1.Descriptor) (v1.Image, error) {
	for range deepest {
		if !d.MediaType.IsIndex() {
			return index.Image(d.Digest)
		}
		var err error
		if index, err = index.ImageIndex(d.Digest); err != nil {
			return nil, err
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		var others []string
		fits := slices.IndexFunc(manifest.Manifests, func(d v1.Descriptor) bool {
			if d.Platform == nil || d.Platform.Satisfies(r.platform) {
				return true
			}
			others = append(others, d.Platform.String())
			return false
		})
		if fits < 0 {
			return nil, fmt.Errorf("there is none for %s, only for %s", r.platform, strings.Join(others, ", "))
		}
		d = manifest.Manifests[fits]
	}
	return nil, fmt.Errorf("its indices name each other more than %d deep", deepest)
}

// checkLocal gives a short error for what is not there: that of the libraries speaks of files inside.
func (r reference) checkLocal() error {
	path := r.layout + r.file
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case r.layout != "" && !info.IsDir():
		return fmt.Errorf("%s is not a folder", path)
	case r.file != "" && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	}
	return nil
}

// countedLayer tells how much is read of what is sent.
type countedLayer struct {
	v1.Layer
	read func(int)
}

// Compressed is what is sent.
func (l countedLayer) Compressed() (io.ReadCloser, error) {
	sent, err := l.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	return countedReader{sent, l.read}, nil
}

type countedReader struct {
	io.ReadCloser
	read func(int)
}

// Read tells how much was read.
func (r countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.read(n)
	return n, err
}
