package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// unknownNode says that a project has no such node, and which was probably meant.
func unknownNode[V any](c *cli.Context, name, project string, known map[string]V) error {
	names := slices.Sorted(maps.Keys(known))
	msg := fmt.Sprintf("%s has no node %q", project, name)
	switch near := nearestOf(name, slices.Values(names)); {
	case near != "":
		msg += fmt.Sprintf("; did you mean %s?", near)
	case len(names) == 0:
		msg += "; it has none"
	case len(names) <= 12:
		msg += "; it has " + strings.Join(names, ", ")
	}
	return usageErrorf(c, "%s", msg)
}
