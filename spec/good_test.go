package spec_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"topo/spec"
)

// TestGood reads each good file and compares what it means with the text beside it.
func TestGood(t *testing.T) {
	for _, path := range glob(t, "testdata/good/*.yaml") {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			topology, err := load(name, string(data))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".json", dump(t, topology))
		})
	}
}

// TestExamples reads what users are shown. A variable that is not set would show in their faces.
func TestExamples(t *testing.T) {
	for _, path := range glob(t, "../examples/*.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			topology, err := load(path, string(data))
			if err != nil {
				t.Fatal(err)
			}
			if len(topology.Nodes)+len(topology.Inactive) == 0 {
				t.Error("no nodes")
			}
			if len(topology.Warnings) > 0 {
				t.Error(topology.Warnings)
			}
		})
	}
}

// TestSame reads a file twice: the result depends on nothing else.
func TestSame(t *testing.T) {
	data, err := os.ReadFile("testdata/good/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, err := load("a", string(data))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := load("a", string(data))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first, again) {
			t.Fatal("two readings differ")
		}
	}
}

// dump writes a topology without positions and without what is zero.
func dump(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(prune(tree)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "Pos")
		delete(v, "RootPos")
		delete(v, "PlatformPos")
		for k, e := range v {
			if e = prune(e); e == nil || e == "" || e == false || e == 0.0 {
				delete(v, k)
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	}
	return v
}

func TestLoadOfNothing(t *testing.T) {
	if _, err := spec.Load(nil, spec.Options{}); err == nil {
		t.Error("no file at all was taken")
	}
}

func TestProjectName(t *testing.T) {
	for _, c := range []struct{ option, text, dir, want, wrong string }{
		{text: "name: lab", dir: "/srv/x", want: "lab"},
		{option: "mine", text: "name: lab", dir: "/srv/x", want: "mine"},
		{text: "x-nothing: 1", dir: "/srv/My Lab.2", want: "mylab2"},
		{text: "x-nothing: 1", dir: "/srv/__a", want: "a"},
		{text: "x-nothing: 1", dir: "/", wrong: "f:1:1: the project has no name, and its folder's makes none; write name"},
		{option: "A", text: "name: lab", wrong: `project name "A" must be lower-case letters, digits, - and _, and start with a letter or digit`},
	} {
		topology, err := spec.Load([]spec.Source{{Name: "f", Data: []byte(c.text)}}, spec.Options{Project: c.option, Dir: c.dir})
		switch {
		case c.wrong != "":
			if err == nil || err.Error() != c.wrong {
				t.Errorf("%+v: got %v", c, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", c, err)
		case topology.Name != c.want || topology.Prefix != c.want+"-":
			t.Errorf("%+v: got %q with prefix %q", c, topology.Name, topology.Prefix)
		}
	}
}

func TestUnsetVariableWarns(t *testing.T) {
	topology, err := load("f", "name: lab\ncontainers:\n  a: {hostname: \"a${NO}\", environment: {A: \"$NEIN\", B: \"${X:-${Y}}${EMPTY}\"}}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "f:3:17: variable NO is not set, and taken for empty\nf:3:44: variable NEIN is not set, and taken for empty"
	if got := topology.Warnings.Error(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
