package container

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

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
