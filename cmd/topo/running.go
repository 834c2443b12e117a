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

	"topo/spec"
)

// wholeProject is the project of a verb that changes all of it, and takes no words.
func wholeProject(c *cli.Context) (string, error) {
	if _, err := operands(c, 0, 0); err != nil {
		return "", err
	}
	if err := checkProgress(c); err != nil {
		return "", err
	}
	return runningProject(c.Context, c)
}

// runningProject is the project that a command is about: that of -p, else that of
// the file, else the only one on the machine.
func runningProject(ctx context.Context, c *cli.Context) (string, error) {
	if name := givenProject(c); name != "" {
		return (&topologyFile{sources: []spec.Source{{Name: "-p", Data: []byte("{}")}}, dir: "/", project: name}).projectName()
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
	alone.sources = nil
	for _, s := range f.sources {
		var head struct {
			Name string `yaml:"name,omitempty"`
		}
		if yaml.Unmarshal(s.Data, &head) != nil {
			head.Name = nameLine(s.Data)
		}
		data, marshalErr := yaml.Marshal(head)
		if marshalErr != nil {
			return "", err
		}
		alone.sources = append(alone.sources, spec.Source{Name: s.Name, Data: data})
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
