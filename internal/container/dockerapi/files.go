package dockerapi

import (
	"context"
	"errors"
	"io"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"topo/internal/kernel"
)

// filesKind is the kind, in marks, of a container that is there for its files.
const filesKind = "files/"

// ImageFiles gives all files of a process's image as a tar stream. An engine gives those of containers only, so one is made,
// never started, and gone when the stream is closed. (Asked for a folder alone, Podman 4.3 shows the volume that covers it.)
func (c *Client) ImageFiles(ctx context.Context, p kernel.Process, image kernel.ImageConfig) (io.ReadCloser, error) {
	config := &container.Config{
		Image: p.ImageID, Entrypoint: []string{"/none"}, Healthcheck: noHealth,
		Labels: labels(kernel.Process{Project: p.Project, Node: p.Node}, filesKind),
	}
	host := &container.HostConfig{NetworkMode: network.none, Tmpfs: covered(image)}
	id, err := c.create(ctx, kernel.EngineName(p.Project, p.Node)+".files", p.Platform, config, host)
	if err != nil {
		return nil, err
	}
	remove := func() error { return c.remove(context.WithoutCancel(ctx), id) }
	out, err := c.api.ContainerExport(ctx, id, client.ContainerExportOptions{})
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return files{out, remove}, nil
}

// covered puts file systems in memory in the places of an image's volumes: an engine would make volumes there, and fill them.
func covered(image kernel.ImageConfig) map[string]string {
	all := map[string]string{}
	for _, target := range image.Volumes {
		all[target] = ""
	}
	return all
}

type files struct {
	io.ReadCloser
	remove func() error
}

// Close ends the stream, and removes its container.
func (f files) Close() error { return errors.Join(f.ReadCloser.Close(), f.remove()) }
