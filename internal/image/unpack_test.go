package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"topo/internal/testhost"
)

// An unpacked layer has owners, modes, times, links, devices and attributes as they were sent, and whiteouts as overlayfs has them.
func TestUnpack(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	s := Open("/var/lib/topo")
	host := serve(t, nil)
	owned := file("owned", "text")
	owned.Uid, owned.Gid, owned.Mode = 1234, 5678, 0o4751
	owned.PAXRecords = map[string]string{xattrPrefix + "security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}
	hard := owned // a link says the same as its file
	hard.Name, hard.Typeflag, hard.Linkname, hard.text = "hard", tar.TypeLink, "owned", ""
	plain := dir("d")
	plain.PAXRecords = map[string]string{xattrPrefix + "trusted.overlay.redirect": "/etc"}
	fifo := entry{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}, ""}
	null := entry{tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}, ""}
	push(t, host+"/a", imageWith(t, v1.Config{},
		[]entry{owned, hard, symlink("soft", "/owned"), plain, file("d/gone", "x"), file("d/kept", "x"), fifo, null},
		[]entry{file("d/.wh.gone", ""), dir("o"), file("o/.wh..wh..opq", ""), file("o/new", "x")}))
	img := pulled(t, s, host+"/a")
	folders := s.Folders(img)
	up, low := folders[0], folders[1]
	for path, want := range map[string]string{
		low:               "755 0 0 directory 0 0",
		low + "/owned":    "4751 1234 5678 regular file 0 0",
		low + "/soft":     "777 0 0 symbolic link 0 0",
		low + "/fifo":     "600 0 0 fifo 0 0",
		low + "/null":     "666 0 0 character special file 1 3",
		up + "/d/gone":    "0 0 0 character special file 0 0",
		up + "/o/new":     "644 0 0 regular file 0 0",
		s.dir:             "700 0 0 directory 0 0",
		s.dir + "/layers": "700 0 0 directory 0 0",
	} {
		if got := strings.TrimSpace(testhost.Run(t, "stat", "-c", "%a %u %g %F %Hr %Lr", path)); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	var a, b unix.Stat_t
	if err := errors.Join(unix.Stat(low+"/owned", &a), unix.Stat(low+"/hard", &b)); err != nil || a.Ino != b.Ino {
		t.Errorf("a hard link: inodes %d and %d, %v", a.Ino, b.Ino, err)
	}
	value := make([]byte, 64)
	if n, err := unix.Getxattr(low+"/owned", "security.capability", value); err != nil || n != 20 {
		t.Errorf("security.capability has %d bytes, %v", n, err)
	}
	if n, err := unix.Getxattr(up+"/o", "trusted.overlay.opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("the opaque folder: %v", err)
	}
	if _, err := unix.Getxattr(low+"/d", "trusted.overlay.redirect", value); err == nil {
		t.Error("a layer has told overlayfs to look elsewhere")
	}
	// As a root.
	if err := os.MkdirAll("/run/m", 0o755); err != nil {
		t.Fatal(err)
	}
	testhost.Run(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+up+":"+low, "/run/m")
	defer testhost.Run(t, "umount", "/run/m")
	if got := testhost.Run(t, "ls", "/run/m", "/run/m/d", "/run/m/o"); got != "/run/m:\nd\nfifo\nhard\nnull\no\nowned\nsoft\n\n/run/m/d:\nkept\n\n/run/m/o:\nnew\n" {
		t.Errorf("mounted, there is %q", got)
	}
}

// Layers that want to write elsewhere. What they aim at is beside the store, and must be as it was.
func TestMaliciousLayers(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	const target = "/var/lib/topo/target"
	huge := file("huge", "")
	huge.Size = 1 << 50
	var cut bytes.Buffer
	if err := tar.NewWriter(&cut).WriteHeader(&huge.Header); err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 12)
	owned := file("link", "x")
	owned.Uid, owned.Mode = 99, 0o777
	device := entry{tar.Header{Name: "out/sda", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 8}, ""}
	for what, data := range map[string][]byte{
		"dots":                  archiveOf(t, file(up+target+"/new", "bad")),
		"dots inside":           archiveOf(t, file("a/b/../../"+up+target+"/new", "bad")),
		"absolute":              archiveOf(t, file(target+"/new", "bad")),
		"through absolute link": archiveOf(t, symlink("out", target), file("out/new", "bad"), file("out/file", "bad")),
		"through dotted link":   archiveOf(t, symlink("out", up+target), file("out/new", "bad"), file("out/file", "bad")),
		"link to link":          archiveOf(t, symlink("one", target), symlink("two", "one"), file("two/new", "bad")),
		"link swapped for dir":  archiveOf(t, dir("out"), file("out/a", "x"), symlink("out", target), file("out/new", "bad"), dir("out"), file("out/file", "bad")),
		"folder over link":      archiveOf(t, symlink("out", target), dir("out/sub"), dir("out")),
		"over link":             archiveOf(t, symlink("link", target+"/file"), owned),
		"hard link out":         archiveOf(t, hardlink("hard", target+"/file"), file("hard", "bad")),
		"hard link by dots":     archiveOf(t, hardlink("hard", up+target+"/file"), file("hard", "bad")),
		"hard link by link":     archiveOf(t, symlink("out", target), hardlink("hard", "out/file"), file("hard", "bad")),
		"whiteout out":          archiveOf(t, file(up+target+"/.wh.file", "")),
		"whiteout by link":      archiveOf(t, symlink("out", target), file("out/.wh.file", "")),
		"whiteout of dots":      archiveOf(t, dir("a"), file("a/.wh..", "")),
		"whiteout of parent":    archiveOf(t, dir("a"), file("a/.wh...", "")),
		"opaque out":            archiveOf(t, symlink("out", target), file("out/.wh..wh..opq", "")),
		"opaque root":           archiveOf(t, file(up+".wh..wh..opq", "")),
		"device by link":        archiveOf(t, symlink("out", target), device),
		"the root itself":       archiveOf(t, symlink(".", target), symlink("/", target), file("new", "bad")),
		"huge":                  append(cut.Bytes(), make([]byte, 1024)...),
		"cut":                   archiveOf(t, file("a", strings.Repeat("x", 4096)))[:2048],
		"no archive":            []byte(strings.Repeat("not a tar", 1000)),
	} {
		t.Run(what, func(t *testing.T) {
			if err := errors.Join(os.MkdirAll(target, 0o755), os.WriteFile(target+"/file", []byte("good"), 0o644)); err != nil {
				t.Fatal(err)
			}
			s := Open("/var/lib/topo")
			before := testhost.Run(t, "sh", "-c", "stat -c '%n %i %a %u %h %s %Y' "+target+" "+target+"/*; cat "+target+"/file")
			folder, err := s.fetchBad(t, data)
			if after := testhost.Run(t, "sh", "-c", "stat -c '%n %i %a %u %h %s %Y' "+target+" "+target+"/*; cat "+target+"/file"); after != before {
				t.Errorf("it got out: %v\n%s\nbefore:\n%s", err, after, before)
			}
			for _, elsewhere := range []string{"/new", "/var/new", "/var/lib/topo/new", "/var/lib/topo/images/new", "/var/lib/topo/images/layers/new", "/var/lib/topo/images/tmp/new"} {
				if _, err := os.Lstat(elsewhere); err == nil {
					t.Errorf("it made %s", elsewhere)
				}
			}
			if err != nil {
				if rest, _ := os.ReadDir(s.tmp()); len(rest) > 0 {
					t.Errorf("it left %v", rest)
				}
				if _, serr := os.Stat(folder); serr == nil {
					t.Errorf("half of it is taken for whole: %v", err)
				}
			}
			testhost.Run(t, "rm", "-rf", "/var/lib/topo/images", target)
		})
	}
}

func (s *Store) fetchBad(t *testing.T, data []byte) (folder string, err error) {
	t.Helper()
	digest, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.unpack(t.Context(), bytes.NewReader(data), digest.String())
	return s.layer(digest.String()), err
}

// What is sent must be what the digests say.
func TestDigests(t *testing.T) {
	data := archiveOf(t, file("a", "x"))
	s := storeIn(t)
	digest := "sha256:" + strings.Repeat("0", 64)
	if _, err := s.unpack(t.Context(), bytes.NewReader(data), digest); err == nil || !strings.Contains(err.Error(), "its content has the digest") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(s.layer(digest)); err == nil {
		t.Error("a wrong layer was kept")
	}
	for _, bad := range []string{"sha256:../../../x", "sha512:" + strings.Repeat("0", 128), "", "sha256:" + strings.Repeat("0", 63)} {
		if got := fileName(bad); got != noDigest {
			t.Errorf("%q has the file name %q", bad, got)
		}
	}
}
