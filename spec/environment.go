package spec

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// environment puts the variables of a process together: env_file in order, environment over them.
func (r *resolver) environment(s *nodeState) []string {
	stated, removed := r.stated(s.raw.Environment)
	env := map[string]string{}
	for _, f := range s.raw.EnvFile.all() {
		r.readEnvFile(f, env, stated)
	}
	maps.Copy(env, stated)
	for _, k := range removed {
		delete(env, k)
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// stated reads environment. As in Compose, a bare name is a variable of topo's own environment; one that is not
// there takes the variable away from those of env_file.
func (r *resolver) stated(p pairs) (env map[string]string, removed []string) {
	env = map[string]string{}
	for _, kv := range p.read() {
		if problem := variableProblem(kv.key); problem != "" {
			r.add(kv.pos, "environment: variable %q %s", kv.key, problem)
			continue
		}
		value, given := kv.value, true
		if kv.null {
			value, given = r.Env[kv.key]
		}
		switch {
		case !given:
			removed = append(removed, kv.key)
		case strings.Contains(value, "\x00"):
			r.add(kv.pos, "environment: variable %q has a zero byte in it", kv.key)
		default:
			env[kv.key] = value
		}
	}
	return env, removed
}

func variableProblem(name string) string {
	switch {
	case name == "":
		return "has no name"
	case strings.ContainsAny(name, "=\x00"):
		return "has = in its name"
	case strings.ContainsFunc(name, unicode.IsSpace):
		return "has a blank in its name"
	}
	return ""
}

// all are the files in either form.
func (e envFiles) all() []envFile {
	if e.Scalar.Set {
		return []envFile{{origin: e.Scalar.origin, Scalar: e.Scalar}}
	}
	return e.List
}

// readEnvFile adds a file's variables. Their ${…} see topo's own environment, what the topology states, the files
// before, and the lines before.
func (r *resolver) readEnvFile(f envFile, env, stated map[string]string) {
	name := f.Path
	if f.Scalar.Set {
		name = f.Scalar
	}
	if !name.Set {
		return
	}
	if name.Value == "" {
		r.add(name.Pos, "env_file has no name")
		return
	}
	var data []byte
	err := errors.New("no files can be read here")
	if r.ReadFile != nil {
		data, err = r.ReadFile(r.absolute(name.Pos, name.Value))
	}
	if err != nil {
		if f.Required.or(true) {
			r.add(name.Pos, "env_file: %s", err)
		}
		return
	}
	if f.Format.Value == "raw" {
		r.readRaw(name.Pos, data, env)
		return
	}
	vars, err := parseVariables(data, r.Env, stated, env)
	if err != nil {
		r.add(name.Pos, "env_file %s: %s", name.Value, err)
		return
	}
	for k, v := range vars {
		if problem := variableProblem(k); problem != "" || strings.Contains(v, "\x00") {
			r.add(name.Pos, "env_file %s: variable %q is not one", name.Value, k)
			continue
		}
		env[k] = v
	}
}

// readRaw reads lines KEY=VALUE as they stand.
func (r *resolver) readRaw(pos Pos, data []byte, env map[string]string) {
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok {
			v, ok = r.Env[k]
		}
		if problem := variableProblem(k); problem != "" {
			r.add(pos, "env_file: line %d: variable %q %s", i+1, k, problem)
			continue
		}
		if ok {
			env[k] = v
		}
	}
}
