package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"topo/internal/testhost"
)

// The plan asked the engine of DOCKER_HOST, and what carried it out asked the usual one.
func TestUpLosesDockerHost(t *testing.T) {
	if testhost.Outside(t) {
		return
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "engine.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	engine := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch _, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/"); path {
		case "version":
			fmt.Fprint(w, `{"ApiVersion": "1.44"}`)
		case "containers/json":
			fmt.Fprint(w, `[]`)
		case "images/create":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"message": "the disk is full"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	engine.Listener = listener
	engine.Start()
	t.Cleanup(engine.Close)
	t.Setenv("DOCKER_HOST", "unix://"+socket)
	file := filepath.Join(dir, "topo.yaml")
	if err := os.WriteFile(file, []byte("name: lab\ncontainers: {web: {image: redis, runtime: docker, network_mode: none}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	code := run([]string{"topo", "up", "-f", file}, nil, &said, &said)
	if code != exitError || !strings.Contains(said.String(), "the disk is full") {
		t.Errorf("ends with %d:\n%s", code, said.String())
	}
	if code := run([]string{"topo", "down", "-f", file}, nil, &said, &said); code != 0 {
		t.Errorf("down ends with %d:\n%s", code, said.String())
	}
}
