package container

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzLogEntry: what a program printed is read from the log as it was written, in one line.
func FuzzLogEntry(f *testing.F) {
	for _, text := range []string{"", "a\n", "\"\\\x00\x1f\x7f", "\xff\xc3", "{\"log\":1}\n", "é\u2028"} {
		f.Add([]byte(text))
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		line := appendEntry(nil, text, "stdout", at)
		if bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q is %q in the log", text, line)
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := strings.ToValidUTF8(string(text), "\ufffd"); utf8.Valid(text) && e != (entry{want, "stdout", at}) {
			t.Errorf("%q is read as %+v", text, e)
		}
	})
}

// FuzzLog: a log's file with anything in it is read to its end, or is an error; from the front, and from the back.
func FuzzLog(f *testing.F) {
	for _, text := range []string{"", "\n\n", "{}\n", `{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}` + "\n{", "null\n[1]\n", "\x00\n"} {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, tail int) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(logFile(path, 1), data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, seek := range []bool{false, true} {
			r := &logReader{path: path}
			if seek {
				if err := r.seekTail(max(tail, 0) % 100); err != nil {
					r.close()
					continue
				}
			}
			n := 0
			for _, err := range r.entries() {
				if n++; err != nil {
					break
				}
			}
			r.close()
			if n > bytes.Count(data, []byte("\n"))+1 {
				t.Errorf("%d entries in %d bytes", n, len(data))
			}
		}
		_, _ = placeIn(path)
	})
}

// FuzzAccount: whatever an image's passwd and group say, a user is found or not, with ids that the kernel has.
func FuzzAccount(f *testing.F) {
	f.Add("root", []byte("root:x:0:0::/root:/bin/sh\n"), []byte("root:x:0:\nwheel:x:10:root\n"))
	f.Add("4294967295", []byte("a:x:4294967295:-1::/\n"), []byte("a:x:-1:a\n"))
	f.Add("a:b", []byte("a:x:x\n:::\n"), []byte("b:x:99999999999999999999:\n"))
	f.Fuzz(func(t *testing.T, who string, passwd, group []byte) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if a, err := findAccount(root, who); err == nil && (a.uid > 1<<31-1 || a.gid > 1<<31-1) {
			t.Errorf("%q is %+v", who, a)
		}
	})
}

// FuzzMounts: whatever mountinfo has, its lines are mounts or left out.
func FuzzMounts(f *testing.F) {
	f.Add("36 35 98:0 /m /mnt\\040a rw,noatime shared:1 - ext3 /dev/root rw\n")
	f.Add("1 - \n\\\\0\\777 - a")
	f.Fuzz(func(t *testing.T, info string) {
		if n := len(parseMounts(info)); n > strings.Count(info, "\n")+1 {
			t.Errorf("%d mounts in %q", n, info)
		}
	})
}

// FuzzAnswer: what a supervisor answers, or something in its place, is an error or none; so are its files.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{`{}`, `{"error":"a","errno":2}`, `{"error":"a","errno":-1,"command":"x"}`, `null`, `[`, `{"op":"stop","grace":-1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var r response
		if json.Unmarshal(data, &r) == nil {
			if err := r.err(); (err == nil) != (r.Error == "") {
				t.Errorf("%+v is the error %v", r, err)
			} else if err != nil && err.Error() == "" && r.Command == "" {
				t.Errorf("%+v has no words", r)
			}
		}
		path := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var rec record
		if readJSON(path, &rec) == nil {
			rec.group()
			rec.orphaned()
		}
	})
}

// TestUserOfTooHighAnID, which FuzzAccount found: an id of an image's passwd or group that has more than 32 bits was cut to another.
func TestUserOfTooHighAnID(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("a:x:4294967296:4294967295::/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if a, err := findAccount(root, "a"); err == nil || !strings.Contains(err.Error(), "4294967296") {
		t.Errorf("user a is %+v, error %v", a, err)
	}
}

// TestLogEntryWithoutATime, which FuzzLog found: the supervisor ended with a panic where a log's newest entry had no time.
func TestLogEntryWithoutATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(logFile(path, 1), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if place, err := placeIn(path); err != nil || place.read[""] != 1 {
		t.Errorf("place %+v, error %v", place, err)
	}
}
