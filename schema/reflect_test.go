package schema_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"topo/spec"
)

// Patterns of what the file may say. A value with a variable in it may be anything.
const (
	variable    = `\$`
	projectName = `^[a-z0-9][a-z0-9_-]{0,62}$`
	objectName  = `^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`
	whole       = `^-?[0-9]+$`
	truth       = `^([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[yYnN])$`
	duration    = `^\+?(0|([0-9]*\.?[0-9]+|[0-9]+\.)(ns|us|µs|μs|ms|s|m|h|d|w))+$`
)

// generate makes the schema of package spec's raw types.
func generate(t *testing.T) []byte {
	t.Helper()
	r := jsonschema.Reflector{
		Anonymous:                  true,
		ExpandedStruct:             true,
		FieldNameTag:               "yaml",
		RequiredFromJSONSchemaTags: true,
		LookupComment:              comments(t),
		Mapper:                     leaf,
	}
	s := r.ReflectFromType(spec.FileType())
	s.Title = "topo topology"
	finish(s)
	for _, d := range s.Definitions {
		finish(d)
	}
	for key, pattern := range map[string]string{"bridges": objectName, "namespaces": objectName, "containers": objectName} {
		p, _ := s.Properties.Get(key)
		p.AnyOf[0].PropertyNames = &jsonschema.Schema{Pattern: pattern, Not: &jsonschema.Schema{Enum: []any{spec.Host}}}
	}
	name, _ := s.Properties.Get("name")
	*name = jsonschema.Schema{Description: name.Description, Type: "string", AnyOf: []*jsonschema.Schema{{Pattern: projectName}, {Pattern: variable}}}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// leaf is the schema of a raw type that is a scalar in YAML; nil for other types.
func leaf(t reflect.Type) *jsonschema.Schema {
	if t.PkgPath() != spec.FileType().PkgPath() {
		return nil
	}
	switch t.Name() {
	case "text":
		return &jsonschema.Schema{Type: "string"}
	case "number":
		return &jsonschema.Schema{Type: "integer"}
	case "flag":
		return &jsonschema.Schema{Type: "boolean"}
	case "word":
		return anyOf("string", "number", "boolean")
	case "maybe":
		return anyOf("string", "number", "boolean", "null")
	case "span":
		return &jsonschema.Schema{Type: "string", Pattern: duration}
	}
	return nil
}

func anyOf(types ...string) *jsonschema.Schema {
	s := new(jsonschema.Schema)
	for _, t := range types {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: t})
	}
	return s
}

// finish turns what reflection makes of a raw struct into what the decoder takes.
func finish(s *jsonschema.Schema) {
	if s.Properties == nil {
		return
	}
	forms := map[string]*jsonschema.Schema{}
	for p := s.Properties.Oldest(); p != nil; {
		next := p.Next()
		switch p.Key {
		case "Scalar", "List", "Map":
			forms[p.Key] = p.Value
			s.Properties.Delete(p.Key)
		default:
			p.Value = loosen(p.Value)
		}
		p = next
	}
	s.PatternProperties = map[string]*jsonschema.Schema{"^x-": {Description: "Ignored; for anchors."}}
	if len(forms) == 0 {
		return
	}
	keys := *s
	keys.Description = ""
	*s = jsonschema.Schema{Description: s.Description}
	for _, name := range slices.Sorted(maps.Keys(forms)) {
		form := loosen(forms[name])
		// An empty map or list is the section's null, and its type takes that; a form does not.
		if len(form.AnyOf) == 2 && form.AnyOf[1].Type == "null" {
			form = form.AnyOf[0]
		}
		s.AnyOf = append(s.AnyOf, form)
	}
	if keys.Properties.Len() > 0 {
		s.AnyOf = append(s.AnyOf, &keys)
	}
	if forms["Scalar"] == nil {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: "null"})
	}
}

// loosen lets variables stand for values, and nothing for an empty map or list.
func loosen(s *jsonschema.Schema) *jsonschema.Schema {
	described := func(alternatives ...*jsonschema.Schema) *jsonschema.Schema {
		d := s.Description
		s.Description = ""
		return &jsonschema.Schema{Description: d, AnyOf: alternatives}
	}
	switch {
	case s.Type == "integer":
		return described(s, &jsonschema.Schema{Type: "string", Pattern: whole + "|" + variable})
	case s.Type == "boolean":
		return described(s, &jsonschema.Schema{Type: "string", Pattern: truth + "|" + variable})
	case s.Type == "string" && s.Pattern != "":
		s.Pattern += "|" + variable
	case s.Type == "string" && s.Enum != nil:
		return described(s, &jsonschema.Schema{Type: "string", Pattern: variable})
	case s.Type == "array":
		s.Items = loosen(s.Items)
		if s.MinItems != nil {
			return s
		}
		return described(s, &jsonschema.Schema{Type: "null"})
	case s.Type == "object":
		// The value of a name may be left out: a namespace with nothing to say.
		if s.AdditionalProperties != nil && s.AdditionalProperties.Ref != "" {
			s.AdditionalProperties = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s.AdditionalProperties, {Type: "null"}}}
		}
		return described(s, &jsonschema.Schema{Type: "null"})
	}
	return s
}

// comments reads the comments of spec's types and fields from its source.
func comments(t *testing.T) func(reflect.Type, string) string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob("../spec/file*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of the raw types: %v", err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if d, ok := n.(*ast.GenDecl); ok {
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok {
						typeComments(found, ts, d.Doc)
					}
				}
			}
			return true
		})
	}
	return func(t reflect.Type, field string) string { return found[t.Name()+"."+field] }
}

func typeComments(found map[string]string, ts *ast.TypeSpec, doc *ast.CommentGroup) {
	found[ts.Name.Name+"."] = oneLine(doc)
	st, ok := ts.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range st.Fields.List {
		for _, name := range field.Names {
			found[ts.Name.Name+"."+name.Name] = oneLine(field.Doc)
		}
	}
}

func oneLine(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
