package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"topo/schema"
)

var update = flag.Bool("update", false, "write the schema")

const file = "topology.schema.json"

func TestUpToDate(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(schema.JSON())); diff != "" {
		t.Errorf("%s is not what go generate makes (-want +got):\n%s", file, diff)
	}
}

// TestDescribed: an editor has a word to show for each key.
func TestDescribed(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(schema.JSON(), &root); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(path, e)
			}
		case map[string]any:
			for k, e := range v {
				if k == "properties" {
					for key, p := range e.(map[string]any) {
						keys++
						if d, _ := p.(map[string]any)["description"].(string); d == "" {
							t.Errorf("%s: key %s has no description", path, key)
						}
					}
				}
				walk(path+"/"+k, e)
			}
		}
	}
	walk("", root)
	if keys < 80 {
		t.Errorf("only %d keys were found", keys)
	}
}

// beyond are bad files that a schema can't see through: what is wrong with them is between two places, or needs more
// than a pattern, or is gone once the file is read.
var beyond = map[string]string{
	"accept-ra":         "values of other keys",
	"alias-bomb":        "aliases are written out before",
	"anchor-in-itself":  "not a tree",
	"bridge-full":       "a count over the file",
	"control-character": "not YAML",
	"cycles":            "a graph",
	"default-routes":    "keys of other bridges",
	"duplicate-keys":    "not YAML",
	"extends-no-file":   "other files",
	"gateways":          "addresses against subnets",
	"include-mistakes":  "other files",
	"interface-words":   "what a shell and iptables read otherwise",
	"keys-not-text":     "not JSON",
	"macs-and-families": "addresses of other nodes",
	"merge-bomb":        "merges are carried out before",
	"merge-of-no-map":   "merges are carried out before",
	"not-utf8":          "not YAML",
	"once":              "what two share",
	"overlaps":          "subnets against each other",
	"port-conflicts":    "ports of other nodes",
	"prefix-long":       "the sum of two names",
	"references":        "names of others",
	"subnets":           "arithmetic",
	"syntax":            "not YAML",
	"syntax-colon":      "not YAML",
	"sysctls":           "paths",
	"tab":               "not YAML",
	"tab-deeper":        "not YAML",
	"tags":              "tags are YAML's",
	"too-many-ports":    "a sum",
	"two-documents":     "each is well",
	"unknown-anchor":    "not YAML",
	"node-bridges":      "what is in a node",
	"variables":         "variables",
}

func TestExamplesAndGoodFiles(t *testing.T) {
	s := compile(t)
	for _, pattern := range []string{"../examples/*.yaml", "../spec/testdata/good/*.yaml"} {
		for _, path := range glob(t, pattern) {
			v, err := read(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if err := s.Validate(v); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	s := compile(t)
	for name := range beyond {
		if _, err := os.Stat("../spec/testdata/bad/" + name + ".yaml"); err != nil {
			t.Errorf("on the list and not there: %v", err)
		}
	}
	for _, path := range glob(t, "../spec/testdata/bad/*.yaml") {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		v, err := read(path)
		if err == nil {
			err = s.Validate(v)
			var invalid *jsonschema.ValidationError
			if err != nil && !errors.As(err, &invalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		switch _, excused := beyond[name]; {
		case err == nil && !excused:
			t.Errorf("%s: the schema takes it", name)
		case err != nil && excused && readable(path):
			t.Errorf("%s: the schema refuses it; take it off the list", name)
		}
	}
}

// readable reports whether a bad file is YAML at all: those that are not stay excused.
func readable(path string) bool {
	_, err := read(path)
	return err == nil
}

// TestLaterKeysAreNotPromised: what spec refuses as not supported yet is not offered by editors.
func TestLaterKeysAreNotPromised(t *testing.T) {
	for _, key := range []string{"expect"} {
		if bytes.Contains(schema.JSON(), []byte(`"`+key+`": {`)) {
			t.Errorf("the schema has key %s", key)
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.JSON()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read reads YAML as an editor does: aliases and merges carried out, then as JSON.
func read(path string) (any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	return files
}
