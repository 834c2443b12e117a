package container

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"

	"topo/internal/kernel"
)

// The next supervisor skips what is there of the newest second, and no more, wherever it is.
func TestLogPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	limits := kernel.LogLimits{MaxSize: 200, MaxFile: 10}
	log, err := openLog(path, func() kernel.LogLimits { return limits })
	if err != nil {
		t.Fatal(err)
	}
	second := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	log.write("stdout", second.Add(-time.Millisecond), []byte("before\n"))
	for i := range 5 { // of several files
		log.write("stdout", second.Add(time.Duration(i)), []byte("now\n"))
	}
	log.write("stderr", second, []byte("part of a line"))
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(path + ".*"); len(files) < 2 {
		t.Fatalf("the log is in %q", files)
	}
	place, err := placeIn(path)
	if err != nil || !place.second.Equal(second) || !maps.Equal(place.read, map[string]int{"stdout": 5, "stderr": 1}) {
		t.Errorf("%+v, %v", place, err)
	}
	// What the engine has thrown away meanwhile is not looked for among what came after it.
	if at := second.Add(time.Millisecond); !place.passed("stderr", at) || place.passed("stderr", at) || place.passed("stdout", second.Add(time.Second)) {
		t.Error("what is there is not told from what came after it")
	}
	if place, err := placeIn(filepath.Join(t.TempDir(), "log")); err != nil || !place.second.IsZero() {
		t.Errorf("of no log: %+v, %v", place, err)
	}
	if err := os.WriteFile(path+".99", []byte("{\"log\": half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if place, err := placeIn(path); err != nil || place.read["stdout"] != 5 {
		t.Errorf("with half an entry: %+v, %v", place, err)
	}
}

// An engine that is busy when a container ends is asked again for what that printed: nobody asks later.
func TestLogOfABusyEngine(t *testing.T) {
	t.Parallel()
	const text = "it runs\n"
	asked := 0
	engine := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
		case strings.HasSuffix(r.URL.Path, "/version"):
			fmt.Fprint(w, `{"ApiVersion": "1.44"}`)
		case r.URL.Query().Get("follow") == "1":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			if asked++; asked < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			line := "2026-01-02T03:04:05.6Z " + text
			header := [8]byte{0: byte(stdcopy.Stdout)}
			binary.BigEndian.PutUint32(header[4:], uint32(len(line)))
			_, _ = w.Write(append(header[:], line...))
		}
	})
	socket := filepath.Join(t.TempDir(), "engine")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: engine}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	dir := t.TempDir()
	n := newNode(&launcher{layout: layout{runDir: dir, dataDir: dir, project: "p"}}, "n")
	if err := n.makeNode("n"); err != nil {
		t.Fatal(err)
	}
	log, err := n.openDockerLog(record{Runtime: "unix://" + socket, ContainerID: "c"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.finish(); err != nil {
		t.Error(err)
	}
	entries, err := collect(&logReader{path: n.log("n")})
	if err != nil || len(entries) != 1 || entries[0].Log != text {
		t.Errorf("after %d questions the log is %+v, %v", asked, entries, err)
	}
}
