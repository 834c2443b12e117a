package transfer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type unpacker struct {
	root *os.Root
	tree Tree
	o    Options
	made []*tar.Header // folders that get their mode and time when all is in them
}

// unpack puts what a tar stream has into a folder.
func unpack(ctx context.Context, r io.Reader, to Tree, dir *os.Root, o Options) error {
	u := unpacker{root: dir, tree: to, o: o}
	for in := tar.NewReader(reader{ctx, r}); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return err
		}
		// As tar does, an absolute name is one in the folder.
		h.Name = path.Clean(strings.TrimLeft(h.Name, "/"))
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("%s leads out of the folder", h.Name)
		}
		if err := u.put(h, in); err != nil {
			return err
		}
	}
}

// put makes one entry. What is there in its place goes, but a folder and something else never replace each other.
func (u *unpacker) put(h *tar.Header, content io.Reader) error {
	folder := path.Dir(h.Name)
	if err := u.makeAbove(folder); err != nil {
		return err
	}
	there, err := u.root.Lstat(h.Name)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && there.IsDir() != (h.Typeflag == tar.TypeDir):
		return fmt.Errorf("%s is a folder on one side only", h.Name)
	case h.Typeflag == tar.TypeDir:
		return u.putFolder(h, err == nil)
	case err == nil:
		if err := u.unmounted(h.Name); err != nil {
			return err
		}
	}
	// It gets its name when it is whole.
	tmp := path.Join(folder, fmt.Sprintf(".topo-%016x", rand.Uint64()))
	made, err := u.make(h, tmp, content)
	if err == nil && made {
		err = u.root.Rename(tmp, h.Name)
	}
	// Of two names of one file rename(2) does nothing.
	if rerr := u.root.Remove(tmp); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// makeAbove makes a folder, and those above it, that the stream doesn't have, or has later.
func (u *unpacker) makeAbove(folder string) error {
	if _, err := u.root.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := u.makeAbove(path.Dir(folder)); err != nil {
		return err
	}
	if err := u.root.Mkdir(folder, 0o700); err != nil {
		return err
	}
	return u.dressNamed(&tar.Header{Name: folder, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Now()}, folder, unix.S_IFDIR)
}

// unmounted fails where something is mounted. In a mount namespace that is not the caller's, rename(2) would take that away.
func (u *unpacker) unmounted(name string) error {
	dir, err := openFolder(u.root, path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	var stat unix.Statx_t
	err = unix.Statx(int(dir.Fd()), path.Base(name), unix.AT_SYMLINK_NOFOLLOW, 0, &stat)
	if err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		err = unix.EBUSY
	}
	if err != nil {
		return &fs.PathError{Op: "rename", Path: name, Err: err}
	}
	return nil
}

// putFolder leaves one that is there as it is, unless all is to be as it was.
func (u *unpacker) putFolder(h *tar.Header, there bool) error {
	if !there {
		if err := u.root.Mkdir(h.Name, 0o700); err != nil {
			return err
		}
	}
	if !there || u.o.Archive {
		u.made = append(u.made, h)
	}
	return nil
}

// make makes anything but a folder, under a name of its own; made is false for what is left out.
func (u *unpacker) make(h *tar.Header, name string, content io.Reader) (made bool, err error) {
	switch h.Typeflag {
	case tar.TypeReg:
		return true, u.makeFile(h, name, content)
	case tar.TypeSymlink:
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return false, err
		}
		uid, gid, err := u.owner(h)
		if err != nil {
			return true, err
		}
		return true, u.root.Lchown(name, uid, gid)
	case tar.TypeLink:
		return true, u.root.Link(path.Clean(strings.TrimLeft(h.Linkname, "/")), name)
	case tar.TypeBlock, tar.TypeChar, tar.TypeFifo:
		if !u.o.Archive {
			u.o.skip(h.Name, "it is a device or a FIFO")
			return false, nil
		}
		return true, u.makeNode(h, name)
	}
	if h.Typeflag != tar.TypeXGlobalHeader {
		u.o.skip(h.Name, fmt.Sprintf("it is of type %q", h.Typeflag))
	}
	return false, nil
}

func (u *unpacker) makeFile(h *tar.Header, name string, content io.Reader) (err error) {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	if err := u.dress(h, f); err != nil {
		return err
	}
	if value := h.PAXRecords[capabilityRecord]; value != "" && u.o.Archive {
		return unix.Fsetxattr(int(f.Fd()), capability, []byte(value), 0)
	}
	return nil
}

// makeNode makes a device or a FIFO: os.Root has no way to.
func (u *unpacker) makeNode(h *tar.Header, name string) error {
	dir, err := openFolder(u.root, path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	kind := map[byte]uint32{tar.TypeBlock: unix.S_IFBLK, tar.TypeChar: unix.S_IFCHR, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	dev := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if err := unix.Mknodat(int(dir.Fd()), path.Base(name), kind|0o600, int(dev)); err != nil {
		return &fs.PathError{Op: "mknodat", Path: h.Name, Err: err}
	}
	return u.dressNamed(h, name, kind)
}

// dressNamed dresses what has a name, if that is still what was made.
func (u *unpacker) dressNamed(h *tar.Header, name string, kind uint32) error {
	f, err := u.root.OpenFile(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != kind {
		return fmt.Errorf("%s changed while it was made", h.Name)
	}
	return u.dress(h, f)
}

// dress gives what was made its owner, mode and time: by the open file, since somebody else may have put another one in its place.
// The owner first: changing it takes bits of the mode away.
func (u *unpacker) dress(h *tar.Header, f *os.File) error {
	uid, gid, err := u.owner(h)
	if err != nil {
		return err
	}
	mode := h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSticky | fs.ModeSetuid | fs.ModeSetgid)
	if !u.o.Archive {
		mode &^= fs.ModeSetuid | fs.ModeSetgid
	}
	at := "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) // fchmod(2) takes no O_PATH
	if err := os.Chown(at, uid, gid); err != nil {
		return err
	}
	if err := os.Chmod(at, mode); err != nil {
		return err
	}
	return os.Chtimes(at, time.Time{}, h.ModTime)
}

// owner is who is to own what was made, on the machine.
func (u *unpacker) owner(h *tar.Header) (uid, gid int, err error) {
	uid, gid = u.tree.UID, u.tree.GID
	if u.o.Archive {
		uid, gid = h.Uid, h.Gid
	}
	if uid, gid, err = u.tree.IDs.ToHost(uid, gid); err != nil {
		return 0, 0, fmt.Errorf("%s belongs to %d:%d, whom the node's user namespace doesn't have", h.Name, h.Uid, h.Gid)
	}
	return uid, gid, nil
}

// finish dresses the folders that were made, the innermost first.
func (u *unpacker) finish() error {
	for _, h := range slices.Backward(u.made) {
		if err := u.dressNamed(h, h.Name, unix.S_IFDIR); err != nil {
			return err
		}
	}
	return nil
}
