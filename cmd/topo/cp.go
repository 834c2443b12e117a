package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"topo/internal/container"
	"topo/internal/transfer"
)

func cpCommand() *cli.Command {
	return &cli.Command{
		Name:      "cp",
		Usage:     "copy files from a node, or into one",
		UsageText: "topo cp [-f FILE | -p PROJECT] [-a] [-L] NODE:PATH LOCAL\ntopo cp [-f FILE | -p PROJECT] [-a] [-L] LOCAL NODE:PATH",
		ArgsUsage: "SOURCE TARGET",
		Description: `Copies a file, or a folder with all that is in it, between this machine and what a node's
process sees, or saw before it ended: volumes too, but for what was in memory. Paths of a
node start at its root, with or without a slash. A LOCAL with a colon in it needs ./ before
it.

A folder that is there takes what is copied, under its name; with /. behind it, a source
folder gives what is in it. Links are copied as links, and none in the node leads out of it.
Owners become root in a node, and you here; -a keeps them. - is a tar stream: of stdin,
for a folder that is there, or to stdout. /proc and /sys are left out.

Example:
  topo cp web:/var/log/nginx ./logs
  topo cp site/. web:/usr/share/nginx/html
  topo cp web:/etc - | tar -t`,
		Flags: append(targetFlags(false),
			boolFlag("archive", "keep owners, set-user-ID bits, capabilities, devices and FIFOs", "a"),
			boolFlag("follow-link", "copy what a link given as SOURCE leads to", "L"),
		),
		UseShortOptionHandling: true,
		Action:                 cp,
		BashComplete:           completeEnds,
	}
}

// end is one of the two ends of a copy; node is "" for one of this machine.
type end struct{ node, path string }

// stream is the path that is stdin or stdout.
const stream = "-"

// endOf reads NODE:PATH or a path of this machine, as docker cp does: what starts with a dot or a slash has no node.
func endOf(word string) end {
	node, path, ok := strings.Cut(word, ":")
	if !ok || strings.HasPrefix(word, ".") || strings.Contains(node, "/") || node == "" {
		return end{path: word}
	}
	return end{node, path}
}

func cp(c *cli.Context) error {
	words, err := operands(c, 2, 2)
	if err != nil {
		return err
	}
	source, target := endOf(words[0]), endOf(words[1])
	switch {
	case source.node != "" && target.node != "":
		return usageErrorf(c, "from one node to another it goes by a stream: topo cp %s - | topo cp - %s", words[0], words[1])
	case source.node == "" && target.node == "":
		return usageErrorf(c, "neither %s nor %s is NODE:PATH", words[0], words[1])
	}
	project, node, err := runningNode(c, source.node+target.node)
	if err != nil {
		return err
	}
	files, err := newEngine().Files(c.Context, project, node.Node)
	if err != nil {
		return err
	}
	defer files.Close()
	ctx, stop := interruptible(c.Context)
	defer stop()
	err = transferred(ctx, c, files, source, target)
	switch {
	case interrupted(ctx):
		return exitStatus(exitInterrupted)
	case err != nil:
		return fmt.Errorf("copying %s to %s: %w", words[0], words[1], err)
	}
	return nil
}

func transferred(ctx context.Context, c *cli.Context, files *container.NodeFiles, source, target end) error {
	tree := transfer.Tree{Open: files.Open, IDs: files.IDs}
	o := transfer.Options{
		Archive: c.Bool("archive"), Follow: c.Bool("follow-link"),
		Skipped: func(name, why string) { warn(c.App.ErrWriter, fmt.Errorf("%s is not copied: %s", name, why)) },
	}
	switch {
	case source.node != "" && target.path == stream:
		if isTerminal(c.App.Writer) {
			return errors.New("a tar stream is not for a terminal: redirect it")
		}
		return transfer.Pack(ctx, tree, rooted(source.path), c.App.Writer, o)
	case source.node != "":
		return transfer.Copy(ctx, tree, rooted(source.path), transfer.Local(), target.path, o)
	case source.path == stream:
		return transfer.Unpack(ctx, c.App.Reader, tree, rooted(target.path), o)
	}
	return transfer.Copy(ctx, transfer.Local(), source.path, tree, rooted(target.path), o)
}

// completeEnds offers nodes with the colon that a path follows; the shell itself offers files of this machine.
func completeEnds(c *cli.Context) {
	colon := ":"
	if strings.HasSuffix(os.Getenv("SHELL"), "zsh") {
		colon = `\:` // what stands behind a plain one describes
	}
	completeNames(c, colon)
}

// rooted is a path of a node.
func rooted(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}
