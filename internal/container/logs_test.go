package container

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"topo/internal/kernel"
)

// writeLog makes the log of a node that has one entry at each of these seconds.
func writeLog(t *testing.T, l layout, node string, lines map[int]string) {
	t.Helper()
	if err := l.makeNode(node); err != nil {
		t.Fatal(err)
	}
	w, err := openLog(l.log(node))
	if err != nil {
		t.Fatal(err)
	}
	for second := range 100 {
		if text, ok := lines[second]; ok {
			stream := "stdout"
			if strings.HasPrefix(text, "err") {
				stream = "stderr"
			}
			w.write(entry{Log: text, Stream: stream, Time: logTime(second)})
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
}

func logTime(second int) time.Time { return time.Date(2030, 1, 2, 3, 4, second, 0, time.UTC) }

func TestLogs(t *testing.T) {
	t.Parallel()
	e := New(Config{RunDir: t.TempDir(), DataDir: t.TempDir()})
	l := e.layout("lab")
	writeLog(t, l, "web", map[int]string{1: "one\n", 3: "three\n", 5: "five "})
	writeLog(t, l, "redis", map[int]string{2: "two\n", 4: "err four\n", 6: "six\n"})
	for _, c := range []struct {
		name, stdout, stderr string
		r                    LogsRequest
	}{
		{"all", "one\ntwo\nthree\nfive six\n", "err four\n", LogsRequest{Tail: -1}},
		{"one", "one\nthree\nfive ", "", LogsRequest{Tail: -1, Nodes: []string{"web"}}},
		{"tail", "five six\n", "", LogsRequest{Tail: 1}},
		{"tail 2", "three\nfive six\n", "err four\n", LogsRequest{Tail: 2}},
		{"none", "", "", LogsRequest{}},
		{"since", "five six\n", "err four\n", LogsRequest{Tail: -1, Since: logTime(4)}},
		{"prefix", "web    | one\nredis  | two\nweb    | three\nweb    | five redis  | six\n", "redis  | err four\n", LogsRequest{Tail: -1, Prefix: true}},
		{"times", "2030-01-02T03:04:02Z two\n", "", LogsRequest{Tail: -1, Nodes: []string{"redis"}, Since: logTime(2), Timestamps: true}},
		{"colour", "\x1b[36mredis  | \x1b[0msix\n", "", LogsRequest{Tail: 1, Nodes: []string{"redis"}, Prefix: true, Color: true}},
		{"unknown", "", "", LogsRequest{Tail: -1, Nodes: []string{"nobody"}}},
	} {
		var stdout, stderr bytes.Buffer
		c.r.Project, c.r.Stdout, c.r.Stderr = "lab", &stdout, &stderr
		if err := e.Logs(t.Context(), c.r); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		got := stdout.String()
		if c.name == "times" {
			got = strings.SplitAfter(got, "\n")[0]
		}
		if got != c.stdout || c.name != "times" && stderr.String() != c.stderr {
			t.Errorf("%s: %q %q, want %q %q", c.name, got, stderr.String(), c.stdout, c.stderr)
		}
	}
}

// A line longer than an entry comes out whole, bytes that are no text don't break the file.
func TestLogEntries(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	w, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 3*maxLine+5)
	w.copy("stdout", strings.NewReader(long+"\n<a&b>\n\xff\xfe\nno newline"))
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	// What a crash cut short is left out.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"log":"tor`)
	f.Close()
	r := logReader{path: path}
	defer r.close()
	entries, err := r.next()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Log)
	}
	if want := long + "\n<a&b>\n�\nno newline"; b.String() != want {
		t.Errorf("got %.40q…%q", b.String(), b.String()[max(0, b.Len()-30):])
	}
}

func TestFollow(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		out, in, err := os.Pipe()
		if err != nil {
			l.Fatal(err)
		}
		defer out.Close()
		done := make(chan error, 1)
		go func() {
			done <- l.Logs(l.Context(), LogsRequest{Project: l.project, Follow: true, Tail: -1, Prefix: true, Stdout: in, Stderr: in})
			in.Close()
		}()
		dir := l.TempDir()
		p.Argv = []string{"sh", "-c", "echo begin; while ! test -e " + dir + "/go; do sleep 0.01; done; echo err >&2; echo end"}
		if p.Container {
			p.Mounts = []kernel.Mount{{Source: dir, Target: dir}}
		}
		l.start(p)
		var got bytes.Buffer
		read := func(until string) {
			l.Helper()
			buf := make([]byte, 1000)
			for !strings.Contains(got.String(), until) {
				out.SetReadDeadline(time.Now().Add(10 * time.Second))
				n, err := out.Read(buf)
				if err != nil {
					l.Fatalf("read %q, then %v", got.String(), err)
				}
				got.Write(buf[:n])
			}
		}
		read("n  | begin\n")
		if err := os.WriteFile(dir+"/go", nil, 0o644); err != nil {
			l.Fatal(err)
		}
		read("n  | end\n")
		read("n  | err\n")
		// Another start has another log file; it is followed.
		l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		got.Reset()
		l.start(p)
		read("n  | end\n")
		read("n  | err\n")
		if ok, _ := regexp.MatchString(`^(n  \| err\n|n  \| begin\n|n  \| end\n){3}$`, got.String()); !ok {
			l.Errorf("the second start printed %q", got.String())
		}
		select {
		case err := <-done:
			l.Fatalf("ended while the supervisor runs: %v", err)
		default:
		}
		l.do(kernel.SupervisorStop{Project: l.project})
		select {
		case err := <-done:
			if err != nil {
				l.Error(err)
			}
		case <-time.After(10 * time.Second):
			l.Error("following goes on after the end")
		}
		ctx, cancel := context.WithTimeout(l.Context(), 100*time.Millisecond)
		defer cancel()
		l.do(kernel.SupervisorStart{Project: l.project})
		if err := l.Logs(ctx, LogsRequest{Project: l.project, Follow: true, Stdout: in, Stderr: in}); err != nil {
			l.Errorf("given up: %v", err)
		}
	})
}
