package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Source is the text of a topology file.
type Source struct {
	Name string // as it is shown in errors
	Data []byte
}

// Options are what a file's meaning depends on besides its text.
type Options struct {
	// Project is the project's name, as given by -p. "" = the file's name key, else
	// the base name of Dir, as Compose makes a name of it.
	Project string
	// Dir is the folder that relative paths start from; absolute.
	Dir string
	// Env are the variables of ${…}, of environment keys without a value, and HOME of ~.
	Env map[string]string
	// Profiles are those that are active; "*" is all.
	Profiles []string
	// Named are nodes that a person asked for by name: their profiles are active, too.
	Named []string
	// Scale says of nodes how many there are, whatever the file says.
	Scale map[string]int
	// Runtime is that of containers that don't state one; "" = topo's own choice of an OCI runtime.
	Runtime string
	// ReadFile reads a file that the topology names (include, extends, env_file) by its absolute path. nil: there are no files.
	ReadFile func(path string) ([]byte, error)
}

// Load reads a topology from its sources, each of which is laid over those before it by Compose's rules. When they, or
// files that they include or extend, are at fault the error is [Errors]: all mistakes that there are. A mistake of YAML's own
// syntax hides those after it.
func Load(sources []Source, o Options) (*Topology, error) {
	if len(sources) == 0 {
		return nil, Errors{{Msg: "no topology file"}}
	}
	a := newAssembly(o, sources)
	whole := a.model(sources, &reading{dir: o.Dir, env: o.Env})
	if a.unreadable {
		return nil, a.problems.sorted()
	}
	r := &resolver{problems: &a.problems, Options: o, file: whole, start: whole.Pos, folders: a.folders}
	t := r.resolve()
	if len(a.problems.list) > 0 {
		return nil, a.problems.sorted()
	}
	warnOfTraps(t, &a.warnings)
	t.Warnings = a.warnings.sorted()
	return t, nil
}

// Error is a mistake in a file.
type Error struct {
	Pos Pos // zero for a mistake that is in no file
	Msg string
}

func (e *Error) Error() string {
	if e.Pos == (Pos{}) {
		return e.Msg
	}
	return e.Pos.String() + ": " + e.Msg
}

// Errors are the mistakes of a file, by position.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// String is "file:line:column".
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// problems collects mistakes.
type problems struct{ list Errors }

func (p *problems) add(pos Pos, format string, args ...any) {
	for i, a := range args {
		if other, ok := a.(interface{ seenFrom(p Pos) string }); ok {
			args[i] = other.seenFrom(pos)
		}
	}
	p.list = append(p.list, &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)})
}

// sorted returns the mistakes by position, each once: what an alias repeats is found again at the same place.
func (p *problems) sorted() Errors {
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(
			strings.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	seen := map[Error]bool{}
	return slices.DeleteFunc(p.list, func(e *Error) bool {
		again := seen[*e]
		seen[*e] = true
		return again
	})
}
