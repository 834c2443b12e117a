package spec

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// assembly puts a file together from all that say something of it: several sources, what they include, what their nodes extend.
type assembly struct {
	problems, warnings problems
	Options
	// unreadable: a file is missing or no YAML, and what would be found in the others is not to be trusted.
	unreadable bool
	shown      string            // Options.Dir as messages show it
	folders    map[string]string // where relative paths start, by the name of their file
	read       int               // files so far
}

// maxFiles bounds what files can read by including one another: they can double their number with each.
const maxFiles = 1000

// reading is what those files have in common that are read for one another: the sources of a topology, or of an include, and
// what they extend.
type reading struct {
	dir   string            // where their relative paths start
	env   map[string]string // for ${…}
	above []string          // names of the files that include one another, down to these
	bases map[string]*part  // files that were read for their nodes, by name
}

// part is one file, and the tags !reset and !override in it.
type part struct {
	*file
	name string
	dir  string // where the paths of its extends start
	over overlay
}

func newAssembly(o Options, sources []Source) *assembly {
	a := &assembly{Options: o, shown: filepath.Dir(sources[0].Name), folders: map[string]string{}}
	for _, s := range sources {
		a.folders[s.Name] = o.Dir
	}
	return a
}

// model reads sources, each of which is laid over those before it.
func (a *assembly) model(sources []Source, r *reading) *file {
	whole := new(file)
	for i, s := range sources {
		p := a.part(s, r.dir, r.env)
		if p == nil {
			continue
		}
		a.include(p, r)
		extendAll(a, p, r, "namespaces", func(f *file) *dict[namespace] { return &f.Namespaces }, func(n *namespace) *node { return &n.node })
		extendAll(a, p, r, "containers", func(f *file) *dict[container] { return &f.Containers }, func(c *container) *node { return &c.node })
		if i == 0 {
			whole = p.file
		} else {
			p.over.merge("", reflect.ValueOf(whole).Elem(), reflect.ValueOf(p.file).Elem(), field{})
		}
	}
	return whole
}

// part decodes one file. nil: it can't be, and that is noted.
func (a *assembly) part(s Source, dir string, env map[string]string) *part {
	d := &decoder{file: s.Name, env: env}
	defer func() {
		a.problems.list = append(a.problems.list, d.problems.list...)
		a.warnings.list = append(a.warnings.list, d.warnings.list...)
	}()
	root := d.parse(s.Data)
	if root == nil {
		a.unreadable = true
		return nil
	}
	p := &part{file: new(file), name: s.Name, dir: dir, over: overlay{marks: d.takeMarks(root, s.Data)}}
	d.decode(root, p.file)
	p.Pos = d.at(root)
	return p
}

// open reads a file that a topology names, whose relative paths start at a folder, or at its own where that is "". Not ok: it
// can't be, and that is noted.
func (a *assembly) open(pos Pos, what, path, dir string) (s Source, ok bool) {
	fail := func(format string, args ...any) (Source, bool) {
		a.problems.add(pos, what+": "+format, args...)
		a.unreadable = true
		return Source{}, false
	}
	if a.read++; a.read > maxFiles {
		return fail("more than %d files", maxFiles)
	}
	if a.ReadFile == nil {
		return fail("no files can be read here")
	}
	s.Name = a.nameOf(path)
	if dir == "" {
		dir = filepath.Dir(path)
	}
	if before, again := a.folders[s.Name]; again && before != dir {
		return fail("relative paths in %s start at %s already, and can't start at %s, too", s.Name, before, dir)
	}
	a.folders[s.Name] = dir
	var err error
	if s.Data, err = a.ReadFile(path); err != nil {
		return fail("%s", err)
	}
	return s, true
}

// nameOf is how messages call a file: beside the topology's own.
func (a *assembly) nameOf(path string) string {
	rel, err := filepath.Rel(a.Dir, path)
	if err != nil || filepath.IsAbs(a.shown) {
		return path
	}
	return filepath.Join(a.shown, rel)
}

func from(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// include adds what the files have that a file includes. What both have is merged: the file's own goes before, and of two
// included ones the first.
func (a *assembly) include(p *part, r *reading) {
	for _, i := range p.Include {
		paths := i.Path.all()
		if i.Scalar.Set {
			paths = []text{i.Scalar}
		}
		below, ok := a.included(i, paths, p, r)
		if !ok {
			continue
		}
		var sources []Source
		for _, t := range paths {
			if s, ok := a.open(t.Pos, "include", from(r.dir, t.Value), below.dir); ok {
				sources = append(sources, s)
			}
		}
		if len(sources) < len(paths) {
			continue
		}
		f := a.model(sources, below)
		f.bind(below.env)
		importAll(p, "bridges", &p.Bridges, f.Bridges)
		importAll(p, "namespaces", &p.Namespaces, f.Namespaces)
		importAll(p, "containers", &p.Containers, f.Containers)
		importAll(p, "volumes", &p.Volumes, f.Volumes)
		for _, l := range f.Links {
			if !slices.ContainsFunc(p.Links, func(own link) bool { return reflect.DeepEqual(own, l) }) {
				p.Links = append(p.Links, l)
			}
		}
	}
}

// included is what the files of an include have in common.
func (a *assembly) included(i include, paths []text, p *part, r *reading) (*reading, bool) {
	if len(paths) == 0 || paths[0].Value == "" {
		if i.Path.Set || i.Scalar.Set {
			a.problems.add(i.Pos, "include names no file")
		}
		return nil, false
	}
	first := from(r.dir, paths[0].Value)
	below := &reading{dir: filepath.Dir(first), env: r.env, above: append(slices.Clone(r.above), filepath.Clean(p.name))}
	if i.ProjectDirectory.Set {
		below.dir = from(r.dir, i.ProjectDirectory.Value)
	}
	if at := slices.Index(below.above, a.nameOf(first)); at >= 0 {
		cycle := append(slices.Clone(below.above[at:]), below.above[at])
		a.problems.add(paths[0].Pos, "a file can't include itself: %s", strings.Join(cycle, " → "))
		a.unreadable = true
		return nil, false
	}
	env, ok := a.variables(i, below.dir, r)
	below.env = env
	return below, ok
}

// importAll adds entries of an included file.
func importAll[T any](p *part, section string, own *dict[T], included dict[T]) {
	for _, e := range included {
		i := slices.IndexFunc(*own, func(o entry[T]) bool { return o.Key == e.Key })
		switch {
		case i < 0:
			*own = append(*own, e)
		case reflect.DeepEqual((*own)[i].Value, e.Value): // the same one, by two ways
		default:
			merged := clone(reflect.ValueOf(&e.Value).Elem())
			p.over.merge(below(below("", section), e.Key), merged, reflect.ValueOf(&(*own)[i].Value).Elem(), field{})
			reflect.ValueOf(&(*own)[i].Value).Elem().Set(merged)
		}
	}
}

// clone is a deep copy, and addressable: what is merged into it changes nothing else.
func clone(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	unshare(c)
	return c
}

// unshare replaces what a value refers to by copies.
func unshare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			v.Set(clone(v.Elem()).Addr())
		}
	case reflect.Slice:
		if !v.IsNil() {
			v.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v))
		}
		for i := range v.Len() {
			unshare(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			unshare(v.Field(i))
		}
	}
}
