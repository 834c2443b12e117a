package spec_test

import (
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"topo/spec"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	// compose-go's template logs a variable that is unset inside the default of another.
	logrus.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// options are those of all files in testdata.
func options() spec.Options {
	files := map[string]string{
		"/srv/lab/a.env":    "A=from a\nB=from a\nC=\"${SET} and $A\"\n",
		"/srv/lab/b.env":    "B=from b\n",
		"/srv/lab/raw.env":  "# a comment\nR=\"${SET}\"\n",
		"/srv/lab/bad.env":  "A=1\nB C=1\n",
		"/srv/lab/open.env": "A=\"1\nB=2\n",

		"/srv/lab/base.yaml": "bridges: {back: }\ncontainers:\n  web: {command: [a], bridges: [back]}\n" +
			"  loop: {extends: {file: ./base.yaml, service: loop2}}\n  loop2: {extends: loop}\n  bad: {env_file: nowhere.env, scale: -1}\n",
		"/srv/lab/cycle.yaml":    "include: [sub/back.yaml]\n",
		"/srv/lab/sub/back.yaml": "include: [../cycle.yaml]\n",
		"/srv/lab/bad.yaml":      "containers:\n  db: {comand: [a], hostname: 5}\n",
		"/srv/lab/syntax.yaml":   "containers: [\n",
	}
	return spec.Options{
		Dir: "/srv/lab",
		Env: map[string]string{"HOME": "/root", "MTU": "1400", "SET": "yes", "EMPTY": ""},
		ReadFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
	}
}

func load(name, text string) (*spec.Topology, error) {
	return spec.Load([]spec.Source{{Name: name, Data: []byte(text)}}, options())
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	return files
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestBad reads each bad file and compares its mistakes with the text beside it.
func TestBad(t *testing.T) {
	for _, path := range glob(t, "testdata/bad/*.yaml") {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			topology, err := load(name, string(data))
			if topology != nil {
				t.Error("a topology came of it")
			}
			var list spec.Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("the error is %v, not of the file", err)
			}
			for _, e := range list {
				if e.Pos.File == "" || e.Pos.Line < 1 || e.Pos.Column < 1 {
					t.Errorf("no position: %v", e)
				}
				if strings.Contains(e.Msg, "\n") || e.Msg == "" {
					t.Errorf("not one line: %q", e.Msg)
				}
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}
