package container

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"

	"topo/internal/container/dockerapi"
	"topo/internal/kernel"
)

// imageFolder opens, when it is called, a copy of a folder of a container's image, made in dir; nil when the image has none there.
// Links on the way to it are not followed.
func imageFolder(ctx context.Context, c *dockerapi.Client, p kernel.Process, image kernel.ImageConfig, target, dir string) func() (*os.File, error) {
	return func() (*os.File, error) {
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
			return nil, err
		}
		all, err := c.ImageFiles(ctx, p, image)
		if err != nil {
			return nil, err
		}
		defer all.Close()
		below := archive.WithFilter(func(h *tar.Header) (bool, error) { return within(path.Join("/", h.Name), path.Clean(target)), nil })
		if _, err := archive.Apply(ctx, dir, all, below); err != nil {
			return nil, fmt.Errorf("copying %s out of image %s: %w", target, p.Image, err)
		}
		f, err := openIn(dir, target, unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil, nil
		}
		return f, err
	}
}
