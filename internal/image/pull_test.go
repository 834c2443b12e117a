package image

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestSources(t *testing.T) {
	img := imageWith(t, v1.Config{Cmd: []string{"run"}}, []entry{file("a", "below")}, []entry{file("b", "above")})
	other := imageWith(t, v1.Config{}, []entry{file("other", "x")})
	host := serve(t, nil)
	push(t, host+"/web:1", img)
	push(t, host+"/many", mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}},
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &machine}}))
	folder, archive := t.TempDir(), filepath.Join(t.TempDir(), "web.tar")
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, i := range map[string]v1.Image{"web": img, "docker.io/library/other:2": other} {
		if err := path.AppendImage(i, layout.WithAnnotations(map[string]string{refName: tag})); err != nil {
			t.Fatal(err)
		}
	}
	tag, err := name.NewTag("web:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gzip", "--keep", archive).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	id, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{host + "/web:1", host + "/web@" + digestOf(t, img), host + "/many", "oci:" + folder + ":web", "docker-archive:" + archive, "docker-archive:" + archive + ".gz"} {
		s := storeIn(t)
		var last Progress
		got, err := s.Pull(t.Context(), Query{Reference: ref}, "", func(p Progress) { last = p })
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if got.ID != id.String() || len(got.Config.Command) != 1 || got.Size != 10 {
			t.Errorf("%s: got %+v", ref, got)
		}
		if last.Layer != 2 || last.Done == 0 || last.Total != 0 && last.Done != last.Total {
			t.Errorf("%s: progress ended at %+v", ref, last)
		}
		if now, err := s.Current(t.Context(), Query{Reference: ref}); err != nil || now != got.Digest {
			t.Errorf("%s names %s, %v; was %s when it was pulled", ref, now, err, got.Digest)
		}
		if b, err := os.ReadFile(filepath.Join(s.Folders(got)[0], "b")); err != nil || string(b) != "above" {
			t.Errorf("%s: the uppermost layer has %q, %v", ref, b, err)
		}
	}
	for ref, want := range map[string]string{
		host + "/absent":                   "NAME_UNKNOWN",
		"oci:" + folder:                    "2 of the images in the layout are meant",
		"oci:" + folder + ":none":          "0 of the images in the layout are meant",
		"oci:" + folder + "/no":            "no such file",
		"docker-archive:" + archive + "no": "no such file",
		"docker-archive:" + folder:         "is not a file",
	} {
		if _, err := storeIn(t).Pull(t.Context(), Query{Reference: ref}, "", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", ref, err, want)
		}
	}
	if got := pulled(t, storeIn(t), "oci:"+folder+":2"); len(got.Layers) != 1 {
		t.Errorf("by the tag of a whole reference: %+v", got)
	}
}

// A registry that is overworked, or a transfer that breaks off, is tried again; what will not get better isn't.
func TestRetry(t *testing.T) {
	var failures, refused atomic.Int32
	img := imageWith(t, v1.Config{}, []entry{file("a", strings.Repeat("x", 1<<16))}, []entry{file("b", "y")})
	host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.Contains(r.URL.Path, "/denied/"):
			refused.Add(1)
			w.WriteHeader(http.StatusForbidden)
			return true
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && failures.Add(-1) >= 0:
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write([]byte("the beginning"))
			return true // less than was promised: the server breaks the connection off
		case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") && failures.Add(-1) >= 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	push(t, host+"/a", img)
	failures.Store(3)
	s := storeIn(t)
	if _, err := s.Pull(t.Context(), Query{Reference: host + "/a"}, "", nil); err != nil {
		t.Errorf("after three failures: %v", err)
	}
	failures.Store(1000)
	if _, err := storeIn(t).Pull(t.Context(), Query{Reference: host + "/a"}, "", nil); err == nil {
		t.Error("a registry that never answers")
	}
	if got := 1000 - failures.Load(); got > 3*tries {
		t.Errorf("%d requests before it gave up", got)
	}
	if _, err := storeIn(t).Pull(t.Context(), Query{Reference: host + "/denied/a"}, "", nil); err == nil || refused.Load() > 2 {
		t.Errorf("a refusal: %v, after %d requests", err, refused.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := storeIn(t).Pull(ctx, Query{Reference: host + "/a"}, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// What was asked for is fetched, though the tag has gone on; a file that has is an error.
func TestPullOfADigest(t *testing.T) {
	t.Parallel()
	host := serve(t, nil)
	first := imageWith(t, v1.Config{User: "first"}, []entry{file("a", "1")})
	second := imageWith(t, v1.Config{User: "second"}, []entry{file("a", "2")})
	push(t, host+"/a", first)
	s := storeIn(t)
	digest, err := s.Current(t.Context(), Query{Reference: host + "/a"})
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/a", second)
	img, err := s.Pull(t.Context(), Query{Reference: host + "/a"}, digest, nil)
	if err != nil || img.Digest != digest || img.Config.User != "first" {
		t.Errorf("pulled %+v, %v", img, err)
	}
	if found, err := s.Find(Query{Reference: host + "/a"}); err != nil || found.Digest != digest {
		t.Errorf("by its tag it is %+v, %v", found, err)
	}
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := tarball.WriteToFile(archive, name.MustParseReference("a"), first); err != nil {
		t.Fatal(err)
	}
	if digest, err = s.Current(t.Context(), Query{Reference: "docker-archive:" + archive}); err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, name.MustParseReference("a"), second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), Query{Reference: "docker-archive:" + archive}, digest, nil); err == nil || !strings.Contains(err.Error(), "and was "+digest) {
		t.Errorf("of a file that is another image now: %v", err)
	}
}

// A reference may be there for several platforms; what is for one only is not taken for another.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	host := serve(t, nil)
	var index v1.ImageIndex = empty.Index
	for _, text := range []string{Machine(), "linux/riscv64", "linux/arm/v7"} {
		p, err := v1.ParsePlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		img := edited(t, imageWith(t, v1.Config{User: p.Architecture}, []entry{file("a", text)}), func(f *v1.ConfigFile) {
			f.Architecture, f.Variant = p.Architecture, p.Variant
		})
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	push(t, host+"/many", index)
	dir := filepath.Join(t.TempDir(), "layout")
	path, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = path.AppendIndex(index)
	}
	if err != nil {
		t.Fatal(err)
	}
	single := imageWith(t, v1.Config{}, []entry{file("a", "")})
	push(t, host+"/one", single)
	for _, ref := range []string{host + "/many", "oci:" + dir} {
		s := storeIn(t)
		// The machine's by its name is the machine's.
		for asked, user := range map[string]string{"": machine.Architecture, Machine(): machine.Architecture, "linux/riscv64": "riscv64", "linux/arm/v7": "arm"} {
			q := Query{Reference: ref, Platform: asked}
			digest, err := s.Current(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			img, err := s.Pull(t.Context(), q, digest, nil)
			if err != nil || img.Config.User != user {
				t.Errorf("%s for %q: %+v, %v", ref, asked, img, err)
			}
			if found, err := s.Find(q); err != nil || found.ID != img.ID || found.Digest != digest {
				t.Errorf("%s for %q in the store: %+v, %v", ref, asked, found, err)
			}
		}
		list, err := s.List()
		var platforms []string
		for _, img := range list {
			platforms = append(platforms, img.Platform)
		}
		if want := Machine() + " linux/arm/v7 linux/riscv64"; err != nil || strings.Join(platforms, " ") != want {
			t.Errorf("%s is there for %q, %v", ref, platforms, err)
		}
		if _, err := s.Pull(t.Context(), Query{Reference: ref, Platform: "linux/s390x"}, "", nil); err == nil {
			t.Errorf("%s for what it is not for", ref)
		}
		used := func() (map[string][]string, error) { return map[string][]string{list[2].ID: {"web of lab"}}, nil }
		var inUse *InUseError
		if err := s.Remove(t.Context(), ref, used); !errors.As(err, &inUse) {
			t.Errorf("removing what is in use for one platform: %v", err)
		}
		if err := s.Remove(t.Context(), ref, nobody); err != nil {
			t.Error(err)
		}
		if list, err := s.List(); err != nil || len(list) != 0 {
			t.Errorf("left in the store: %+v, %v", list, err)
		}
	}
	_, err = storeIn(t).Pull(t.Context(), Query{Reference: host + "/one", Platform: "linux/riscv64"}, "", nil)
	if err == nil || !strings.Contains(err.Error(), "it is for "+Machine()+", not for linux/riscv64") {
		t.Errorf("an image for one platform, for another: %v", err)
	}
}

// A layout whose index names itself had topo run out of stack.
func TestALayoutThatNamesItselfIsRefused(t *testing.T) {
	dir := t.TempDir()
	hash := strings.Repeat("ab", 32)
	index := `{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "size": 1, "digest": "sha256:` + hash + `"}]}`
	for name, content := range map[string]string{
		"oci-layout": `{"imageLayoutVersion": "1.0.0"}`, "index.json": index, "blobs/sha256/" + hash: index,
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(t.TempDir()).Pull(t.Context(), Query{Reference: "oci:" + dir}, "", nil)
	if err == nil || !strings.Contains(err.Error(), "name each other") {
		t.Errorf("the error is %v", err)
	}
}
