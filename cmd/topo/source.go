package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"topo/internal/linux"
)

// rememberSource keeps which files a project was brought up from: gc knows by them whether anybody can want it still.
func rememberSource(c *cli.Context, project string) error {
	files, err := sourceFiles(c)
	if err == nil {
		err = linux.WriteSource(project, files)
	}
	if err != nil {
		return fmt.Errorf("writing down what %s was brought up from: %w", project, err)
	}
	return nil
}

// sourceFiles are the files of the command line, or those that were found, absolute. None where one is stdin, and none of
// a saved plan, which needs no file: nobody knows then whether it is gone.
func sourceFiles(c *cli.Context) ([]string, error) {
	if c.IsSet("plan") {
		return []string{}, nil
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	names := givenFiles(c)
	if len(names) == 0 {
		if names, err = findFiles(wd); err != nil {
			return nil, err
		}
	}
	if slices.Contains(names, stdinArgument) {
		return []string{}, nil
	}
	files := make([]string, len(names))
	for i, name := range names {
		if files[i] = name; !filepath.IsAbs(name) {
			files[i] = filepath.Join(wd, name)
		}
	}
	return files, nil
}
