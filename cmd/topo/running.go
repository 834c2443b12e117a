package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"
)

// runningProject is the project that a command is about: that of -p, else that of
// the file, else the only one on the machine.
func runningProject(ctx context.Context, c *cli.Context) (string, error) {
	if name := givenProject(c); name != "" {
		return (&topologyFile{name: "-p", dir: "/", project: name, data: []byte("{}")}).projectName()
	}
	f, err := openFile(c)
	var missing *missingFileError
	switch {
	case err == nil:
		return f.projectName()
	case !errors.As(err, &missing):
		return "", err
	}
	m, err := openMachine()
	if err != nil {
		return "", err
	}
	defer m.Close()
	found, err := m.projects(ctx)
	if err != nil {
		return "", err
	}
	switch names := slices.Sorted(maps.Keys(found)); len(names) {
	case 0:
		return "", fmt.Errorf("no project is up, and there is %w", missing)
	case 1:
		return names[0], nil
	default:
		return "", usageErrorf(c, "which project? %s are up: name one with -p, or its file with -f", strings.Join(names, ", "))
	}
}

// projectName is the name of the file's project, even where the file has mistakes:
// then the name alone is read, as if nothing else stood in the file.
func (f *topologyFile) projectName() (string, error) {
	t, err := f.load()
	if err == nil {
		return t.Name, nil
	}
	alone := *f
	var head struct {
		Name string `yaml:"name,omitempty"`
	}
	if yaml.Unmarshal(f.data, &head) != nil {
		head.Name = nameLine(f.data)
	}
	var marshalErr error
	if alone.data, marshalErr = yaml.Marshal(head); marshalErr != nil {
		return "", err
	}
	if t, nameErr := alone.load(); nameErr == nil {
		return t.Name, nil
	}
	return "", err
}

// nameLine finds "name: x" at the top level of what is not YAML any more.
func nameLine(data []byte) string {
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "name:"); ok {
			var name string
			if yaml.Unmarshal([]byte(value), &name) == nil {
				return name
			}
		}
	}
	return ""
}
