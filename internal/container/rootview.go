package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rootView is a private copy-on-write view of the host's root, of another folder, or of an image's layers: an overlay over it, and,
// since an overlay hides what is mounted below it, one over each file system mounted there (a separate
// /usr or /home). All is mounted in the calling thread's mount namespace only, and is
// gone with the container, whatever happens to topo.
//
// Not in a view of the host's root: /proc, /sys, /dev and /run, which a container has of its own, and topo's folders.
// A change that the host makes to a file appears unless the container has changed that file.
type rootView struct {
	source string   // what is viewed: "/", or a folder
	target string   // where the view is mounted: a folder
	store  string   // folder for what the container writes; it finds there what it wrote in its last run
	hidden []string // folders of the host with no place in the view
	layers []string // an image's folders, the uppermost first: they are viewed, and no source
	parts  []string // what is mounted in the view, below its root

	// With a user namespace: how the files' owners are shown, and where what is shown so is mounted. What the container writes
	// has the owners in store that it has on the host.
	ids   *idMap
	stage *stage
}

// pseudo are file systems that are windows on the kernel, not places for files.
var pseudo = []string{
	"proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "debugfs", "tracefs", "securityfs", "pstore",
	"bpf", "configfs", "fusectl", "hugetlbfs", "binfmt_misc", "nsfs", "autofs", "rpc_pipefs", "efivarfs", "selinuxfs",
}

// mount makes the view.
func (v *rootView) mount() error {
	if v.source == "" {
		return v.mountLayers()
	}
	mounts, err := readMounts("thread-self")
	if err != nil {
		return err
	}
	// Where mounts are listed, no path has a link in it.
	if v.source, err = filepath.EvalSymlinks(v.source); err != nil {
		return err
	}
	below := v.below(mounts)
	lower, err := v.lower(v.source)
	if err != nil {
		return err
	}
	if err := v.root(v.source, lower); err != nil {
		return err
	}
	for i, path := range below {
		if err := v.layer(path, strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// mountLayers makes a view of an image.
func (v *rootView) mountLayers() error {
	layers := v.layers
	if len(layers) == 0 {
		empty := filepath.Join(v.store, "empty")
		if err := os.MkdirAll(empty, 0o755); err != nil { // from the last run
			return err
		}
		layers = []string{empty}
	}
	// All options of a mount have one page together: 127 layers, which Docker takes, only have room by short names.
	lowers := make([]string, len(layers))
	for i, layer := range layers {
		layer, err := v.lower(layer)
		if err != nil {
			return err
		}
		dir, err := os.Open(layer)
		if err != nil {
			return fmt.Errorf("opening a layer of the image: %w", err)
		}
		defer dir.Close()
		lowers[i] = "/proc/self/fd/" + strconv.Itoa(int(dir.Fd()))
	}
	return v.root("the image", lowers...)
}

// lower is what an overlay takes in the place of a folder: the same without what is mounted below it, with its owners mapped.
func (v rootView) lower(path string) (string, error) {
	if v.ids == nil {
		return path, nil
	}
	return v.stage.show(v.ids, path, 0)
}

// root mounts the overlay that the others are in.
func (v rootView) root(what string, lowers ...string) error {
	err := v.overlay(v.target, "0", lowers...)
	var refused noOverlay
	if !errors.As(err, &refused) {
		return err
	}
	// Not every file system can take an overlay's writes (another overlay, as in a container, can't;
	// nor can NFS). Memory can.
	if err := unix.Mount("tmpfs", v.store, "tmpfs", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mounting memory for the root's writes: %w", err)
	}
	if merr := v.overlay(v.target, "0", lowers...); merr != nil {
		return fmt.Errorf("mounting an overlay over %s: %w", what, errors.Join(err, merr))
	}
	return nil
}

// below are the mounts that get an overlay of their own, those around others first.
func (v rootView) below(mounts []mountPoint) []string {
	hidden := v.hidden
	if v.stage != nil {
		hidden = append([]string{v.stage.dir}, hidden...)
	}
	if v.source == "/" {
		hidden = append([]string{"/proc", "/sys", "/dev", "/run"}, hidden...)
	}
	var paths []string
	for _, m := range mounts {
		if m.path == v.source || !within(m.path, v.source) || slices.Contains(pseudo, m.fstype) ||
			slices.ContainsFunc(hidden, func(dir string) bool { return within(m.path, dir) }) {
			continue
		}
		paths = append(paths, m.path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// layer shows what is mounted at path. Where no overlay can be had it is read-only, and a
// single file is, too: the host's is never written.
func (v *rootView) layer(path, name string) error {
	at := v.at(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil // unreadable for root, even: another user's FUSE mount
	}
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		return nil // hidden by a mount around it
	}
	v.parts = append(v.parts, at)
	// What can't be mapped has the owners that it has on the host: nobody, to the container.
	if lower, err := v.lower(path); err == nil {
		path = lower
	}
	if info.IsDir() {
		err := v.overlay(at, name, path)
		var refused noOverlay
		if !errors.As(err, &refused) {
			return err
		}
	}
	if err := unix.Mount(path, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing %s: %w", path, err)
	}
	return readOnly(at)
}

// at is where a path of the source is in the view.
func (v rootView) at(path string) string {
	return filepath.Join(v.target, strings.TrimPrefix(path, v.source))
}

// makeReadOnly makes everything but the root itself read-only.
func (v *rootView) makeReadOnly() error {
	for _, at := range v.parts {
		if err := readOnly(at); err != nil {
			return err
		}
	}
	return nil
}

func readOnly(at string) error {
	if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making %s read-only: %w", at, err)
	}
	return nil
}

// noOverlay is the kernel's word that file systems are no good for an overlay (fs/overlayfs/super.c). That it is short of something is
// none, nor that the folders for the overlay's writes can't be made.
type noOverlay struct{ error }

func (e noOverlay) Unwrap() error { return e.error }

// overlay mounts one over lowers, the uppermost first; name tells its folders in the store.
func (v rootView) overlay(target, name string, lowers ...string) error {
	upper, work := filepath.Join(v.store, "upper"+name), filepath.Join(v.store, "work"+name)
	// An overlay refuses the work folder of another one that was volatile: its upper folder might be damaged. That is
	// so after a crash of the machine, which nothing in here outlives.
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// The root of an overlay has the mode and owner of its upper folder.
	var st unix.Stat_t
	if err := unix.Stat(lowers[0], &st); err != nil {
		return err
	}
	if err := errors.Join(unix.Chown(upper, int(st.Uid), int(st.Gid)), unix.Chmod(upper, st.Mode&0o7777)); err != nil {
		return err
	}
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace
	escaped := make([]string, len(lowers))
	for i, lower := range lowers {
		escaped[i] = escape(lower)
	}
	options := "lowerdir=" + strings.Join(escaped, ":") + ",upperdir=" + escape(upper) + ",workdir=" + escape(work)
	// The view never outlives a crash, so it needs no syncing; before Linux 5.10 there is no such option.
	err := unix.Mount("overlay", target, "overlay", 0, options+",volatile")
	if err == unix.EINVAL {
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	switch err {
	case nil:
		return nil
	case unix.EINVAL, unix.EOPNOTSUPP:
		return noOverlay{err}
	}
	return fmt.Errorf("mounting an overlay on %s: %w", target, err)
}
