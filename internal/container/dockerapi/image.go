package dockerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is one that an engine has.
type Image struct {
	ID      string
	Digests []string // of manifests and indices by which registries know it: "sha256:…"
	Raw     []byte   // what the engine says of it; "Config" is as in the image
}

// Image finds an image by its reference or ID, for a platform or, with "", for whichever it is; there is false when the engine has
// none.
func (c *Client) Image(ctx context.Context, ref, platform string) (img Image, there bool, err error) {
	var raw bytes.Buffer
	options := []client.ImageInspectOption{client.ImageInspectWithRawResponse(&raw)}
	// Of a name Docker may keep images for many platforms, and shows the machine's if it isn't asked.
	if platform != "" && !c.podman && !versions.LessThan(c.api.ClientVersion(), "1.49") {
		options = append(options, client.ImageInspectWithPlatform(platformOf(platform)))
	}
	found, err := c.api.ImageInspect(ctx, ref, options...)
	if errdefs.IsNotFound(err) || err == nil && !suits(found.InspectResponse, platform) {
		return Image{}, false, nil
	}
	if err != nil {
		return Image{}, false, err
	}
	img = Image{ID: found.ID, Raw: raw.Bytes()}
	for _, name := range found.RepoDigests {
		_, digest, _ := strings.Cut(name, "@")
		img.Digests = append(img.Digests, digest)
	}
	if c.podman {
		img.Raw, err = c.withHealth(ctx, found.ID, img.Raw)
	}
	return img, true, err
}

// Progress hears how far a pull is, in bytes of what is known to be there.
type Progress func(done, total int64, layers int)

// Pull has the engine fetch what a reference names now, for a platform or, with "", for the machine's. auth is that of the
// registry, in the form of X-Registry-Auth; it may be "".
func (c *Client) Pull(ctx context.Context, ref, platform, auth string, report Progress) error {
	options := client.ImagePullOptions{RegistryAuth: auth}
	if p := platformOf(platform); p != nil {
		options.Platforms = []ocispec.Platform{*p}
	}
	sent, err := c.api.ImagePull(ctx, ref, options)
	if err != nil {
		return err
	}
	defer sent.Close()
	layers := map[string]jsonstream.Progress{}
	for m, err := range sent.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
		if m.Progress == nil || m.ID == "" || report == nil {
			continue
		}
		layers[m.ID] = *m.Progress
		var done, total int64
		for _, p := range layers {
			done, total = done+p.Current, total+p.Total
		}
		report(done, total, len(layers))
	}
	return nil
}

// Tag gives an image another name.
func (c *Client) Tag(ctx context.Context, ref, name string) error {
	_, err := c.api.ImageTag(ctx, client.ImageTagOptions{Source: ref, Target: name})
	return err
}

// Load gives the engine an image as an archive (docker save), which also says what it is to be called.
func (c *Client) Load(ctx context.Context, archive io.Reader) error {
	answer, err := c.api.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return err
	}
	defer answer.Close()
	for in := json.NewDecoder(answer); ; {
		var m jsonstream.Message
		err := in.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.Error != nil:
			return m.Error
		}
	}
}
