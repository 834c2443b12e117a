package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"topo/internal/image"
	"topo/spec"
)

func pullCommand() *cli.Command {
	return &cli.Command{
		Name:      "pull",
		Usage:     "fetch the images of a file",
		UsageText: "topo pull [-f FILE] [--profile NAME]",
		Description: `Fetches what the references name now, whatever is in the store, and prints the digest of each.
Only layers that are missing are sent. What runs is left alone: the next up replaces
processes whose image is another one now. Credentials are those of docker login.

Example:
  topo pull && topo plan`,
		Flags:  append(targetFlags(false), profileFlag()),
		Action: pull,
	}
}

func pull(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
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
	for _, ref := range imagesOf(t) {
		report, end := pulling(c.App.ErrWriter)
		img, err := newEngine().Store().Pull(ctx, ref, "", report)
		end()
		if err != nil {
			return fmt.Errorf("pulling image %s: %w", ref, err)
		}
		fmt.Fprintln(c.App.Writer, ref, img.Digest)
	}
	return nil
}

// imagesOf are the references in a file, each once, in its order.
func imagesOf(t *spec.Topology) []string {
	var list []string
	seen := map[string]bool{}
	for _, n := range t.Nodes {
		if n.Process != nil && n.Process.Image != "" && !seen[n.Process.Image] {
			seen[n.Process.Image] = true
			list = append(list, n.Process.Image)
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
