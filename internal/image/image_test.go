package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// entry is a file of a layer.
type entry struct {
	tar.Header
	text string
}

func file(name, text string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, text}
}

func dir(name string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func symlink(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, Mode: 0o777}, ""}
}

func hardlink(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: to}, ""}
}

func archiveOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.text))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layerOf(t testing.TB, data []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// imageWith makes an image of layers, given as their files, the lowest first.
func imageWith(t testing.TB, config v1.Config, layers ...[]entry) v1.Image {
	t.Helper()
	img := empty.Image
	for _, entries := range layers {
		var err error
		if img, err = mutate.AppendLayers(img, layerOf(t, archiveOf(t, entries...))); err != nil {
			t.Fatal(err)
		}
	}
	return withConfig(t, img, config)
}

func withConfig(t testing.TB, img v1.Image, config v1.Config) v1.Image {
	t.Helper()
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.Config, f.OS, f.Architecture = config, "linux", machine.Architecture
	if img, err = mutate.ConfigFile(img, f); err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t testing.TB, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// a registry on loopback; before, if not nil, sees each request and may answer it.
func serve(t testing.TB, before func(w http.ResponseWriter, r *http.Request) bool) (host string) {
	t.Helper()
	answer := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before == nil || !before(w, r) {
			answer.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func push(t testing.TB, text string, img remote.Taggable) {
	t.Helper()
	ref, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	switch img := img.(type) {
	case v1.Image:
		err = remote.Write(ref, img)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// storeIn gives an empty store with no patience; the machine is the test's own.
func storeIn(t testing.TB) *Store {
	s := Open(t.TempDir())
	s.pause = 1
	return s
}

func pulled(t testing.TB, s *Store, ref string) Image {
	t.Helper()
	img, err := s.Pull(t.Context(), Query{Reference: ref}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Find(Query{Reference: ref})
	if err != nil || found.ID != img.ID || found.Digest != img.Digest {
		t.Fatalf("the store has %+v, %v; want %+v", found, err, img)
	}
	return img
}

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

// An unpacked layer has owners, modes, times, links, devices and attributes as they were sent, and whiteouts as overlayfs has them.
func TestUnpack(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	s := Open("/var/lib/topo")
	host := serve(t, nil)
	owned := file("owned", "text")
	owned.Uid, owned.Gid, owned.Mode = 1234, 5678, 0o4751
	owned.PAXRecords = map[string]string{xattrPrefix + "security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}
	hard := owned // a link says the same as its file
	hard.Name, hard.Typeflag, hard.Linkname, hard.text = "hard", tar.TypeLink, "owned", ""
	plain := dir("d")
	plain.PAXRecords = map[string]string{xattrPrefix + "trusted.overlay.redirect": "/etc"}
	fifo := entry{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}, ""}
	null := entry{tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}, ""}
	push(t, host+"/a", imageWith(t, v1.Config{},
		[]entry{owned, hard, symlink("soft", "/owned"), plain, file("d/gone", "x"), file("d/kept", "x"), fifo, null},
		[]entry{file("d/.wh.gone", ""), dir("o"), file("o/.wh..wh..opq", ""), file("o/new", "x")}))
	img := pulled(t, s, host+"/a")
	folders := s.Folders(img)
	up, low := folders[0], folders[1]
	for path, want := range map[string]string{
		low:               "755 0 0 directory 0 0",
		low + "/owned":    "4751 1234 5678 regular file 0 0",
		low + "/soft":     "777 0 0 symbolic link 0 0",
		low + "/fifo":     "600 0 0 fifo 0 0",
		low + "/null":     "666 0 0 character special file 1 3",
		up + "/d/gone":    "0 0 0 character special file 0 0",
		up + "/o/new":     "644 0 0 regular file 0 0",
		s.dir:             "700 0 0 directory 0 0",
		s.dir + "/layers": "700 0 0 directory 0 0",
	} {
		if got := strings.TrimSpace(testhost.Run(t, "stat", "-c", "%a %u %g %F %Hr %Lr", path)); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	var a, b unix.Stat_t
	if err := errors.Join(unix.Stat(low+"/owned", &a), unix.Stat(low+"/hard", &b)); err != nil || a.Ino != b.Ino {
		t.Errorf("a hard link: inodes %d and %d, %v", a.Ino, b.Ino, err)
	}
	value := make([]byte, 64)
	if n, err := unix.Getxattr(low+"/owned", "security.capability", value); err != nil || n != 20 {
		t.Errorf("security.capability has %d bytes, %v", n, err)
	}
	if n, err := unix.Getxattr(up+"/o", "trusted.overlay.opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("the opaque folder: %v", err)
	}
	if _, err := unix.Getxattr(low+"/d", "trusted.overlay.redirect", value); err == nil {
		t.Error("a layer has told overlayfs to look elsewhere")
	}
	// As a root.
	if err := os.MkdirAll("/run/m", 0o755); err != nil {
		t.Fatal(err)
	}
	testhost.Run(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+up+":"+low, "/run/m")
	defer testhost.Run(t, "umount", "/run/m")
	if got := testhost.Run(t, "ls", "/run/m", "/run/m/d", "/run/m/o"); got != "/run/m:\nd\nfifo\nhard\nnull\no\nowned\nsoft\n\n/run/m/d:\nkept\n\n/run/m/o:\nnew\n" {
		t.Errorf("mounted, there is %q", got)
	}
}

// Layers that want to write elsewhere. What they aim at is beside the store, and must be as it was.
func TestMaliciousLayers(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	const target = "/var/lib/topo/target"
	huge := file("huge", "")
	huge.Size = 1 << 50
	var cut bytes.Buffer
	if err := tar.NewWriter(&cut).WriteHeader(&huge.Header); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 12)
	owned := file("link", "x")
	owned.Uid, owned.Mode = 99, 0o777
	device := entry{tar.Header{Name: "out/sda", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 8}, ""}
	for what, data := range map[string][]byte{
		"dots":                  archiveOf(t, file(up+target+"/new", "bad")),
		"dots inside":           archiveOf(t, file("a/b/../../"+up+target+"/new", "bad")),
		"absolute":              archiveOf(t, file(target+"/new", "bad")),
		"through absolute link": archiveOf(t, symlink("out", target), file("out/new", "bad"), file("out/file", "bad")),
		"through dotted link":   archiveOf(t, symlink("out", up+target), file("out/new", "bad"), file("out/file", "bad")),
		"link to link":          archiveOf(t, symlink("one", target), symlink("two", "one"), file("two/new", "bad")),
		"link swapped for dir":  archiveOf(t, dir("out"), file("out/a", "x"), symlink("out", target), file("out/new", "bad"), dir("out"), file("out/file", "bad")),
		"folder over link":      archiveOf(t, symlink("out", target), dir("out/sub"), dir("out")),
		"over link":             archiveOf(t, symlink("link", target+"/file"), owned),
		"hard link out":         archiveOf(t, hardlink("hard", target+"/file"), file("hard", "bad")),
		"hard link by dots":     archiveOf(t, hardlink("hard", up+target+"/file"), file("hard", "bad")),
		"hard link by link":     archiveOf(t, symlink("out", target), hardlink("hard", "out/file"), file("hard", "bad")),
		"whiteout out":          archiveOf(t, file(up+target+"/.wh.file", "")),
		"whiteout by link":      archiveOf(t, symlink("out", target), file("out/.wh.file", "")),
		"whiteout of dots":      archiveOf(t, dir("a"), file("a/.wh..", "")),
		"whiteout of parent":    archiveOf(t, dir("a"), file("a/.wh...", "")),
		"opaque out":            archiveOf(t, symlink("out", target), file("out/.wh..wh..opq", "")),
		"opaque root":           archiveOf(t, file(up+".wh..wh..opq", "")),
		"device by link":        archiveOf(t, symlink("out", target), device),
		"the root itself":       archiveOf(t, symlink(".", target), symlink("/", target), file("new", "bad")),
		"huge":                  append(cut.Bytes(), make([]byte, 1024)...),
		"cut":                   archiveOf(t, file("a", strings.Repeat("x", 4096)))[:2048],
		"no archive":            []byte(strings.Repeat("not a tar", 1000)),
	} {
		t.Run(what, func(t *testing.T) {
			if err := errors.Join(os.MkdirAll(target, 0o755), os.WriteFile(target+"/file", []byte("good"), 0o644)); err != nil {
				t.Fatal(err)
			}
			s := Open("/var/lib/topo")
			before := testhost.Run(t, "sh", "-c", "stat -c '%n %i %a %u %h %s %Y' "+target+" "+target+"/*; cat "+target+"/file")
			folder, err := s.fetchBad(t, data)
			if after := testhost.Run(t, "sh", "-c", "stat -c '%n %i %a %u %h %s %Y' "+target+" "+target+"/*; cat "+target+"/file"); after != before {
				t.Errorf("it got out: %v\n%s\nbefore:\n%s", err, after, before)
			}
			for _, elsewhere := range []string{"/new", "/var/new", "/var/lib/topo/new", "/var/lib/topo/images/new", "/var/lib/topo/images/layers/new", "/var/lib/topo/images/tmp/new"} {
				if _, err := os.Lstat(elsewhere); err == nil {
					t.Errorf("it made %s", elsewhere)
				}
			}
			if err != nil {
				if rest, _ := os.ReadDir(s.tmp()); len(rest) > 0 {
					t.Errorf("it left %v", rest)
				}
				if _, serr := os.Stat(folder); serr == nil {
					t.Errorf("half of it is taken for whole: %v", err)
				}
			}
			testhost.Run(t, "rm", "-rf", "/var/lib/topo/images", target)
		})
	}
}

func (s *Store) fetchBad(t *testing.T, data []byte) (folder string, err error) {
	t.Helper()
	digest, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.unpack(t.Context(), bytes.NewReader(data), digest.String())
	return s.layer(digest.String()), err
}

// What is sent must be what the digests say.
func TestDigests(t *testing.T) {
	data := archiveOf(t, file("a", "x"))
	s := storeIn(t)
	digest := "sha256:" + strings.Repeat("0", 64)
	if _, err := s.unpack(t.Context(), bytes.NewReader(data), digest); err == nil || !strings.Contains(err.Error(), "its content has the digest") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(s.layer(digest)); err == nil {
		t.Error("a wrong layer was kept")
	}
	for _, bad := range []string{"sha256:../../../x", "sha512:" + strings.Repeat("0", 128), "", "sha256:" + strings.Repeat("0", 63)} {
		if got := fileName(bad); got != noDigest {
			t.Errorf("%q has the file name %q", bad, got)
		}
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

// A pull that was killed leaves things in tmp, layers without a config, or a config without layers: none of it counts, and the
// next pull makes it good.
func TestCrash(t *testing.T) {
	host := serve(t, nil)
	push(t, host+"/a", imageWith(t, v1.Config{}, []entry{file("a", "x")}, []entry{file("b", "y")}))
	s := storeIn(t)
	img := pulled(t, s, host+"/a")
	half := filepath.Join(s.tmp(), "layer-1", filesDir)
	for what, crash := range map[string]func() error{
		"no reference": func() error { return os.Remove(s.refFile(img)) },
		"no config":    func() error { return errors.Join(os.Remove(s.refFile(img)), os.Remove(s.configFile(img.ID))) },
		"no layer":     func() error { return os.RemoveAll(s.layer(img.Layers[1])) },
		"half a layer": func() error { return os.Remove(filepath.Join(s.layer(img.Layers[0]), sizeFile)) },
	} {
		if err := errors.Join(crash(), os.MkdirAll(half, 0o700)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Find(Query{Reference: host + "/a"}); !errors.Is(err, ErrAbsent) {
			t.Errorf("%s: %v", what, err)
		}
		if list, err := s.List(); err != nil || len(list) != 0 {
			t.Errorf("%s: listed %v, %v", what, list, err)
		}
		pulled(t, s, host+"/a")
		if rest, err := os.ReadDir(s.tmp()); err != nil || len(rest) > 0 {
			t.Errorf("%s: it left %v, %v", what, rest, err)
		}
	}
}

func TestRemove(t *testing.T) {
	host := serve(t, nil)
	shared := []entry{file("shared", "x")}
	push(t, host+"/a:1", imageWith(t, v1.Config{}, shared, []entry{file("a", "1")}))
	push(t, host+"/a:2", imageWith(t, v1.Config{}, shared, []entry{file("a", "2")}))
	push(t, host+"/a:3", imageWith(t, v1.Config{}, shared, []entry{file("a", "2")}))
	s := storeIn(t)
	one, two := pulled(t, s, host+"/a:1"), pulled(t, s, host+"/a:2")
	pulled(t, s, host+"/a:3") // another reference to the second image
	users := map[string][]string{one.ID: {"web of shop"}}
	used := func() (map[string][]string, error) { return users, nil }
	layers := func() int {
		list, err := os.ReadDir(filepath.Join(s.dir, "layers"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	var inUse *InUseError
	if err := s.Remove(t.Context(), host+"/a:1", used); !errors.As(err, &inUse) || !strings.Contains(err.Error(), "is in use by web of shop") {
		t.Errorf("error %v", err)
	}
	if err := s.Remove(t.Context(), host+"/a:9", used); !errors.Is(err, ErrAbsent) {
		t.Errorf("error %v", err)
	}
	if err := s.Remove(t.Context(), host+"/a:2", used); err != nil || layers() != 3 {
		t.Errorf("%d layers, %v", layers(), err)
	}
	if _, err := s.ByID(two.ID); err != nil {
		t.Errorf("an image with another reference: %v", err)
	}
	removed, kept, err := s.Prune(t.Context(), used)
	if err != nil || len(removed) != 1 || len(kept) != 1 || layers() != 2 {
		t.Errorf("removed %v, kept %v, %d layers, %v", removed, kept, layers(), err)
	}
	if _, err := s.Find(Query{Reference: host + "/a:1"}); err != nil {
		t.Error(err)
	}
	// An image that lost its reference to another one stays as long as it is in use.
	push(t, host+"/a:1", imageWith(t, v1.Config{}, shared, []entry{file("a", "new")}))
	pulled(t, s, host+"/a:1")
	if _, _, err := s.Prune(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ByID(one.ID); err != nil {
		t.Errorf("in use, without a reference: %v", err)
	}
	users = nil
	if _, _, err := s.Prune(t.Context(), used); err != nil || layers() != 0 {
		t.Errorf("%d layers are left, %v", layers(), err)
	}
}

// While an image is being taken into use, none is removed.
func TestUseKeepsImages(t *testing.T) {
	s := storeIn(t)
	release, err := s.Use(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Use(t.Context()); err != nil {
		t.Error(err)
	} else {
		again()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	if _, _, err := s.Prune(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	release()
	if _, _, err := s.Prune(t.Context(), func() (map[string][]string, error) { return nil, nil }); err != nil {
		t.Error(err)
	}
}

// What was asked for is fetched, though the tag has gone on; a file that has is an error.
func TestPullOfADigest(t *testing.T) {
	t.Parallel()
	host := serve(t, func(http.ResponseWriter, *http.Request) bool { return false })
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
		img := imageWith(t, v1.Config{User: p.Architecture}, []entry{file("a", text)})
		f, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		f = f.DeepCopy()
		f.Architecture, f.Variant = p.Architecture, p.Variant
		if img, err = mutate.ConfigFile(img, f); err != nil {
			t.Fatal(err)
		}
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
		if err := s.Remove(t.Context(), ref, func() (map[string][]string, error) { return nil, nil }); err != nil {
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
