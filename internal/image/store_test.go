package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

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

// nobody uses an image.
var nobody Users = func() (map[string][]string, error) { return nil, nil }

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
	if _, _, err := s.Prune(t.Context(), nobody); err != nil {
		t.Error(err)
	}
}
