package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"topo/internal/image"
)

func imagesCommand() *cli.Command {
	return &cli.Command{
		Name:      "images",
		Usage:     "list the images in the store",
		UsageText: "topo images [--json]",
		Description: `Lists the references that were pulled, with what the image is for, the digest that each
named then, the image's ID (the digest of its config), and by whom it is used. A reference
that was pulled for several platforms is there once for each.

Example:
  topo images --json | jq -r '.[] | "\(.reference) \(.digest)"'`,
		Flags:  []cli.Flag{boolFlag("json", "print a JSON array")},
		Action: images,
	}
}

// imageView is an image in the store.
type imageView struct {
	image.Image
	UsedBy []string `json:"used_by"` // "NODE of PROJECT"
}

func images(c *cli.Context) error {
	if _, err := operands(c, 0, 0); err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	engine := newEngine()
	list, err := engine.Store().List()
	if err != nil {
		return fmt.Errorf("listing images: %w", err)
	}
	users, err := engine.ImageUsers()
	if err != nil {
		return fmt.Errorf("listing images: %w", err)
	}
	views, rows := []imageView{}, [][]string{}
	for _, img := range list {
		v := imageView{img, append([]string{}, users[img.ID]...)}
		views = append(views, v)
		used := ""
		if len(v.UsedBy) > 0 {
			used = v.UsedBy[0]
			if more := len(v.UsedBy) - 1; more > 0 {
				used = fmt.Sprintf("%s and %d more", used, more)
			}
		}
		rows = append(rows, []string{
			img.Reference, img.Platform, shortDigest(img.Digest), shortDigest(img.ID), units.HumanSize(float64(img.Size)),
			img.Pulled.Local().Format(time.DateTime), used,
		})
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, views)
	}
	return writeTable(c.App.Writer, []string{"REFERENCE", "PLATFORM", "DIGEST", "ID", "SIZE", "PULLED", "USED BY"}, rows)
}

// shortDigest is enough of a digest to tell it from others.
func shortDigest(d string) string { return d[:min(len(d), len("sha256:")+12)] }

func imageCommand() *cli.Command {
	return &cli.Command{
		Name:      "image",
		Usage:     "remove images from the store",
		UsageText: "topo image rm REF…\n   topo image prune",
		ArgsUsage: "rm REF… | prune",
		Description: `rm removes images, for all platforms that they were pulled for; prune all that no process
was made from, and what pulls left that were cut short. An image that is in use is kept,
and by whom is said: rm ends with 1 then.

Example:
  topo image rm redis:7
  topo image prune`,
		Action: manageImages,
	}
}

func manageImages(c *cli.Context) error {
	words, err := operands(c, 1, -1)
	if err != nil {
		return err
	}
	switch verb, refs := words[0], words[1:]; {
	case verb == "rm" && len(refs) == 0:
		return usageErrorf(c, "rm needs the reference of an image")
	case verb == "prune" && len(refs) > 0:
		return usageErrorf(c, "prune takes no references")
	case verb != "rm" && verb != "prune":
		return usageErrorf(c, "there is no image %s; there are rm and prune", verb)
	case verb == "prune":
		return pruneImages(c)
	default:
		return removeImages(c, refs)
	}
}

func removeImages(c *cli.Context, refs []string) error {
	if err := checkPrivilege(); err != nil {
		return err
	}
	engine := newEngine()
	var errs []error
	for _, ref := range refs {
		var inUse *image.InUseError
		err := engine.Store().Remove(c.Context, ref, engine.ImageUsers)
		switch {
		case err == nil:
			fmt.Fprintln(c.App.ErrWriter, "removed", ref)
		case errors.As(err, &inUse):
			errs = append(errs, err)
		default:
			errs = append(errs, fmt.Errorf("removing image %s: %w", ref, err))
		}
	}
	return errors.Join(errs...)
}

func pruneImages(c *cli.Context) error {
	if err := checkPrivilege(); err != nil {
		return err
	}
	engine := newEngine()
	removed, kept, err := engine.Store().Prune(c.Context, engine.ImageUsers)
	for _, img := range removed {
		fmt.Fprintln(c.App.ErrWriter, "removed", img.Reference)
	}
	for _, k := range kept {
		fmt.Fprintln(c.App.ErrWriter, "kept: "+k.Error())
	}
	if err != nil {
		return fmt.Errorf("pruning images: %w", err)
	}
	return nil
}
