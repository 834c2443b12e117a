package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// scripted runs a shell script in an empty folder.
func scripted(t *testing.T, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run(t, dir, script)
	return dir
}

func run(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// list is all that is in a folder: names, kinds, modes, and what is in files or what links lead to.
func list(t *testing.T, dir string) string {
	t.Helper()
	return run(t, dir, `find . -mindepth 1 -printf '%P %y%m %l' -type f -printf '=' -exec cat {} \; -printf '\n' -o -mindepth 1 -printf '\n' | sed '/^$/d; s/ *$//' | LC_ALL=C sort`)
}

// rootedAt is a tree that has a folder as its root, as a container has.
func rootedAt(root string) Tree {
	tree := Local()
	tree.Open = func(path string) (*os.Root, error) {
		dir, err := os.Open(root)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		fd, err := unix.Openat2(int(dir.Fd()), path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY, Resolve: unix.RESOLVE_IN_ROOT})
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		at := os.NewFile(uintptr(fd), path)
		defer at.Close()
		link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err != nil {
			return nil, err
		}
		return os.OpenRoot(link)
	}
	return tree
}

// The rules of cp and docker cp.
func TestWhereItGoes(t *testing.T) {
	t.Parallel()
	const source = "echo one > file; mkdir -p dir/sub; echo two > dir/sub/two; ln -s sub dir/link; ln -s file soft; ln -s nowhere broken; ln -s dir way"
	for _, c := range []struct {
		name, source, there, target string
		follow                      bool
		want                        string // what is there then, or the error
	}{
		{name: "a file to a new name", source: "file", target: "new", want: "new f644 =one\n"},
		{name: "a file over a file", source: "file", there: "echo old > x", target: "x", want: "x f644 =one\n"},
		{name: "a file into a folder", source: "file", there: "mkdir d", target: "d", want: "d d755\nd/file f644 =one\n"},
		{name: "a file into a folder that is not there", source: "file", target: "d/", want: "there is no folder"},
		{name: "a file below what is not there", source: "file", target: "d/x", want: "no such file or directory"},
		{name: "a file over a folder of its name", source: "file", there: "mkdir -p d/file", target: "d", want: "file is a folder on one side only"},
		{name: "a file by a link over a file", source: "file", there: "echo old > x; ln -s x l", target: "l", want: "l l777 x\nx f644 =one\n"},
		{name: "a folder to a new name", source: "dir", target: "new", want: "new d755\nnew/link l777 sub\nnew/sub d755\nnew/sub/two f644 =two\n"},
		{name: "what is in a folder to a new name", source: "dir/.", target: "new", want: "new d755\nnew/link l777 sub\nnew/sub d755\nnew/sub/two f644 =two\n"},
		{name: "a folder into a folder", source: "dir", there: "mkdir d", target: "d", want: "d d755\nd/dir d755\nd/dir/link l777 sub\nd/dir/sub d755\nd/dir/sub/two f644 =two\n"},
		{name: "a folder with a slash is the folder", source: "dir/", there: "mkdir d", target: "d/", want: "d d755\nd/dir d755\nd/dir/link l777 sub\nd/dir/sub d755\nd/dir/sub/two f644 =two\n"},
		{
			name: "what is in a folder, into one that has some", source: "dir/.", there: "mkdir -p d/sub; chmod 700 d/sub; echo mine > d/mine; echo old > d/sub/two", target: "d",
			want: "d d755\nd/link l777 sub\nd/mine f644 =mine\nd/sub d700\nd/sub/two f644 =two\n",
		},
		{name: "a folder over a file", source: "dir", there: "echo x > x", target: "x", want: "is not a folder"},
		{name: "a folder over a link of its name", source: "dir", there: "mkdir d e; ln -s ../e d/dir", target: "d", want: "dir is a folder on one side only"},
		{name: "a link", source: "soft", target: "new", want: "new l777 file\n"},
		{name: "a link that leads nowhere", source: "broken", target: "new", want: "new l777 nowhere\n"},
		{name: "what a link leads to", source: "soft", follow: true, target: "new", want: "new f644 =one\n"},
		{name: "a slash follows a link", source: "way/", target: "new", want: "new d755\nnew/link l777 sub\nnew/sub d755\nnew/sub/two f644 =two\n"},
		{name: "a file with a slash", source: "file/", target: "new", want: "not a directory"},
		{name: "what is not there", source: "nothing", target: "new", want: "no such file or directory"},
		{name: "no path", source: "", target: "new", want: "the path is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			from, to := scripted(t, source), scripted(t, c.there)
			// Of two trees that have their root there, paths are absolute or not.
			src := c.source
			if src != "" {
				src = "/" + src
			}
			err := Copy(t.Context(), rootedAt(from), src, rootedAt(to), c.target, Options{Follow: c.follow})
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			if got := list(t, to); got != c.want {
				t.Errorf("there is:\n%swant:\n%s", got, c.want)
			}
		})
	}
}

// Everything about a file arrives; without Archive nothing that gives rights.
func TestWhatArrives(t *testing.T) {
	t.Parallel()
	from := scripted(t, `mkdir -m 2751 d; echo x > d/suid; chmod 4711 d/suid; ln d/suid d/again; mkfifo -m 600 d/pipe; touch -d '2001-02-03 04:05:06.789 UTC' d/suid
		head -c 70000 /dev/zero > d/big; mkdir -m 500 d/closed; echo y > d/closed/y; printf 'x' > "d/new
line"; touch -d '2002-02-03 UTC' d`)
	to := t.TempDir()
	var skipped []string
	o := Options{Skipped: func(name, why string) { skipped = append(skipped, name+": "+why) }}
	if err := Copy(t.Context(), Local(), from+"/d", Local(), to+"/plain", o); err != nil {
		t.Fatal(err)
	}
	if err := Copy(t.Context(), Local(), from+"/d", Local(), to+"/all", Options{Archive: true}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(skipped, "\n"); got != "plain/pipe: it is a device or a FIFO" {
		t.Errorf("skipped: %q", got)
	}
	for dir, want := range map[string]string{"plain": "d 751 2\nf 711 2\nd 500\n", "all": "d 2751 2\nf 4711 2\nd 2500\n"} {
		got := run(t, filepath.Join(to, dir), `find . -maxdepth 0 -printf '%y %m '; stat -c %h suid; find suid -printf '%y %m '; stat -c %h again; find closed -maxdepth 0 -printf '%y %m\n'; cmp suid again
			test suid -ef again`)
		if got != want {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
	if diff := run(t, from, "diff -r --no-dereference d "+to+"/all --exclude=pipe; test -p "+to+"/all/pipe"); diff != "" {
		t.Errorf("differs: %s", diff)
	}
	info, err := os.Stat(to + "/plain/suid")
	if err != nil || !info.ModTime().Equal(time.Date(2001, 2, 3, 4, 5, 6, 789e6, time.UTC)) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
	if info, err := os.Stat(to + "/plain"); err != nil || info.ModTime().Year() != 2002 {
		t.Errorf("the folder: %v, %v", info.ModTime(), err)
	}
	if left := run(t, to, "find . -name '.topo-*'"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// A tar stream is what tar makes and takes.
func TestStreams(t *testing.T) {
	t.Parallel()
	from := scripted(t, "mkdir -p d/sub; echo one > d/sub/one; ln -s /etc/passwd d/out; ln d/sub/one d/two")
	var packed bytes.Buffer
	if err := Pack(t.Context(), Local(), from+"/d", &packed, Options{}); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	cmd := exec.Command("tar", "-x")
	cmd.Dir, cmd.Stdin = to, &packed
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, want := list(t, to), list(t, from); got != want {
		t.Errorf("tar made:\n%swant:\n%s", got, want)
	}
	archive, err := exec.Command("tar", "-C", from, "-c", "d").Output()
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	if err := Unpack(t.Context(), bytes.NewReader(archive), Local(), again, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := list(t, again), list(t, from); got != want {
		t.Errorf("of tar's stream:\n%swant:\n%s", got, want)
	}
	for name, r := range map[string]string{"half": string(archive[:700]), "no tar": strings.Repeat("nonsense", 100)} {
		if err := Unpack(t.Context(), strings.NewReader(r), Local(), t.TempDir(), Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Unpack(t.Context(), bytes.NewReader(archive), Local(), from+"/d/sub/one", Options{}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("into a file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Copy(ctx, Local(), from+"/d", Local(), again+"/x", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if err := Pack(t.Context(), Local(), from+"/d", failing{}, Options{}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("nobody takes it: %v", err)
	}
}

// Folders that a stream names only in the paths of others were this machine's root's, who is nobody in a user namespace.
func TestFoldersThatAStreamLeavesOut(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	from := scripted(t, "mkdir -p a/b; echo x > a/b/x")
	archive, err := exec.Command("tar", "-C", from, "-c", "a/b/x").Output()
	if err != nil {
		t.Fatal(err)
	}
	ids := []user.IDMap{{ParentID: 1000, Count: 1 << 16}}
	tree := Tree{Open: os.OpenRoot, IDs: user.IdentityMapping{UIDMaps: ids, GIDMaps: ids}}
	for _, o := range []Options{{}, {Archive: true}} {
		to := t.TempDir()
		if err := Unpack(t.Context(), bytes.NewReader(archive), tree, to, o); err != nil {
			t.Fatal(err)
		}
		if got := run(t, to, "stat -c '%n %u:%g %a' a a/b a/b/x"); got != "a 1000:1000 755\na/b 1000:1000 755\na/b/x 1000:1000 644\n" {
			t.Errorf("%+v: there is %s", o, got)
		}
	}
}

// A file that gets shorter says so, and no more.
func TestOneErrorIsTold(t *testing.T) {
	t.Parallel()
	dir := scripted(t, "head -c 1000000 /dev/zero > big")
	cut := cutting(dir + "/big")
	if err := Pack(t.Context(), Local(), dir+"/big", &cut, Options{}); err == nil || err.Error() != "big became shorter while it was read" {
		t.Errorf("error %v", err)
	}
}

// cutting empties a file when the beginning of it is written.
type cutting string

func (c *cutting) Write(p []byte) (int, error) { return len(p), os.Truncate(string(*c), 0) }

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fs.ErrClosed }

// A stream, and links that are there already, lead nowhere but into the folder.
func TestNothingLeadsOut(t *testing.T) {
	t.Parallel()
	outside := scripted(t, "echo secret > secret; chmod 600 secret; mkdir d")
	reg := func(name, text string) []any {
		return []any{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o777, Size: int64(len(text))}, text}
	}
	link := func(kind byte, name, to string) []any {
		return []any{tar.Header{Typeflag: kind, Name: name, Linkname: to, Mode: 0o777}, ""}
	}
	for name, c := range map[string]struct {
		there   string
		entries [][]any
		fails   bool
	}{
		"dots":                       {"", [][]any{reg("../secret", "x")}, true},
		"dots within":                {"", [][]any{reg("a/../../secret", "x")}, true},
		"an absolute name":           {"", [][]any{reg(outside+"/secret", "x")}, false},
		"a link of the stream":       {"", [][]any{link(tar.TypeSymlink, "l", outside), reg("l/secret", "x")}, true},
		"a link over a link":         {"", [][]any{link(tar.TypeSymlink, "l", outside+"/secret"), reg("l", "x")}, false},
		"a link that is there":       {"ln -s " + outside + " l", [][]any{reg("l/secret", "x")}, true},
		"a file link that is there":  {"ln -s " + outside + "/secret l", [][]any{reg("l", "x")}, false},
		"a folder over a link":       {"ln -s " + outside + "/d l", [][]any{link(tar.TypeDir, "l/", "")}, true},
		"a hard link":                {"", [][]any{link(tar.TypeLink, "l", outside+"/secret")}, true},
		"a hard link with dots":      {"", [][]any{link(tar.TypeLink, "l", "../secret")}, true},
		"a hard link through a link": {"ln -s " + outside + " out", [][]any{link(tar.TypeLink, "l", "out/secret")}, true},
		"the folder is a file":       {"", [][]any{reg(".", "x")}, true},
	} {
		to := scripted(t, c.there)
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, e := range c.entries {
			h := e[0].(tar.Header)
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(e[1].(string))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(t.Context(), &b, Local(), to, Options{Archive: true}); (err != nil) != c.fails {
			t.Errorf("%s: error %v", name, err)
		}
		if got := list(t, outside); got != "d d755\nsecret f600 =secret\n" {
			t.Fatalf("%s: outside there is %s", name, got)
		}
		if left := run(t, to, "find . -name '.topo-*'"); left != "" {
			t.Errorf("%s: left behind: %s", name, left)
		}
	}
}

// Links of a tree lead where its own processes would be led.
func TestLinksOfATree(t *testing.T) {
	t.Parallel()
	root := scripted(t, "mkdir -p etc srv; echo inner > etc/passwd; ln -s /etc etc/abs; ln -s ../../../../../../etc srv/up; ln -s /etc/passwd srv/pw; ln -s pw srv/pw2; ln -s loop srv/loop; ln -s /srv/new srv/dangling")
	tree := rootedAt(root)
	for _, path := range []string{"/etc/abs/passwd", "/srv/up/passwd", "/srv/pw", "/srv/pw2", "/../../../etc/passwd"} {
		to := t.TempDir()
		if err := Copy(t.Context(), tree, path, Local(), to+"/x", Options{Follow: true}); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := list(t, to); got != "x f644 =inner\n" {
			t.Errorf("%s: got %q", path, got)
		}
	}
	from := scripted(t, "echo mine > x")
	for _, target := range []string{"/srv/up/", "/srv/pw2", "/srv/dangling"} {
		if err := Copy(t.Context(), Local(), from+"/x", tree, target, Options{}); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	if got := run(t, root, "cat etc/x etc/passwd srv/new; test -L srv/pw"); got != "mine\nmine\nmine\n" {
		t.Errorf("in the tree: %q", got)
	}
	if err := Copy(t.Context(), tree, "/srv/loop", Local(), from+"/y", Options{Follow: true}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a loop: %v", err)
	}
}

// Files of /proc have no size: they would arrive empty.
func TestTheKernelsOwn(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	for _, path := range []string{"/proc/self/status", "/proc/self"} {
		if err := Pack(t.Context(), Local(), path, &bytes.Buffer{}, Options{}); err == nil || err.Error() != kernelsOwn {
			t.Errorf("%s: %v", path, err)
		}
	}
	root := t.TempDir()
	if err := os.Mkdir(root+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	testhost.Run(t, "mount", "--bind", "/proc", root+"/proc")
	defer testhost.Run(t, "umount", root+"/proc")
	var skipped []string
	to := t.TempDir()
	err := Copy(t.Context(), Local(), root, Local(), to+"/x", Options{Skipped: func(name, _ string) { skipped = append(skipped, name) }})
	if got := list(t, to); err != nil || got != "x d755\nx/proc d555\n" || !slices.Equal(skipped, []string{"x/proc"}) {
		t.Errorf("%v, there is %q; skipped: %q", err, got, skipped)
	}
}

// What changes while it is read is never taken for something else, and nothing hangs.
func TestChangedWhileItIsRead(t *testing.T) {
	t.Parallel()
	dir := scripted(t, "echo secret > secret; mkdir d; echo x > d/x")
	stop := make(chan struct{})
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			x := filepath.Join(dir, "d", "x")
			_ = os.Remove(x)
			switch i % 4 {
			case 0:
				_ = os.Symlink("../secret", x)
			case 1:
				_ = os.Mkdir(x, 0o700)
			case 2: // in the place of a folder
				_ = unix.Mkfifo(x, 0o600)
			default:
				_ = os.WriteFile(x, []byte("x\n"), 0o600)
			}
		}
	}()
	for range 300 {
		var b bytes.Buffer
		if err := Pack(t.Context(), Local(), dir+"/d", &b, Options{}); err != nil && !strings.Contains(err.Error(), "x") {
			t.Error(err)
		}
		if strings.Contains(b.String(), "secret\n") {
			t.Fatal("a file outside was packed")
		}
	}
	close(stop)
	<-changed
}

// A container that made a FIFO of a folder between two looks at it held up topo cp for ever.
func TestAFolderThatIsAFIFOSinceHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	root, err := os.OpenRoot(scripted(t, "mkfifo was"))
	if err != nil {
		t.Fatal(err)
	}
	p := packer{tar.NewWriter(&bytes.Buffer{}), Local(), root, map[inode]string{}, Options{}}
	if err := p.addBelow("was", "was"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("packed: %v", err)
	}
	u := unpacker{root: root}
	if err := u.unmounted("was/x"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("unpacked below: %v", err)
	}
	at := place{dir: root, name: "was"}
	if _, err := at.folder(); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("opened: %v", err)
	}
}
