package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"
)

// filesDir and sizeFile are what is in a layer's folder.
const (
	filesDir = "files"
	sizeFile = "size"
)

// unpack makes a layer's folder of a tar stream: whole, with the digest that it must have, and on disk; or not at all.
func (s *Store) unpack(ctx context.Context, content io.Reader, diffID string) (size int64, err error) {
	if err := errors.Join(os.MkdirAll(s.tmp(), 0o700), os.MkdirAll(filepath.Join(s.dir, "layers"), 0o700)); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(s.tmp(), "layer-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	files := filepath.Join(dir, filesDir)
	// It becomes the root of containers: all their users must get in. The umask is not asked.
	if err := errors.Join(os.Mkdir(files, 0o755), os.Chmod(files, 0o755)); err != nil {
		return 0, err
	}
	hash := sha256.New()
	content = io.TeeReader(content, hash)
	size, err = archive.Apply(ctx, files, content, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithFilter(disarm))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
		return 0, fmt.Errorf("unpacking: %w: the file system of %s must take devices and trusted.* attributes; an overlay does not", err, s.dir)
	}
	if err != nil {
		return 0, fmt.Errorf("unpacking: %w", err)
	}
	// What follows the end of the archive belongs to the digest.
	if _, err := io.Copy(io.Discard, content); err != nil {
		return 0, err
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != diffID {
		return 0, fmt.Errorf("its content has the digest %s", got)
	}
	if err := writeJSONFile(filepath.Join(dir, sizeFile), size); err != nil {
		return 0, err
	}
	// A name must never reach the disk before what it names.
	if err := syncAll(dir); err != nil {
		return 0, err
	}
	// One that has no size is somebody's leavings.
	if err := os.RemoveAll(s.layer(diffID)); err != nil {
		return 0, err
	}
	return size, os.Rename(dir, s.layer(diffID))
}

// xattrPrefix stands before an extended attribute in a tar header.
const xattrPrefix = "SCHILY.xattr."

// disarm takes attributes out of a header that mean something to overlayfs (redirects, opaque folders): a layer says
// such things by whiteouts alone.
func disarm(h *tar.Header) (bool, error) {
	maps.DeleteFunc(h.PAXRecords, func(key, _ string) bool { return strings.HasPrefix(key, xattrPrefix+"trusted.") })
	return true, nil
}

// syncAll writes what is in the file system of a folder to disk.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("writing %s to disk: %w", dir, err)
	}
	return nil
}

// layerSize is a layer's size; the error is ErrAbsent where there is none.
func (s *Store) layerSize(diffID string) (size int64, err error) {
	err = readJSON(filepath.Join(s.layer(diffID), sizeFile), &size)
	return size, err
}
