package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"topo/internal/image"
	"topo/internal/kernel"
	"topo/spec"
)

func pullCommand() *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "fetch the images of a file",
		UsageText: "topo pull [-f FILE] [--profile NAME] [--platform PLATFORM]",
		Description: `Fetches what the references name now, whatever is in the store, and prints the digest of each.
Only layers that are missing are sent. What runs is left alone: the next up replaces
processes whose image is another one now. Credentials are those of docker login. An image
for another platform needs no machine that can run it.

Example:
  topo pull && topo plan`,
		Flags: append(targetFlags(false), profileFlag(), runtimeFlag(),
			textFlag("platform", "", "fetch the images for `PLATFORM` (linux/arm64, linux/arm/v7…) in place of the file's and the machine's")),
		Action: pull,
	}
}

func pull(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	platform := ""
	if given := c.String("platform"); given != "" {
		var err error
		if platform, err = spec.ParsePlatform(given); err != nil {
			return usageErrorf(c, "--%v", err)
		}
	}
	t, err := loadFile(c)
	if err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	ctx, stop := interruptible(c.Context)
	defer stop()
	for _, q := range imagesOf(t, platform) {
		report, end := pulling(c.App.ErrWriter)
		digest, err := newEngine().Pull(ctx, q, "", report)
		end()
		name := strings.TrimPrefix(q.Reference, kernel.EngineImages)
		if err != nil {
			return fmt.Errorf("pulling image %s: %w", name, err)
		}
		fmt.Fprintln(c.App.Writer, name, digest)
	}
	return nil
}

// imagesOf are the images of a file, each once, in its order; for one platform, or with "" for those that the file says.
func imagesOf(t *spec.Topology, platform string) []image.Query {
	var list []image.Query
	for _, n := range t.Nodes {
		if n.Process == nil || n.Process.Image == "" {
			continue
		}
		p := kernel.Process{Image: n.Process.Image, Runtime: n.Process.Runtime}
		q := image.Query{Reference: p.ImageReference(), Platform: cmp.Or(platform, n.Process.Platform)}
		if !slices.Contains(list, q) {
			list = append(list, q)
		}
	}
	return list
}

// pulling tells of a pull: by a bar on a terminal, elsewhere by a line a layer.
func pulling(w io.Writer) (report func(image.Progress), end func()) {
	if !isTerminal(w) || os.Getenv("TERM") == "dumb" {
		lines := plainLines{w: w, layers: map[string]int{}}
		return lines.pulling, func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(24), progressbar.OptionShowBytes(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(60*time.Millisecond))
	return func(p image.Progress) {
		if p.Total > 0 && bar.GetMax64() != p.Total {
			bar.ChangeMax64(p.Total)
		}
		bar.Describe(pullText(p))
		_ = bar.Set64(p.Done)
	}, func() { _ = bar.Finish() }
}

func pullText(p image.Progress) string {
	return fmt.Sprintf("pulling %s: layer %d of %d", p.Reference, p.Layer, p.Layers)
}
