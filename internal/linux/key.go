package linux

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"topo/internal/kernel"
)

func keyFile(project, name string) string { return filepath.Join(kernel.KeyDir, project, name) }

// keyAdd makes a private key, or brings one back. It is on the disk, whole, before anything uses it: a peer elsewhere may be told its
// public key, and never hears of another one.
func (h *Host) keyAdd(o kernel.KeyAdd) error {
	path := keyFile(o.Project, o.Name)
	h.traced("", "make key "+path)
	key := o.Key[:]
	if o.Key == (kernel.Secret{}) {
		made, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		key = made.Bytes()
	}
	for {
		dir := filepath.Dir(path)
		err := makeDir(dir)
		if err == nil {
			err = sweepDrafts(dir)
		}
		if err == nil {
			err = writeDurable(path, base64.StdEncoding.EncodeToString(key)+"\n")
		}
		if !errors.Is(err, fs.ErrNotExist) { // else another topo removed the folder, empty as it was
			return err
		}
	}
}

// writeDurable makes a file that only its owner reads, and has it on the disk when it returns; one that exists is left, and EEXIST.
func writeDurable(path, content string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, fmt.Sprintf("%s%d-*", draft, os.Getpid())) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // who comes next removes what killed writers left
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	for top := filepath.Dir(dataDir); strings.HasPrefix(dir, top); dir = filepath.Dir(dir) { // in which it is new at first
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (h *Host) keyDelete(o kernel.KeyDelete) error {
	path := keyFile(o.Project, o.Name)
	h.traced("", "remove key "+path)
	return removeRecord(path)
}

// readKeys lists the keys that topo made for a project.
func readKeys(project string) ([]kernel.Key, error) {
	if project == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(filepath.Join(kernel.KeyDir, project)) // sorted
	if err != nil {
		return nil, gone(err)
	}
	var keys []kernel.Key
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), draft) {
			continue
		}
		key, err := readKeyFile(keyFile(project, e.Name()))
		var path *fs.PathError
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		} else if errors.As(err, &path) {
			return nil, err
		}
		keys = append(keys, kernel.Key{Name: e.Name(), Public: key.Public()})
	}
	return keys, nil
}

// readKeyFiles looks into files with keys.
func readKeyFiles(paths []string) map[string]kernel.KeyFile {
	files := map[string]kernel.KeyFile{}
	for _, path := range paths {
		key, err := readKeyFile(path)
		f := kernel.KeyFile{Public: key.Public(), Print: key.Print()}
		if err != nil {
			f.Error = strings.TrimPrefix(err.Error(), path+" ")
		}
		files[path] = f
	}
	return files
}
