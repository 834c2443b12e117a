package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"topo/internal/kernel"
)

// furnish writes what Docker, too, writes into a container's root.
func furnish(in *os.Root, b *box) error {
	root := ownedRoot{in, int(b.onHost(0))}
	if b.Resolv == "" {
		// The view has no /run, where the host's may lead: show the file itself.
		if path, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
			b.Resolv = path
		}
	}
	// An image may have a link there: runc 1.1.5 follows one at /dev into the host's own files.
	for _, path := range []string{"dev", "proc", "sys"} {
		if info, err := root.Lstat(path); err == nil && !info.IsDir() {
			if err := errors.Join(root.Remove(path), root.Mkdir(path, 0o755)); err != nil {
				return fmt.Errorf("replacing /%s: %w", path, err)
			}
		}
	}
	// A link would lead the runtime to a place that is not there.
	for path, used := range map[string]bool{"etc/resolv.conf": b.Resolv != "", "etc/hosts": b.Hosts != "", "etc/hostname": true} {
		info, err := root.Lstat(path)
		if used && err == nil && info.Mode()&fs.ModeSymlink != 0 {
			if err := root.Remove(path); err != nil {
				return fmt.Errorf("replacing /%s: %w", path, err)
			}
		}
	}
	if err := root.MkdirAll("etc", 0o755); err != nil {
		return err
	}
	if err := root.WriteFile("etc/hostname", []byte(b.hostname+"\n"), 0o644); err != nil {
		return fmt.Errorf("writing /etc/hostname: %w", err)
	}
	for _, m := range b.mounts() {
		makeTarget(root, m)
	}
	for _, m := range b.Mounts {
		if m.Kind == kernel.TmpfsMount {
			// runc 1.1 gives a tmpfs the mode of what it is mounted on, whatever mode= says. Below another
			// mount that is out of reach, and so it is.
			_ = root.Chmod(strings.TrimPrefix(m.Target, "/"), fileMode(m.Mode))
		}
	}
	// A missing working folder is made, as under Docker. Below a mount, or behind a link out of
	// this root, the runtime sees to it.
	if dir := strings.TrimPrefix(filepath.Clean("/"+b.Dir), "/"); dir != "" {
		_ = root.MkdirAll(dir, 0o755)
	}
	return nil
}

// makeTarget makes what a mount is mounted on, as the runtime would; but that can't any more in a part of the
// view that has become read-only. Below another mount, or behind a link out of this root, it is
// left to the runtime.
func makeTarget(root ownedRoot, m specs.Mount) {
	target := strings.TrimPrefix(m.Destination, "/")
	if _, err := root.Stat(target); err == nil {
		if mode, stated := tmpfsMode(m); stated && m.Type == tmpfsType {
			_ = root.Chmod(target, mode)
		}
		return
	}
	if info, err := os.Stat(m.Source); m.Type == "bind" && err == nil && !info.IsDir() {
		if root.MkdirAll(filepath.Dir(target), 0o755) == nil {
			if f, err := root.OpenFile(target, os.O_CREATE|os.O_EXCL, 0o644); err == nil {
				f.Close()
				_ = root.own(target)
			}
		}
		return
	}
	_ = root.MkdirAll(target, 0o755)
	if mode, _ := tmpfsMode(m); m.Type == tmpfsType {
		_ = root.Chmod(target, mode)
	}
}

// ownedRoot is a container's root in which what is made belongs to the container's root user.
type ownedRoot struct {
	*os.Root
	uid int // on the host; his group has the same number
}

func (r ownedRoot) own(path string) error {
	if r.uid == 0 {
		return nil
	}
	return r.Lchown(path, r.uid, r.uid)
}

// Mkdir makes a folder.
func (r ownedRoot) Mkdir(path string, mode fs.FileMode) error {
	if err := r.Root.Mkdir(path, mode); err != nil {
		return err
	}
	return r.own(path)
}

// MkdirAll makes a folder and those above it that are not there.
func (r ownedRoot) MkdirAll(path string, mode fs.FileMode) error {
	if info, err := r.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if above := filepath.Dir(path); above != "." {
		if err := r.MkdirAll(above, mode); err != nil {
			return err
		}
	}
	return r.Mkdir(path, mode)
}

// WriteFile writes a file.
func (r ownedRoot) WriteFile(path string, data []byte, mode fs.FileMode) error {
	if err := r.Root.WriteFile(path, data, mode); err != nil {
		return err
	}
	return r.own(path)
}

// fileMode is a mode in the kernel's bits, inode(7), as package fs has it.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o1000: fs.ModeSticky, 0o2000: fs.ModeSetgid, 0o4000: fs.ModeSetuid} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}
