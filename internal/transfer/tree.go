package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// Tree is where files are copied from or to.
type Tree struct {
	// Open opens a folder. Links on the way, and at its end, lead where they would lead a process of the tree.
	Open func(path string) (*os.Root, error)
	// UID and GID own what is made here, unless owners are kept.
	UID, GID int
	// IDs say who the tree's owners are on the machine; the zero value: the same.
	IDs user.IdentityMapping
}

// Local are this machine's files.
func Local() Tree { return Tree{Open: os.OpenRoot, UID: os.Geteuid(), GID: os.Getegid()} }

// Options say how to copy.
type Options struct {
	// Archive keeps owners, set-user-ID bits, capabilities, devices and FIFOs.
	Archive bool
	// Follow copies what the named link leads to, in place of the link.
	Follow bool
	// Skipped, if not nil, hears what is not copied, and why.
	Skipped func(name, why string)
}

func (o Options) skip(name, why string) {
	if o.Skipped != nil {
		o.Skipped(name, why)
	}
}

// place is what a path leads to.
type place struct {
	dir  *os.Root    // the folder that it is in
	name string      // there; "." is the folder itself
	info fs.FileInfo // nil where there is nothing
	// all: the path says what is in the folder, not the folder ("web/.").
	all bool
}

// maxLinks is how many links may lead to others: MAXSYMLINKS of linux/namei.h.
const maxLinks = 40

// find goes to a path; the last link is followed where that is asked for, or a slash stands behind it.
func (t Tree) find(at string, follow bool) (place, error) {
	named := at
	for range maxLinks {
		word := strings.TrimRight(at, "/")
		slash := word != at
		parent, name := path.Split(word)
		switch {
		case at == "":
			return place{}, errors.New("the path is empty")
		case name == "" || name == "." || name == "..":
			dir, err := t.Open(at)
			if err != nil {
				return place{}, err
			}
			info, err := dir.Stat(".")
			return place{dir, ".", info, true}, err
		case parent == "":
			parent = "."
		}
		dir, err := t.Open(parent)
		if err != nil {
			return place{}, err
		}
		info, err := dir.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return place{dir: dir, name: name}, nil
		case err != nil:
			return place{}, errors.Join(err, dir.Close())
		case info.Mode()&fs.ModeSymlink == 0 || !follow && !slash:
			if slash && !info.IsDir() {
				return place{}, errors.Join(notFolder(named), dir.Close())
			}
			return place{dir: dir, name: name, info: info}, nil
		}
		link, err := dir.Readlink(name)
		if err := errors.Join(err, dir.Close()); err != nil {
			return place{}, err
		}
		if at = link; !path.IsAbs(link) {
			at = strings.TrimRight(parent, "/") + "/" + link
		}
		if slash {
			at += "/"
		}
	}
	return place{}, &fs.PathError{Op: "open", Path: named, Err: syscall.ELOOP}
}

func notFolder(path string) error { return &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR} }

// source is find for what must be there.
func (t Tree) source(at string, follow bool) (place, error) {
	p, err := t.find(at, follow)
	if err == nil && p.info == nil {
		err = errors.Join(&fs.PathError{Op: "open", Path: at, Err: syscall.ENOENT}, p.dir.Close())
	}
	return p, err
}

// target finds the folder that something is to be put into, and the name that it gets there: as cp and docker cp do. "." says
// that what is in it goes there, and not it.
func (t Tree) target(at string, from place) (dir *os.Root, name string, err error) {
	p, err := t.find(at, true)
	if err != nil {
		return nil, "", err
	}
	switch {
	case p.info == nil && strings.HasSuffix(at, "/") && !from.info.IsDir():
		err = fmt.Errorf("there is no folder %s", at)
	case p.info == nil:
		return p.dir, p.name, nil
	case p.info.IsDir():
		dir, err := p.folder()
		if from.all {
			return dir, ".", err
		}
		return dir, from.name, err
	case from.info.IsDir():
		err = fmt.Errorf("%s is not a folder, and can't take one", at)
	default:
		return p.dir, p.name, nil
	}
	return nil, "", errors.Join(err, p.dir.Close())
}

// folder opens the folder that the place is.
func (p place) folder() (*os.Root, error) {
	if p.name == "." {
		return p.dir, nil
	}
	f, err := openFolder(p.dir, p.name)
	if err != nil {
		return nil, errors.Join(err, p.dir.Close())
	}
	dir, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	return dir, errors.Join(err, f.Close(), p.dir.Close())
}

// openFolder opens what was a folder a moment ago: os.Root's own ways would wait for a writer, where it is a FIFO since.
func openFolder(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
}
