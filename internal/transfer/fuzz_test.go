package transfer

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzUnpack: whatever the entries of a stream are called, and lead to, nothing beside the folder is made or changed. A line is an
// entry: its type, its name, where it leads, its content, by spaces.
func FuzzUnpack(f *testing.F) {
	for _, script := range []string{
		"0 a - hello", "5 d\n0 d/a - x", "2 l ..\n0 l/secret - x", "2 l ../secret\n0 l - x", "1 h ../secret", "2 a ../..\n2 b a/..\n0 b/secret - x",
		"0 ../secret - x", "0 /secret - x", "5 l\n2 l ..\n5 l\n0 l/a - x", "3 dev\n4 dev2\n6 fifo", "1 a b\n2 b a\n5 a", "7 x - y", "g x", "x y",
	} {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script string) {
		around := t.TempDir()
		dir, secret := filepath.Join(around, "in", "to"), filepath.Join(around, "in", "secret")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{secret, filepath.Join(around, "secret")} {
			if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_ = Unpack(t.Context(), stream(t, script), Local(), dir, Options{})
		for folder, want := range map[string]string{around: "in secret", filepath.Dir(dir): "secret to"} {
			entries, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("beside the folder there is %q", got)
			}
			file := filepath.Join(folder, "secret")
			content, err := os.ReadFile(file)
			if err != nil || string(content) != "secret" {
				t.Errorf("a file beside the folder has %q, %v", content, err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
				t.Errorf("a file beside the folder is %v, %v", info, err)
			}
		}
	})
}

// stream makes a tar stream of a script; what tar can't say is left out.
func stream(t *testing.T, script string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for line := range strings.Lines(script) {
		words := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(words) < 2 || words[0] == "" {
			continue
		}
		h := &tar.Header{Typeflag: words[0][0], Name: words[1], Mode: 0o755}
		content := ""
		if len(words) > 2 {
			h.Linkname = words[2]
		}
		if len(words) > 3 && h.Typeflag == tar.TypeReg {
			content = words[3]
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(h); err != nil {
			continue
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		return &b
	}
	return &b
}
