package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// InUseError says who needs an image.
type InUseError struct {
	Reference string
	By        []string
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("image %s is in use by %s", e.Reference, strings.Join(e.By, ", "))
}

// Users tells by whom images are used: names for people, by ID. It is asked while none can be taken into use.
type Users func() (map[string][]string, error)

// List gives all images that have a reference, by that.
func (s *Store) List() ([]Image, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "refs", "*.json"))
	if err != nil {
		return nil, err
	}
	var list []Image
	for _, file := range files {
		img, err := s.readRef(file)
		if errors.Is(err, ErrAbsent) {
			continue // what a removal left that was cut short
		}
		if err != nil {
			return nil, err
		}
		list = append(list, img)
	}
	slices.SortFunc(list, func(a, b Image) int {
		return cmp.Or(strings.Compare(a.Reference, b.Reference), strings.Compare(a.For, b.For))
	})
	return list, nil
}

// Remove forgets a reference, for all platforms, and removes what is of no further use. The error is ErrAbsent, or an
// *InUseError where it is the last reference of an image that is in use.
func (s *Store) Remove(ctx context.Context, text string, users Users) error {
	r, err := parseReference(text)
	if err != nil {
		return err
	}
	return s.alone(ctx, func() error {
		used, err := users()
		if err != nil {
			return err
		}
		list, err := s.List()
		if err != nil {
			return err
		}
		meant := func(i Image) bool { return i.Reference == r.text }
		if !slices.ContainsFunc(list, meant) {
			return ErrAbsent
		}
		for _, img := range list {
			others := slices.ContainsFunc(list, func(i Image) bool { return i.ID == img.ID && !meant(i) })
			if by := used[img.ID]; meant(img) && len(by) > 0 && !others {
				return &InUseError{img.Reference, by}
			}
		}
		for _, img := range list {
			if !meant(img) {
				continue
			}
			if err := os.Remove(s.refFile(img)); err != nil {
				return err
			}
		}
		return s.sweep(used)
	})
}

// Prune removes all images that nobody uses, and what former pulls left. It gives what it removed, and what it kept
// because it is in use.
func (s *Store) Prune(ctx context.Context, users Users) (removed []Image, kept []InUseError, err error) {
	err = s.alone(ctx, func() error {
		used, err := users()
		if err != nil {
			return err
		}
		list, err := s.List()
		if err != nil {
			return err
		}
		for _, img := range list {
			if by := used[img.ID]; len(by) > 0 {
				kept = append(kept, InUseError{img.Reference, by})
				continue
			}
			if err := os.Remove(s.refFile(img)); err != nil {
				return err
			}
			removed = append(removed, img)
		}
		return s.sweep(used)
	})
	return removed, kept, err
}

// alone runs f while nobody pulls, and nobody takes an image into use.
func (s *Store) alone(ctx context.Context, f func() error) error {
	for _, name := range []string{"pull.lock", "use.lock"} {
		release, err := s.lock(ctx, name, unix.LOCK_EX)
		if err != nil {
			return err
		}
		defer release()
	}
	return f()
}

// sweep removes configs that no reference names and nobody uses, then layers that no config names. A config goes before its
// layers; a layer loses its name before its files: what is half removed is never taken for whole.
func (s *Store) sweep(used map[string][]string) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	configs, layers := map[string]bool{}, map[string]bool{}
	keep := func(img Image) {
		configs[fileName(img.ID)+".json"] = true
		for _, l := range img.Layers {
			layers[fileName(l)] = true
		}
	}
	for _, img := range list {
		keep(img)
	}
	for id := range used {
		if img, err := s.ByID(id); err == nil {
			keep(img)
		} else if !errors.Is(err, ErrAbsent) {
			return err
		}
	}
	// References of images that are not whole any more name nothing.
	refs := map[string]bool{}
	for _, img := range list {
		refs[filepath.Base(s.refFile(img))] = true
	}
	if err := s.removeOthers("refs", refs); err != nil {
		return err
	}
	if err := s.removeOthers("configs", configs); err != nil {
		return err
	}
	if err := s.removeOthers("layers", layers); err != nil {
		return err
	}
	return os.RemoveAll(s.tmp())
}

func (s *Store) removeOthers(folder string, keep map[string]bool) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.tmp(), 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		gone := filepath.Join(s.tmp(), "gone-"+e.Name())
		if err := os.Rename(filepath.Join(s.dir, folder, e.Name()), gone); err != nil {
			return err
		}
		if err := os.RemoveAll(gone); err != nil {
			return err
		}
	}
	return nil
}
