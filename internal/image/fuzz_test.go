package image

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// FuzzLayer: whatever a layer says, nothing outside of the store's folder is made or changed, and half of a layer is none.
func FuzzLayer(f *testing.F) {
	for _, entries := range [][]entry{
		{file("../../../secret", "bad")},
		{symlink("out", "../../../.."), file("out/secret", "bad")},
		{hardlink("hard", "../../../secret")},
		{dir("a"), file("a/.wh...", ""), file("a/.wh..wh..opq", "")},
		{symlink(".", "/"), file("new", "bad")},
		{file("a", "x"), symlink("b", "a")},
	} {
		f.Add(archiveOf(f, entries...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		top := t.TempDir()
		if err := os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := Open(filepath.Join(top, "data"))
		digest, _, err := v1.SHA256(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.unpack(t.Context(), bytes.NewReader(data), digest.String())
		if _, there := os.Stat(s.layer(digest.String())); (there == nil) != (err == nil) {
			t.Errorf("the layer is there: %v; error %v", there == nil, err)
		}
		content, rerr := os.ReadFile(filepath.Join(top, "secret"))
		info, serr := os.Stat(filepath.Join(top, "secret"))
		if rerr != nil || serr != nil || string(content) != "secret" || info.Mode() != 0o600 {
			t.Errorf("the file outside is %q, %v %v", content, rerr, serr)
		}
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 2 {
			t.Errorf("outside there is %v, %v", entries, err)
		}
	})
}

// FuzzImageConfig: a config is read, or not; what is read can be kept and read again.
func FuzzImageConfig(f *testing.F) {
	for _, text := range []string{
		`{"config":{"User":"a:b","Env":["A=b","x"],"Entrypoint":["a"],"ExposedPorts":{"80/tcp":{}},"Volumes":{"/../x":{}},"WorkingDir":"../..","StopSignal":"SIGTERM"}}`,
		`{"config":{"Healthcheck":{"Test":["CMD-SHELL","x"],"Interval":-1,"Retries":99999999}},"rootfs":{"diff_ids":["sha256:../../x"]}}`,
		`{"config":{"Healthcheck":{"Test":["CMD-SHELL"]},"Shell":[""]}}`, `{}`, `null`, `[]`, `{"config":null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ReadConfig(raw)
		if err != nil {
			return
		}
		if c.Dir != "" && (!filepath.IsAbs(c.Dir) || filepath.Clean(c.Dir) != c.Dir) {
			t.Errorf("folder %q", c.Dir)
		}
		if c.Health != nil && (c.Health.Interval <= 0 || c.Health.Timeout <= 0 || c.Health.Retries <= 0 || len(c.Health.Argv) == 0) {
			t.Errorf("health check %+v", c.Health)
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
	})
}

// FuzzReference: no reference names a file of the store outside of it.
func FuzzReference(f *testing.F) {
	for _, text := range []string{"a", "a:b", "a@sha256:00", "oci:/x:y", "docker-archive:/x", "../..", "localhost:5000/a/b:c", "a\nb"} {
		f.Add(text, "sha256:00")
	}
	f.Fuzz(func(t *testing.T, text, digest string) {
		if r, err := parseReference(text); err == nil && r.remote == nil && r.layout+r.file == "" {
			t.Errorf("%q is nothing, and no error", text)
		}
		if name := fileName(digest); filepath.Base(name) != name || name == "." || name == ".." || name == "" {
			t.Errorf("%q has the file name %q", digest, name)
		}
	})
}
