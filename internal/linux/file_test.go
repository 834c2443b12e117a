package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	before := testhost.Machine(t)
	const path = "/etc/netns/web/hosts"
	content := "# topo:lab:hosts/web\n10.0.0.2 web\n"
	do(t, h, kernel.FileWrite{Path: path, Content: kernel.Text{content}})
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	open, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	content += "10.0.0.3 db\n"
	do(t, h, kernel.FileWrite{Path: path, Content: kernel.Text{content}})
	first, err := open.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(first, now) {
		t.Errorf("the file is another one: %v", err)
	}
	testhost.Run(t, "sh", "-c", "echo theirs >/etc/netns/web/other")
	s := snapshot(t, h)
	want := kernel.File{Path: path, Mark: kernel.Mark{Project: project, ID: "hosts/web"}, Content: kernel.Text{content}}
	if len(s.Files) != 1 || !cmp.Equal(s.Files[0], want) {
		t.Errorf("read %+v", s.Files)
	}
	do(t, h, kernel.FileDelete{Path: path})
	if _, err := os.Stat("/etc/netns/web/other"); err != nil {
		t.Error(err)
	}
	testhost.Run(t, "rm", "/etc/netns/web/other")
	do(t, h, kernel.FileDelete{Path: path})
	unchanged(t, before)
}

// Folders that were there before stay, empty or not.
func TestFoldersOfOthers(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	testhost.Run(t, "mkdir", "/etc/netns")
	before := testhost.Machine(t)
	do(t, h, kernel.FileWrite{Path: "/etc/netns/a/hosts", Content: kernel.Text{"x"}}, kernel.FileWrite{Path: "/etc/netns/b/hosts", Content: kernel.Text{"x"}})
	do(t, h, kernel.FileDelete{Path: "/etc/netns/b/hosts"}, kernel.FileDelete{Path: "/etc/netns/a/hosts"})
	unchanged(t, before)
}

func TestApplied(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	before := testhost.Machine(t)
	if b, err := ReadApplied(project); b != nil || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	for _, want := range []string{"{}", `{"a": {}}`} {
		if err := WriteApplied(project, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if b, err := ReadApplied(project); string(b) != want || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if err := WriteApplied("other", nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{project, "other", "other"} {
		if err := RemoveState(p); err != nil {
			t.Error(err)
		}
	}
	unchanged(t, before)
}

// Killed while it wrote, topo left a draft that stood there until down.
func TestDraftsOfAKilledTopoGoWithTheNextUp(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	dir := etcNetns + "/lab-web"
	write := kernel.FileWrite{Path: dir + "/hosts", Content: kernel.Text{"# " + mark("hosts/web") + "\n"}}
	do(t, h, write)
	wrote := testhost.Machine(t)
	do(t, h, kernel.FileDelete{Path: write.Path})
	h.folders.Lock()
	err := h.makeFolders(dir)
	h.folders.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, recordsDir, recordsDir + "/sysctl/lab"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+draft+"4194304-1", []byte("ha"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do(t, h, write)
	if err := WriteApplied(project, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(runDir + "/projects"); err != nil {
		t.Fatal(err)
	}
	if after := testhost.Machine(t); after != wrote {
		t.Errorf("at once:\n%s\nafter the kill:\n%s", wrote, after)
	}
}

// A topo that was killed after it made /etc/netns/NETNS and before it wrote the hosts file left both folders and
// their records behind for ever.
func TestFoldersOfAKilledTopoGoWithTheLastProject(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	before := testhost.Machine(t)
	h := open(t)
	h.folders.Lock()
	err := h.makeFolders(etcNetns + "/lab-web")
	h.folders.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	// Killed while it wrote, it left a draft; no process has the largest pid.
	for _, dir := range []string{etcNetns + "/lab-web", recordsDir, recordsDir + "/sysctl/lab", recordsDir + "/cards", recordsDir + "/uplinks"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+draft+"4194304-1", []byte("ha"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveState("lab"); err != nil {
		t.Fatal(err)
	}
	if after := testhost.Machine(t); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A draft of a process that was killed, and whose ID this one has now, is in nobody's way.
func TestDraftOfTheSameProcess(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	dir := t.TempDir()
	next := filepath.Join(dir, fmt.Sprintf("%s%d-%d", draft, os.Getpid(), drafts.Load()+1))
	testhost.Run(t, "sh", "-c", "echo theirs >"+next)
	if err := WritePrivate(dir+"/file", []byte("whole")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(dir + "/file"); string(b) != "whole" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
