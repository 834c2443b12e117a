package transfer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// capability is the attribute that gives a program rights, capabilities(7); as a record of a tar header (star's).
const (
	capability       = "security.capability"
	capabilityRecord = "SCHILY.xattr." + capability
)

// nobody is what the kernel calls an ID that a user namespace doesn't have (overflowuid).
const nobody = 65534

// inode is a file by its number: of one that has several names, the others are links to the first.
type inode struct{ dev, ino uint64 }

type packer struct {
	*tar.Writer
	tree  Tree
	root  *os.Root
	first map[inode]string
	o     Options
}

// pack writes what is at a place, called name in the stream.
func pack(w io.Writer, from Tree, at place, name string, o Options) error {
	p := packer{tar.NewWriter(w), from, at.dir, map[inode]string{}, o}
	err := p.worthwhile()
	if err == nil {
		err = p.add(at.name, name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is gone", at.name)
	case err != nil:
		return err // that the stream is not whole, which Close would say, is no news then
	}
	return p.Close()
}

// add writes one entry of the tree and, of a folder, all below.
func (p *packer) add(entry, name string) error {
	info, err := p.root.Lstat(entry)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		return p.addFile(entry, name, info)
	}
	h := p.header(info, name)
	switch info.Mode().Type() {
	case fs.ModeDir:
		h.Name += "/"
		if err := p.WriteHeader(h); err != nil {
			return err
		}
		return p.addBelow(entry, name)
	case fs.ModeSymlink:
		if h.Linkname, err = p.root.Readlink(entry); err != nil {
			return err
		}
	case fs.ModeSocket, fs.ModeIrregular:
		p.o.skip(name, "it is a socket")
		return nil
	}
	return p.WriteHeader(h)
}

func (p *packer) addBelow(entry, name string) error {
	f, err := openFolder(p.root, entry)
	if err != nil {
		return err
	}
	defer f.Close()
	if showsKernel(f) {
		p.o.skip(name, kernelsOwn)
		return nil
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, below := range names {
		err := p.add(path.Join(entry, below), path.Join(name, below))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // what has gone since is not missed
			return err
		}
	}
	return nil
}

// worthwhile fails where what is named shows the kernel.
func (p *packer) worthwhile() error {
	f, err := openFolder(p.root, ".")
	if err != nil {
		return err
	}
	defer f.Close()
	if showsKernel(f) {
		return errors.New(kernelsOwn)
	}
	return nil
}

// kernelsOwn is why files of /proc and /sys are left out: they have no size, some no end, and to read others does something.
const kernelsOwn = "it shows the kernel's state and is no file"

func showsKernel(f *os.File) bool {
	var stat unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &stat) != nil {
		return false
	}
	switch stat.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return true
	}
	return false
}

func (p *packer) addFile(entry, name string, found fs.FileInfo) error {
	// What was a file a moment ago may be a FIFO that nobody writes to.
	f, err := p.root.OpenFile(entry, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, found) || !info.Mode().IsRegular() {
		return fmt.Errorf("%s changed while it was read", entry)
	}
	h := p.header(info, name)
	stat := info.Sys().(*syscall.Stat_t)
	file := inode{stat.Dev, stat.Ino}
	if link, known := p.first[file]; known && stat.Nlink > 1 {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, link, 0
		return p.WriteHeader(h)
	}
	p.first[file] = name
	value := make([]byte, 64) // of struct vfs_cap_data there are 24
	if n, err := unix.Fgetxattr(int(f.Fd()), capability, value); err == nil {
		h.PAXRecords = map[string]string{capabilityRecord: string(value[:n])}
	}
	if err := p.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.CopyN(p, f, h.Size); errors.Is(err, io.EOF) {
		return fmt.Errorf("%s became shorter while it was read", entry)
	} else if err != nil {
		return err
	}
	return nil
}

var typeflags = map[fs.FileMode]byte{
	0: tar.TypeReg, fs.ModeDir: tar.TypeDir, fs.ModeSymlink: tar.TypeSymlink, fs.ModeNamedPipe: tar.TypeFifo,
	fs.ModeDevice: tar.TypeBlock, fs.ModeDevice | fs.ModeCharDevice: tar.TypeChar,
}

// header says everything of a file. tar.FileInfoHeader would look users up by name, in the files of this machine.
func (p *packer) header(info fs.FileInfo, name string) *tar.Header {
	stat := info.Sys().(*syscall.Stat_t)
	h := &tar.Header{
		Format: tar.FormatPAX, Typeflag: typeflags[info.Mode().Type()], Name: name,
		Mode: int64(stat.Mode & 0o7777), Uid: int(stat.Uid), Gid: int(stat.Gid), ModTime: time.Unix(stat.Mtim.Unix()),
	}
	var err error
	if h.Uid, h.Gid, err = p.tree.IDs.ToContainer(h.Uid, h.Gid); err != nil {
		h.Uid, h.Gid = nobody, nobody
	}
	switch h.Typeflag {
	case tar.TypeReg:
		h.Size = stat.Size
	case tar.TypeBlock, tar.TypeChar:
		h.Devmajor, h.Devminor = int64(unix.Major(stat.Rdev)), int64(unix.Minor(stat.Rdev))
	}
	return h
}
