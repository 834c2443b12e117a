package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// variables are those that ${…} sees in an included file: what the including one sees, and below it the include's env_file.
func (a *assembly) variables(i include, dir string, r *reading) (env map[string]string, ok bool) {
	files := i.EnvFile.all()
	if !i.EnvFile.Set {
		files = []text{{Value: filepath.Join(dir, ".env")}}
	}
	env = maps.Clone(r.env)
	if env == nil {
		env = map[string]string{}
	}
	below := map[string]string{}
	ok = true
	for _, f := range files {
		if err := a.readVariables(from(r.dir, f.Value), env, below); err != nil && (f.Set || !errors.Is(err, fs.ErrNotExist)) {
			pos := f.Pos
			if !f.Set {
				pos = i.Pos
			}
			a.problems.add(pos, "include: env_file: %s", err)
			a.unreadable, ok = true, false
		}
	}
	for k, v := range below {
		if _, above := env[k]; !above {
			env[k] = v
		}
	}
	return env, ok
}

// readVariables adds a file's variables to those below; an error names the file, unless it is that there is none.
func (a *assembly) readVariables(path string, env, below map[string]string) error {
	if a.ReadFile == nil {
		return fs.ErrNotExist
	}
	data, err := a.ReadFile(path)
	if err != nil {
		return err
	}
	vars, err := parseVariables(data, env, below)
	if err != nil {
		return fmt.Errorf("%s: %w", a.nameOf(path), err)
	}
	maps.Copy(below, vars)
	return nil
}

// parseVariables reads a file of variables. Its ${…} see the lines before, and what is known, the first before the others. An error is
// one line.
func parseVariables(data []byte, known ...map[string]string) (map[string]string, error) {
	vars, err := dotenv.ParseWithLookup(bytes.NewReader(data), func(k string) (string, bool) {
		for _, vars := range known {
			if v, ok := vars[k]; ok {
				return v, true
			}
		}
		return "", false
	})
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return vars, nil
}

// bind gives the variables that an included file passes on by name the values that they have there.
func (f *file) bind(env map[string]string) {
	for i := range f.Namespaces {
		f.Namespaces[i].Value.Environment.bind(env)
	}
	for i := range f.Containers {
		f.Containers[i].Value.Environment.bind(env)
	}
}

func (p *pairs) bind(env map[string]string) {
	for i, w := range p.List {
		if v, ok := env[w.Value]; ok && w.Set {
			p.List[i].Value += "=" + v
		}
	}
	for i, e := range p.Map {
		if v, ok := env[e.Key]; ok && e.Value.Null {
			p.Map[i].Value.word.Value, p.Map[i].Value.Null = v, false
		}
	}
}
