package spec_test

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/spec"
)

// TestReference holds docs/reference/file.md against the types that read the file: each has each key of the other.
func TestReference(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/file.md")
	if err != nil {
		t.Fatal(err)
	}
	have, want := documented(string(page)), map[string][]string{}
	var later []string
	for _, typ := range rawTypes(spec.FileType(), map[reflect.Type]bool{}) {
		keys, notYet := keysOf(typ)
		later = append(later, notYet...)
		if len(keys) > 0 {
			want[typ.Name()] = keys
		}
	}
	if len(want) < 10 {
		t.Fatalf("only %d types were found", len(want))
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("keys by type (-code +page):\n%s", diff)
	}
	_, section, ok := strings.Cut(string(page), "## Not supported yet")
	if !ok {
		t.Fatal("no section on what is not supported yet")
	}
	for _, key := range later {
		if !strings.Contains(section, "`"+key+"`") {
			t.Errorf("%s is not among what is not supported yet", key)
		}
	}
	for _, word := range regexp.MustCompile("`([a-z_-]+)`").FindAllStringSubmatch(section, -1) {
		if !slices.Contains(later, word[1]) {
			t.Errorf("%s is said to be not supported yet, and the code doesn't know it", word[1])
		}
	}
}

// documented lists the keys of each table under a comment "keys of TYPE".
func documented(page string) map[string][]string {
	tables := map[string][]string{}
	key := regexp.MustCompile("`([a-z_-]+)`")
	current := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "<!-- keys of "); ok {
			current = strings.TrimSuffix(name, " -->")
			continue
		}
		if current == "" || !strings.HasPrefix(line, "| `") {
			if !strings.HasPrefix(line, "|") {
				current = ""
			}
			continue
		}
		first := strings.SplitN(line, "|", 3)[1]
		for _, m := range key.FindAllStringSubmatch(first, -1) {
			tables[current] = append(tables[current], m[1])
		}
	}
	for _, keys := range tables {
		slices.Sort(keys)
	}
	return tables
}

// rawTypes lists the struct types below t that have keys.
func rawTypes(t reflect.Type, seen map[reflect.Type]bool) []reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != spec.FileType().PkgPath() || seen[t] {
		return nil
	}
	seen[t] = true
	types := []reflect.Type{t}
	for i := range t.NumField() {
		types = append(types, rawTypes(t.Field(i).Type, seen)...)
	}
	return types
}

// keysOf lists the keys of a type, without those of the types embedded in it, and those that it refuses for now.
func keysOf(t reflect.Type) (keys, later []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		later = append(later, strings.Fields(f.Tag.Get("later"))...)
		if key, ok := f.Tag.Lookup("yaml"); ok && key != "-" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), slices.Sorted(maps.Keys(set(later)))
}

func set(words []string) map[string]bool {
	m := map[string]bool{}
	for _, w := range words {
		m[w] = true
	}
	return m
}
