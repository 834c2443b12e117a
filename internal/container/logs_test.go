package container

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	w, err := openLog(l.log(node), unlimited)
	if err != nil {
		t.Fatal(err)
	}
	for second := range 100 {
		if text, ok := lines[second]; ok {
			stream := "stdout"
			if strings.HasPrefix(text, "err") {
				stream = "stderr"
			}
			w.write(stream, logTime(second), []byte(text))
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
}

func put(w *logWriter, e entry) { w.write(e.Stream, e.Time, []byte(e.Log)) }

// collect reads what is new.
func collect(r *logReader) ([]entry, error) {
	var entries []entry
	for e, err := range r.entries() {
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func unlimited() kernel.LogLimits { return kernel.LogLimits{} }

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
		{"one twice", "one\nthree\nfive ", "", LogsRequest{Tail: -1, Nodes: []string{"web", "web"}}},
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

// The form is that of encoding/json, but for what a page of HTML would want.
func TestAppendEntry(t *testing.T) {
	t.Parallel()
	var all []byte
	for c := range 256 {
		all = append(all, byte(c))
	}
	for _, text := range []string{"", "plain\n", "a \"quoted\" \\ <&>\n", "ü€𝄞\u2028\n", "cut \xe2\x82", string(all), "�\r\t\b\f\v"} {
		at := logTime(7).Add(123456 * time.Nanosecond)
		line := appendEntry([]byte("before"), []byte(text), "stderr", at)
		var got entry
		if err := json.Unmarshal(line[len("before"):], &got); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		marshalled, err := json.Marshal(entry{text, "stderr", at})
		if err != nil {
			t.Fatal(err)
		}
		var want entry
		if err := json.Unmarshal(marshalled, &want); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%q came back as %+v, want %+v", text, got, want)
		}
	}
}

// A line longer than an entry comes out whole, bytes that are no text don't break the file.
func TestLogEntries(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	w, err := openLog(path, unlimited)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 3*maxLine+5)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	// The second part of what is written ends within a character, as does what fills an entry.
	text := long + "ü" + strings.Repeat("ü", maxLine) + "\n<a&b>\n\xff\x01\n"
	go func() {
		_, _ = in.WriteString(text)
		_, _ = in.WriteString("no newlin\xc3")
		_, _ = in.WriteString("\xa9")
		in.Close()
	}()
	(&printed{stream: "stdout", log: w}).copy(out)
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	// What a crash cut short is left out.
	f, err := os.OpenFile(logFile(path, 1), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"log":"tor`)
	f.Close()
	r := logReader{path: path}
	defer r.close()
	entries, err := collect(&r)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Log)
	}
	if want := strings.Replace(text, "\xff", "�", 1) + "no newliné"; b.String() != want {
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

// limited is a log of three files of at least 1,000 bytes.
func limited() kernel.LogLimits { return kernel.LogLimits{MaxSize: 1000, MaxFile: 3} }

func numbered(n int) entry {
	return entry{Log: fmt.Sprintf("line %d\n", n), Stream: "stdout", Time: logTime(0).Add(time.Duration(n))}
}

// A log of whatever length takes no more than its limits; a reader that keeps up misses nothing, one that comes
// late begins with what is left.
func TestRotation(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	w, err := openLog(path, limited)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	keen, lazy := logReader{path: path}, logReader{path: path}
	defer keen.close()
	defer lazy.close()
	const many = 1000
	seen := 0
	for n := range many {
		put(w, numbered(n))
		if n%3 != 0 && n != many-1 {
			continue
		}
		entries, err := collect(&keen)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if want := numbered(seen).Log; e.Log != want {
				t.Fatalf("read %q, want %q", e.Log, want)
			}
			seen++
		}
		if n == 0 {
			if entries, err := collect(&lazy); err != nil || len(entries) != 1 {
				t.Fatalf("%v, %v", entries, err)
			}
		}
	}
	if seen != many {
		t.Errorf("%d lines were read of %d", seen, many)
	}
	numbers, err := logFiles(path)
	if err != nil || len(numbers) != 3 {
		t.Fatalf("files %v, %v", numbers, err)
	}
	size := int64(0)
	for _, number := range numbers {
		info, err := os.Stat(logFile(path, number))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 3*1100 { // a file ends with the entry that fills it
		t.Errorf("the files have %d bytes", size)
	}
	// It had the first file open still: of that it gets all, then what is left.
	late, err := collect(&lazy)
	if err != nil || late[0].Log != numbered(1).Log || late[len(late)-1].Log != numbered(many-1).Log {
		t.Errorf("%d entries, the first %q, %v", len(late), late[0].Log, err)
	}
	fresh := logReader{path: path}
	defer fresh.close()
	rest, err := collect(&fresh)
	if err != nil || len(rest) == 0 || len(rest) >= many || rest[len(rest)-1].Log != numbered(many-1).Log {
		t.Fatalf("%d entries, %v", len(rest), err)
	}
	for i, e := range rest {
		if want := numbered(many - len(rest) + i).Log; e.Log != want {
			t.Fatalf("read %q, want %q", e.Log, want)
		}
	}
}

// A reader and a writer at once.
func TestFollowRotation(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	w, err := openLog(path, func() kernel.LogLimits { return kernel.LogLimits{MaxSize: 500, MaxFile: 1000} })
	if err != nil {
		t.Fatal(err)
	}
	const many = 5000
	go func() {
		for n := range many {
			put(w, numbered(n))
		}
		w.close()
	}()
	r := logReader{path: path}
	defer r.close()
	for seen, end := 0, time.Now().Add(20*time.Second); seen < many; {
		entries, err := collect(&r)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if want := numbered(seen).Log; e.Log != want {
				t.Fatalf("read %q, want %q", e.Log, want)
			}
			seen++
		}
		if time.Now().After(end) {
			t.Fatalf("only %d lines came", seen)
		}
	}
}

// A supervisor goes on with the log of the one before; what that one's death cut short goes, and spoils nothing.
func TestLogGoesOn(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	write := func(n int) {
		t.Helper()
		w, err := openLog(path, limited)
		if err != nil {
			t.Fatal(err)
		}
		put(w, numbered(n))
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
	}
	r := logReader{path: path}
	defer r.close()
	read := func() string {
		t.Helper()
		entries, err := collect(&r)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, e := range entries {
			b.WriteString(e.Log)
		}
		return b.String()
	}
	write(1)
	f, err := os.OpenFile(logFile(path, 1), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"log":"half a li`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if got := read(); got != "line 1\n" {
		t.Errorf("read %q", got)
	}
	write(2)
	if got := read(); got != "line 2\n" {
		t.Errorf("then %q", got)
	}
	if err := os.Remove(logFile(path, 1)); err != nil {
		t.Fatal(err)
	}
	write(3)
	if got := read(); got != "line 3\n" {
		t.Errorf("of a new log %q", got)
	}
}

// What a process prints is bounded on disk, over its runs, and follows through the files.
func TestLogLimits(t *testing.T) {
	everywhere(t, func(l *lab, p kernel.Process) {
		p.Argv = []string{"seq", "20000"}
		p.Log = kernel.LogLimits{MaxSize: 100_000, MaxFile: 2}
		l.start(p)
		got := l.logged("n")
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if len(lines) < 500 || len(lines) > 5000 || lines[len(lines)-1] != "20000" {
			l.Errorf("%d lines are kept, the last is %q", len(lines), lines[len(lines)-1])
		}
		numbers, err := logFiles(l.layout(l.project).log("n"))
		if err != nil || len(numbers) != 2 {
			l.Errorf("files %v, %v", numbers, err)
		}
		var tail bytes.Buffer
		err = l.Logs(l.Context(), LogsRequest{Project: l.project, Tail: 1500, Stdout: &tail, Stderr: &tail})
		if want := strings.Join(lines[max(0, len(lines)-1500):], "\n") + "\n"; err != nil || tail.String() != want {
			l.Errorf("the tail has %d lines, %v", strings.Count(tail.String(), "\n"), err)
		}
		begin := time.Now()
		l.do(kernel.ProcessResume{Project: l.project, Node: "n"})
		more := l.logged("n") // which may be the same lines again
		var newest bytes.Buffer
		err = l.Logs(l.Context(), LogsRequest{Project: l.project, Tail: 1, Since: begin, Stdout: &newest, Stderr: &newest})
		if err != nil || newest.String() != "20000\n" || !strings.HasSuffix(more, "\n20000\n") {
			l.Errorf("the second run left no trace: %q, %v", newest.String(), err)
		}
	})
}

// A program that prints without end, faster than anybody reads: each look at its log ends.
func TestFollowFlood(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	w, err := openLog(path, func() kernel.LogLimits { return kernel.LogLimits{MaxSize: 100_000, MaxFile: 3} })
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				put(w, numbered(n))
			}
		}
	}()
	r := logReader{path: path}
	defer r.close()
	for last := -1; last < 50_000; {
		entries, err := collect(&r)
		if err != nil {
			t.Fatal(err)
		}
		// Four files: the one that it has open may be gone, and three are there.
		if len(entries) > 4*100_000/50 {
			t.Fatalf("one look gave %d entries", len(entries))
		}
		for _, e := range entries {
			var n int
			if _, err := fmt.Sscanf(e.Log, "line %d", &n); err != nil || n <= last {
				t.Fatalf("read %q after line %d, %v", e.Log, last, err)
			}
			last = n
		}
	}
	close(stop)
	<-stopped
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
}

// The last lines are found from the end, over rotations, whatever is at the end; then what comes is followed.
func TestTail(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/log"
	w, err := openLog(path, func() kernel.LogLimits { return kernel.LogLimits{MaxSize: 30_000, MaxFile: 100} })
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	var lines []string
	add := func(line string) {
		lines = append(lines, line)
		w.write("stdout", logTime(0), []byte(line))
	}
	check := func() {
		t.Helper()
		for _, n := range []int{0, 1, 2, 7, 500, len(lines) - 1, len(lines), len(lines) + 1} {
			r := logReader{path: path}
			if err := r.seekTail(n); err != nil {
				t.Fatal(err)
			}
			entries, err := collect(&r)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, e := range entries {
				got.WriteString(e.Log)
			}
			if want := strings.Join(lines[max(0, len(lines)-n):], ""); got.String() != want {
				t.Errorf("the last %d of %d lines have %d bytes and begin %.40q, want %d and %.40q", n, len(lines), got.Len(), got.String(), len(want), want)
			}
			r.close()
		}
	}
	var none logReader
	none.path = t.TempDir() + "/log"
	if err := none.seekTail(3); err != nil || none.f != nil {
		t.Errorf("of no log: %v, %v", none.f, err)
	}
	for n := range 2000 {
		add(fmt.Sprintf("line %d %s\n", n, strings.Repeat("é", n%100)))
	}
	check()
	add("no newline")
	check()
	// A line of many entries, over files, and more than a block.
	lines[len(lines)-1] += strings.Repeat("x", 3*maxLine) + "\n"
	for range 3 {
		w.write("stdout", logTime(0), bytes.Repeat([]byte("x"), maxLine))
	}
	w.write("stdout", logTime(0), []byte("\n"))
	check()
	// What a crash left.
	f, err := os.OpenFile(logFile(path, w.number), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"log":"half a li`); err != nil {
		t.Fatal(err)
	}
	check()
	if _, err := f.WriteString("\nrubbish\n"); err != nil {
		t.Fatal(err)
	}
	check()
	r := logReader{path: path}
	defer r.close()
	if err := r.seekTail(0); err != nil {
		t.Fatal(err)
	}
	add("more\n")
	if entries, err := collect(&r); err != nil || len(entries) != 1 || entries[0].Log != "more\n" {
		t.Errorf("then %+v, %v", entries, err)
	}
}
