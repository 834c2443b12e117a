package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/urfave/cli/v2"

	"topo/spec"
)

// fileNames are looked for in this order where no -f is given: topo's own names, then Compose's
// defaults (compose-spec, "Compose file").
var fileNames = []string{
	"topo.yaml", "topo.yml",
	"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml",
}

// stdinName is how positions in a file from stdin read.
const stdinName = "<stdin>"

// missingFileError: no file was named and none was found.
type missingFileError struct{ dir string }

func (e *missingFileError) Error() string {
	return fmt.Sprintf("no topology file in %s or its parents (looked for %s)", e.dir, strings.Join(fileNames, ", "))
}

// topologyFile is a topology as text, and what is needed to read it.
type topologyFile struct {
	name    string // as shown: as typed, or relative to the working folder
	dir     string // absolute; relative paths in the file start here
	data    []byte
	project string // -p, or ""
	choice  choice
}

// choice is what a command line chooses of a file.
type choice struct {
	profiles []string       // --profile
	named    []string       // the NODEs
	scale    map[string]int // --scale
}

// openFile reads the file that -f names or the search finds.
func openFile(c *cli.Context) (*topologyFile, error) {
	f := &topologyFile{project: givenProject(c), choice: choice{profiles: c.StringSlice("profile")}}
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the working folder: %w", err)
	}
	switch files := givenFiles(c); {
	case len(files) > 1:
		return nil, usageErrorf(c, "several -f are not supported yet: %s", strings.Join(files, ", "))
	case len(files) == 1 && files[0] == "-":
		f.name, f.dir = stdinName, wd
		if f.data, err = io.ReadAll(c.App.Reader); err != nil {
			return nil, fmt.Errorf("reading stdin: %w", err)
		}
		return f, nil
	case len(files) == 1:
		f.name = files[0]
	default:
		if f.name, err = findFile(wd); err != nil {
			return nil, err
		}
	}
	path, err := filepath.Abs(f.name)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", f.name, err)
	}
	f.dir = filepath.Dir(path)
	if f.data, err = os.ReadFile(path); err != nil {
		return nil, fmt.Errorf("reading the topology: %w", err)
	}
	return f, nil
}

// findFile looks for a topology in a folder and its parents; the name is relative to the folder.
func findFile(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		for _, name := range fileNames {
			path := filepath.Join(at, name)
			if info, err := os.Stat(path); err == nil && !info.IsDir() {
				if rel, err := filepath.Rel(dir, path); err == nil {
					return rel, nil
				}
				return path, nil
			}
		}
		if at == filepath.Dir(at) {
			return "", &missingFileError{dir}
		}
	}
}

// load reads, checks and completes the topology. The error is spec.Errors where the file is at fault.
func (f *topologyFile) load() (*spec.Topology, error) {
	env, err := environment(f.dir)
	if err != nil {
		return nil, err
	}
	return spec.Load([]spec.Source{{Name: f.name, Data: f.data}}, spec.Options{
		Project:  f.project,
		Profiles: f.choice.profiles,
		Named:    f.choice.named,
		Scale:    f.choice.scale,
		Dir:      f.dir,
		Env:      env,
		ReadFile: os.ReadFile,
	})
}

// loadAloud is load; it prints what a person should hear of though it is no mistake.
func (f *topologyFile) loadAloud(w io.Writer) (*spec.Topology, error) {
	t, err := f.load()
	if err != nil {
		return nil, err
	}
	for _, m := range t.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", m.Pos, m.Msg)
	}
	return t, nil
}

// loadFile is openFile and loadAloud.
func loadFile(c *cli.Context) (*spec.Topology, error) {
	f, err := openFile(c)
	if err != nil {
		return nil, err
	}
	return f.loadAloud(c.App.ErrWriter)
}

// loadChosen is loadFile for a command whose operands are nodes, and that can scale them.
func loadChosen(c *cli.Context) (*spec.Topology, error) {
	f, err := openFile(c)
	if err != nil {
		return nil, err
	}
	f.choice.named = c.Args().Slice()
	if f.choice.scale, err = scaleOf(c); err != nil {
		return nil, err
	}
	return f.loadAloud(c.App.ErrWriter)
}

// scaleOf reads --scale NODE=N.
func scaleOf(c *cli.Context) (map[string]int, error) {
	scale := map[string]int{}
	for _, word := range c.StringSlice("scale") {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if err != nil || name == "" || n < 0 || n > spec.MaxScale {
			return nil, usageErrorf(c, "--scale %s is not NODE=N, with N from 0 to %d", word, spec.MaxScale)
		}
		scale[name] = n
	}
	return scale, nil
}

// environment is what ${…} in a file sees: the process's environment, and below it the file's .env.
func environment(dir string) (map[string]string, error) {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	path := filepath.Join(dir, ".env")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return env, nil
	}
	below, err := dotenv.GetEnvFromFile(env, []string{path})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	for name, value := range below {
		if _, above := env[name]; !above {
			env[name] = value
		}
	}
	return env, nil
}
