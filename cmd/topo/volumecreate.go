package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

func volumeCreateCommand() *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "make a volume that is external to all projects",
		UsageText: "topo volume create [--label KEY=VALUE] NAME",
		ArgsUsage: "NAME",
		Description: `Makes an empty volume that belongs to no project: a file uses it with external: true,
and no "down -v" removes it. One that is there with the same labels is left as it is, with all
that is in it.

Example:
  sudo topo volume create --label tier=db shared`,
		Flags:  []cli.Flag{listFlag("label", "keep `KEY=VALUE` with the volume; may be repeated, of two with one key the later holds")},
		Action: volumeCreate,
	}
}

func volumeCreate(c *cli.Context) error {
	names, err := operands(c, 1, 1)
	if err != nil {
		return err
	}
	name := names[0]
	if err := spec.CheckVolumeName(name); err != nil {
		return usageErrorf(c, "%v", err)
	}
	labels, err := labelsOf(c)
	if err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	engine := newEngine()
	all, err := engine.Volumes(c.Context)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(v kernel.Volume) bool { return v.Name == name }); i < 0 {
		err = engine.Do(c.Context, kernel.VolumeCreate{Name: name, Labels: labels})
	} else {
		err = sameVolume(all[i], labels)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, name)
	return nil
}

// labelsOf reads --label; a key alone has an empty value, as in Compose.
func labelsOf(c *cli.Context) (map[string]string, error) {
	var labels map[string]string
	for _, word := range c.StringSlice("label") {
		key, value, _ := strings.Cut(word, "=")
		if key == "" {
			return nil, usageErrorf(c, "--label %s is not KEY=VALUE", word)
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = value
	}
	return labels, nil
}

// sameVolume says why a volume that is there is not the one that is to be made.
func sameVolume(v kernel.Volume, labels map[string]string) error {
	switch {
	case !v.Genuine():
		return &planner.ConflictError{Object: "volume " + v.Name, Holder: "exists and is not topo's", Ways: []string{"move it away", "choose another name"}}
	case !v.External:
		return &planner.ConflictError{Object: "volume " + v.Name, Holder: "belongs to project " + v.Project, Ways: []string{"use it as it is: external: true", "choose another name"}}
	case !maps.Equal(v.Labels, labels):
		return fmt.Errorf("volume %s is there, with other labels", v.Name)
	}
	return nil
}
