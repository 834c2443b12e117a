package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// Store is a folder of images; [Open] gives one.
type Store struct {
	dir   string
	pause time.Duration // before the first new try of a pull
}

// Open gives the store of topo's data folder. It touches nothing.
func Open(dataDir string) *Store {
	return &Store{dir: filepath.Join(dataDir, "images"), pause: time.Second}
}

// Image is one that a store has.
type Image struct {
	// Reference is what it was pulled by, with registry and tag; "" for one that is found by its ID.
	Reference string `json:"reference"`
	// Digest is what the reference named when it was pulled: of a manifest or index, or of an archive's config.
	Digest string `json:"digest"`
	// ID is the digest of the config, and so of all that the image is.
	ID     string             `json:"id"`
	Pulled time.Time          `json:"pulled"`
	Size   int64              `json:"size"`   // bytes of its layers, unpacked
	Layers []string           `json:"layers"` // diffIDs, the lowest first
	Config kernel.ImageConfig `json:"config"`
	// Platform is what the image says that it is for; For, what it was asked for by its reference, "" is the machine's.
	Platform string `json:"platform"`
	For      string `json:"for,omitempty"`
}

// ErrAbsent is what an image is that a store doesn't have.
var ErrAbsent = errors.New("not in the store")

// Find gives the image of a reference. The error is ErrAbsent where the store hasn't all of it.
func (s *Store) Find(q Query) (Image, error) {
	r, err := parse(q)
	if err != nil {
		return Image{}, err
	}
	return s.readRef(s.refFile(Image{Reference: r.text, For: r.foreign}))
}

func (s *Store) readRef(path string) (Image, error) {
	var ref Image
	if err := readJSON(path, &ref); err != nil {
		return Image{}, err
	}
	img, err := s.ByID(ref.ID)
	if err != nil {
		return Image{}, err
	}
	img.Reference, img.For, img.Digest, img.Pulled = ref.Reference, ref.For, ref.Digest, ref.Pulled
	return img, nil
}

// ByID gives the image with an ID.
func (s *Store) ByID(id string) (Image, error) {
	var img Image
	if err := readJSON(s.configFile(id), &img); err != nil {
		return Image{}, err
	}
	for _, layer := range img.Layers {
		if _, err := s.layerSize(layer); err != nil {
			return Image{}, err
		}
	}
	return img, nil
}

// Folders gives the folders of an image's layers, the uppermost first.
func (s *Store) Folders(img Image) []string {
	var list []string
	for i := len(img.Layers) - 1; i >= 0; i-- {
		list = append(list, filepath.Join(s.layer(img.Layers[i]), filesDir))
	}
	return list
}

// refFile is one file for each platform that a reference was pulled for.
func (s *Store) refFile(img Image) string {
	text := img.Reference
	if img.For != "" {
		text += "\n" + img.For
	}
	sum := sha256.Sum256([]byte(text))
	return filepath.Join(s.dir, "refs", hex.EncodeToString(sum[:])+".json")
}

func (s *Store) configFile(id string) string {
	return filepath.Join(s.dir, "configs", fileName(id)+".json")
}

func (s *Store) layer(diffID string) string { return filepath.Join(s.dir, "layers", fileName(diffID)) }
func (s *Store) tmp() string                { return filepath.Join(s.dir, "tmp") }

// noDigest is the name of what no store has.
const noDigest = "none"

// fileName is the name of a digest's file. It never leads out of the folder: all that is no digest has one name.
func fileName(digest string) string {
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if b, err := hex.DecodeString(hash); !ok || err != nil || len(b) != sha256.Size {
		return noDigest
	}
	return strings.ToLower(hash)
}

// Use takes images into use: until release is called, none is removed.
func (s *Store) Use(ctx context.Context) (release func(), err error) {
	return s.lock(ctx, "use.lock", unix.LOCK_SH)
}

// lock waits for a lock of the store, as long as ctx lasts.
func (s *Store) lock(ctx context.Context, name string, how int) (release func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	const pause = 20 * time.Millisecond
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(pause):
		}
	}
}

// writeJSON puts a file in place whole, and on disk; pull.lock is held.
func (s *Store) writeJSON(path string, v any) error {
	for _, dir := range []string{filepath.Dir(path), s.tmp()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	tmp := filepath.Join(s.tmp(), filepath.Base(path))
	if err := writeJSONFile(tmp, v); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func writeJSONFile(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrAbsent
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
