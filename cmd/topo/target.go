package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// stdinArgument is the FILE that means stdin.
const stdinArgument = "-"

// stdinName is how positions in a file from stdin read.
const stdinName = "<stdin>"

// missingFileError: no file was named and none was found.
type missingFileError struct{ dir string }

func (e *missingFileError) Error() string {
	return fmt.Sprintf("no topology file in %s or its parents (looked for %s)", e.dir, strings.Join(fileNames, ", "))
}

// topologyFile is a topology as text, in one file or several, and what is needed to read it.
type topologyFile struct {
	sources []spec.Source // named as typed, or relative to the working folder; each over those before it
	dir     string        // of the first, absolute; relative paths in all of them start here
	project string        // -p, or ""
	env     []string      // --env-file
	choice  choice
}

// name is how messages call it.
func (f *topologyFile) name() string {
	names := make([]string, len(f.sources))
	for i, s := range f.sources {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}

// choice is what a command line chooses of a file.
type choice struct {
	profiles []string       // --profile
	named    []string       // the NODEs
	scale    map[string]int // --scale
	runtime  string         // --runtime
}

// openFile reads the files that -f names, or those that the search finds.
func openFile(c *cli.Context) (*topologyFile, error) {
	f := &topologyFile{project: givenProject(c), env: givenEnvFiles(c), choice: choice{profiles: wordsOf(c, "profile"), runtime: c.String("runtime")}}
	if err := spec.CheckRuntime(f.choice.runtime); err != nil {
		return nil, usageErrorf(c, "--runtime: %v", err)
	}
	wd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the working folder: %w", err)
	}
	names := givenFiles(c)
	if len(names) == 0 {
		if names, err = findFiles(wd); err != nil {
			return nil, err
		}
	}
	if first, more := slices.Index(names, stdinArgument), len(names); first >= 0 && slices.Contains(names[first+1:more], stdinArgument) {
		return nil, usageErrorf(c, "-f - reads stdin, and can be given once")
	}
	for i, name := range names {
		s := spec.Source{Name: name}
		path, err := filepath.Abs(name)
		if name == stdinArgument {
			s.Name, path = stdinName, filepath.Join(wd, stdinName)
			s.Data, err = io.ReadAll(c.App.Reader)
		} else if err == nil {
			s.Data, err = os.ReadFile(path)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the topology: %w", err)
		}
		if i == 0 {
			f.dir = filepath.Dir(path)
		}
		f.sources = append(f.sources, s)
	}
	return f, nil
}

// findFiles looks for a topology in a folder and its parents, and for a file of overrides beside it; the names are relative
// to the folder.
func findFiles(dir string) ([]string, error) {
	is := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && !info.IsDir()
	}
	for at := dir; ; at = filepath.Dir(at) {
		for _, name := range fileNames {
			if !is(filepath.Join(at, name)) {
				continue
			}
			folder, err := filepath.Rel(dir, at)
			if err != nil {
				folder = at
			}
			names := []string{filepath.Join(folder, name)}
			base := strings.TrimSuffix(name, filepath.Ext(name))
			for _, ext := range []string{".yaml", ".yml"} {
				if over := base + ".override" + ext; is(filepath.Join(at, over)) {
					return append(names, filepath.Join(folder, over)), nil
				}
			}
			return names, nil
		}
		if at == filepath.Dir(at) {
			return nil, &missingFileError{dir}
		}
	}
}

// load reads, checks and completes the topology. The error is spec.Errors where the file is at fault.
func (f *topologyFile) load() (*spec.Topology, error) {
	env, err := environment(f.dir, f.env)
	if err != nil {
		return nil, err
	}
	return spec.Load(f.sources, spec.Options{
		Project:  f.project,
		Profiles: f.choice.profiles,
		Named:    f.choice.named,
		Scale:    f.choice.scale,
		Dir:      f.dir,
		Env:      env,
		ReadFile: os.ReadFile,
		Runtime:  f.choice.runtime,
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

// wordsOf are the words of a flag that may be repeated, or has several with commas between.
func wordsOf(c *cli.Context, flag string) []string {
	var list []string
	for _, value := range c.StringSlice(flag) {
		list = append(list, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
	}
	return list
}

// scaleOf reads --scale NODE=N.
func scaleOf(c *cli.Context) (map[string]int, error) {
	scale := map[string]int{}
	for _, word := range wordsOf(c, "scale") {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if err != nil || name == "" || n < 0 || n > spec.MaxScale {
			return nil, usageErrorf(c, "--scale %s is not NODE=N, with N from 0 to %d", word, spec.MaxScale)
		}
		scale[name] = n
	}
	return scale, nil
}

// environment is what ${…} in a file sees: the process's environment, and below it the files of --env-file, or .env in the
// file's folder.
func environment(dir string, files []string) (map[string]string, error) {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	if len(files) == 0 {
		path := filepath.Join(dir, ".env")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return env, nil
		}
		files = []string{path}
	}
	below, err := dotenv.GetEnvFromFile(env, files)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", strings.Join(files, ", "), err)
	}
	for name, value := range below {
		if _, above := env[name]; !above {
			env[name] = value
		}
	}
	return env, nil
}
