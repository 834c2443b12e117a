package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"topo/internal/container/dockerapi"
	"topo/internal/image"
	"topo/internal/kernel"
)

// MissingFolders gives those of the paths that are no folders.
func (e *Engine) MissingFolders(paths []string) []string {
	var missing []string
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			missing = append(missing, path)
		}
	}
	return missing
}

// Store is where images are kept.
func (e *Engine) Store() *image.Store { return image.Open(e.config.DataDir) }

// Images tells what references name. It changes nothing; what can't be found out is noted in what it gives.
func (e *Engine) Images(ctx context.Context, queries []kernel.ImageQuery) ([]kernel.Image, error) {
	var list []kernel.Image
	var docker *dockerapi.Client
	for _, q := range queries {
		i := kernel.Image{Reference: q.Reference, Platform: q.Platform, Unfit: unfit(binfmtDir, q.Platform)}
		q, err := e.askImage(ctx, q)
		if err != nil {
			return nil, err
		}
		i.Now, i.Error = q.Now, q.Error
		if ref, ofEngine := strings.CutPrefix(q.Reference, kernel.EngineImages); ofEngine {
			if docker == nil {
				if docker, err = e.docker(ctx); err != nil {
					return nil, err
				}
				defer docker.Close()
			}
			i.Digest, i.ID, err = findInEngine(ctx, docker, ref, q)
		} else {
			i.Digest, i.ID, err = e.findInStore(q)
		}
		if err != nil {
			return nil, fmt.Errorf("reading image %s: %w", q.Reference, err)
		}
		list = append(list, i)
	}
	return list, nil
}

// findInStore tells what a reference names in the store: nothing where that has none.
func (e *Engine) findInStore(q kernel.ImageQuery) (digest, id string, err error) {
	found, err := e.Store().Find(image.Query{Reference: q.Reference, Platform: q.Platform})
	if errors.Is(err, image.ErrAbsent) {
		err = nil
	}
	return found.Digest, found.ID, err
}

// AskImages finds out what references name now where that is asked for, all at once: a registry may take its time.
// The queries that it gives back say so to [Engine.Images].
func (e *Engine) AskImages(ctx context.Context, queries []kernel.ImageQuery) ([]kernel.ImageQuery, error) {
	asked := slices.Clone(queries)
	errs := make([]error, len(asked))
	var all sync.WaitGroup
	for i := range asked {
		all.Go(func() { asked[i], errs[i] = e.askImage(ctx, asked[i]) })
	}
	all.Wait()
	return asked, errors.Join(errs...)
}

// askImage gives a query with its answer; the error is that of ctx.
func (e *Engine) askImage(ctx context.Context, q kernel.ImageQuery) (kernel.ImageQuery, error) {
	if q.Asked {
		return q, nil
	}
	q.Asked = true
	ref, ofEngine := strings.CutPrefix(q.Reference, kernel.EngineImages)
	switch local := image.Local(ref); {
	case ofEngine && local: // what a file holds tells what the engine calls it
	case q.Stored, !q.Fresh && !local:
		return q, nil
	}
	now, err := e.Store().Current(ctx, image.Query{Reference: ref, Platform: q.Platform})
	switch {
	case err == nil:
		q.Now = now
	case ctx.Err() != nil:
		return q, ctx.Err()
	default:
		q.Error = err.Error()
	}
	return q, nil
}

// ImageUsers tells which processes of which projects were made from an image, by its ID.
func (e *Engine) ImageUsers() (map[string][]string, error) {
	files, err := filepath.Glob(e.layout("*").processFile("*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	users := map[string][]string{}
	for _, file := range files {
		var p kernel.Process
		if err := readJSON(file, &p); errors.Is(err, os.ErrNotExist) {
			continue // it was removed just now
		} else if err != nil {
			return nil, err
		}
		if p.ImageID != "" && p.Runtime != kernel.RuntimeDocker {
			users[p.ImageID] = append(users[p.ImageID], p.Node+" of "+p.Project)
		}
	}
	return users, nil
}

// origin is the image that a container is made from; the zero one is none.
type origin struct {
	config *kernel.ImageConfig
	layers []string // folders, the uppermost first
}

// findOrigin finds a process's image, and notes in the process which it is.
func findOrigin(store *image.Store, p *kernel.Process) (origin, error) {
	if p.Image == "" {
		return origin{}, nil
	}
	var found image.Image
	var err error
	if p.ImageID == "" {
		found, err = store.Find(image.Query{Reference: p.Image, Platform: p.Platform})
	} else {
		found, err = store.ByID(p.ImageID)
	}
	if err != nil {
		return origin{}, fmt.Errorf("image %s: %w", p.Image, err)
	}
	p.ImageID = found.ID
	return origin{&found.Config, store.Folders(found)}, nil
}
