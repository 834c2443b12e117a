package container

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"topo/internal/container/dockerapi"
	"topo/internal/image"
	"topo/internal/kernel"
)

// The ways in which there is no engine, where a container is to be run by one.
type (
	UnreachableError = dockerapi.UnreachableError
	ElsewhereError   = dockerapi.ElsewhereError
)

// docker connects to the engine that this command's user has.
func (e *Engine) docker(ctx context.Context) (*dockerapi.Client, error) {
	address, err := dockerapi.Address(e.config.DockerHost)
	if err != nil {
		return nil, err
	}
	return dockerapi.Open(ctx, address)
}

// dockerAddress is where that engine listens; "" where a process needs none.
func (e *Engine) dockerAddress(p kernel.Process) (string, error) {
	if p.Runtime != kernel.RuntimeDocker {
		return "", nil
	}
	return dockerapi.Address(e.config.DockerHost)
}

// Containers tells which of these names the engine has containers for, and whose they are. Without names it asks nobody.
func (e *Engine) Containers(ctx context.Context, names []string) ([]kernel.EngineContainer, error) {
	if len(names) == 0 {
		return nil, nil
	}
	c, err := e.docker(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Containers(ctx, names)
}

// dockerClients are connections to engines, by their addresses: those of a supervisor.
type dockerClients struct {
	mu   sync.Mutex
	open map[string]*dockerapi.Client
}

func (d *dockerClients) at(ctx context.Context, address string) (*dockerapi.Client, error) {
	d.mu.Lock()
	c := d.open[address]
	d.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := dockerapi.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if first := d.open[address]; first != nil {
		c.Close()
		return first, nil
	}
	if d.open == nil {
		d.open = map[string]*dockerapi.Client{}
	}
	d.open[address] = c
	return c, nil
}

// findInEngine tells what a reference names in the engine, by a query that is answered: nothing where that has none.
func findInEngine(ctx context.Context, c *dockerapi.Client, ref string, q kernel.ImageQuery) (digest, id string, err error) {
	name := ref
	if image.Local(ref) {
		if name = loadedName(image.Query{Reference: ref, Platform: q.Platform}, q.Now); q.Now == "" {
			return "", "", nil
		}
	}
	found, there, err := c.Image(ctx, name, q.Platform)
	if err != nil || !there {
		return "", "", err
	}
	switch {
	case image.Local(ref), slices.Contains(found.Digests, q.Now):
		return q.Now, found.ID, nil
	case len(found.Digests) > 0:
		return found.Digests[0], found.ID, nil
	}
	return found.ID, found.ID, nil // made on this machine
}

// loadedName is what the engine calls an image of this machine's files. An engine knows images by names, not by where they
// came from; that of one says both that and what it is. A digest may be that of an index, which has images for many platforms.
func loadedName(q image.Query, digest string) string {
	sum := sha256.Sum256([]byte(q.Reference + q.Platform))
	return "localhost/topo/" + hex.EncodeToString(sum[:6]) + ":" + strings.TrimPrefix(digest, "sha256:")
}

// Pull fetches what a reference of a query names to where it belongs: what it named when it had this digest, or, with "", what it
// names now. It gives the digest.
func (e *Engine) Pull(ctx context.Context, q image.Query, digest string, report func(image.Progress)) (string, error) {
	ref, ofEngine := strings.CutPrefix(q.Reference, kernel.EngineImages)
	if !ofEngine {
		img, err := e.Store().Pull(ctx, q, digest, report)
		return img.Digest, err
	}
	c, err := e.docker(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	q.Reference = ref
	if image.Local(ref) {
		err = e.load(ctx, c, q, digest)
	} else {
		err = pullBy(ctx, c, q, digest, report)
	}
	if err != nil {
		return "", fmt.Errorf("image %s: %w", ref, err)
	}
	asked, err := e.askImage(ctx, kernel.ImageQuery{Reference: kernel.EngineImages + ref, Platform: q.Platform, Stored: true})
	if err != nil {
		return "", err
	}
	now, _, err := findInEngine(ctx, c, ref, asked)
	if err == nil && now == "" {
		err = fmt.Errorf("image %s: what the engine was given is not for %s", ref, cmp.Or(q.Platform, image.Machine()))
	}
	return now, err
}

// pullBy has the engine fetch an image of a registry, with the credentials of whoever runs topo.
func pullBy(ctx context.Context, c *dockerapi.Client, q image.Query, digest string, report func(image.Progress)) error {
	auth, err := image.RegistryAuth(ctx, q.Reference)
	if err != nil {
		return err
	}
	var tell dockerapi.Progress
	if report != nil {
		tell = func(done, total int64, layers int) {
			report(image.Progress{Reference: q.Reference, Layer: layers, Layers: layers, Done: done, Total: total})
		}
	}
	exact, err := image.ByDigest(q.Reference, digest)
	if err != nil {
		return err
	}
	if digest == "" || exact == "" {
		return c.Pull(ctx, q.Reference, q.Platform, auth, tell)
	}
	// What was planned is fetched, though the tag may have gone on.
	if err := c.Pull(ctx, exact, q.Platform, auth, tell); err != nil {
		return err
	}
	return c.Tag(ctx, exact, q.Reference)
}

// load gives an image of this machine's files to the engine.
func (e *Engine) load(ctx context.Context, c *dockerapi.Client, q image.Query, wanted string) error {
	digest, err := e.Store().Current(ctx, q)
	if err != nil {
		return err
	}
	if wanted != "" && digest != wanted {
		return fmt.Errorf("it is %s now, and was %s when that was to be loaded", digest, wanted)
	}
	out, in := io.Pipe()
	go func() { in.CloseWithError(image.WriteArchive(ctx, q, loadedName(q, digest), in)) }()
	err = c.Load(ctx, out)
	return errors.Join(err, out.Close())
}

// dockerOrigin finds a process's image in the engine, and notes in the process which it is.
func dockerOrigin(ctx context.Context, c *dockerapi.Client, e *Engine, p *kernel.Process) (origin, error) {
	id := p.ImageID
	if id == "" {
		asked, err := e.askImage(ctx, kernel.ImageQuery{Reference: p.ImageReference(), Platform: p.Platform, Stored: true})
		if err != nil {
			return origin{}, err
		}
		if _, id, err = findInEngine(ctx, c, p.Image, asked); err != nil {
			return origin{}, err
		}
	}
	if id != "" {
		found, there, err := c.Image(ctx, id, p.Platform)
		if err != nil {
			return origin{}, err
		}
		if there {
			config, err := image.ReadConfig(found.Raw)
			p.ImageID = found.ID
			return origin{config: &config}, err
		}
	}
	return origin{}, fmt.Errorf("image %s: the engine at %s has none", p.Image, c.Address())
}
