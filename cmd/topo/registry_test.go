package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"topo/internal/testhost"
)

// A registry that hangs, when it is asked what a tag names or when that is fetched, keeps nobody else waiting.
func TestSlowRegistryBlocksNoOtherProject(t *testing.T) {
	for _, hangs := range []string{http.MethodHead, http.MethodGet} {
		t.Run(hangs, func(t *testing.T) {
			t.Parallel()
			if testhost.Outside(t) {
				return
			}
			before := testhost.Machine(t)
			slow := newSlowRegistry(t, hangs)
			dir := t.TempDir()
			write := func(name, format string, args ...any) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			waiting := write("slow.yaml", "name: slow\ncontainers: {web: {image: %q, pull_policy: always, network_mode: none, command: [x]}}\n", slow.image)
			other := write("other.yaml", "name: other\nbridges: {net: {subnet: 10.9.0.0/24}}\nnamespaces: {a: {bridges: [net]}}\n")

			type result struct {
				code int
				said string
			}
			ended := make(chan result, 1)
			go func() {
				var said bytes.Buffer
				code := run([]string{"topo", "up", "-f", waiting}, nil, &said, &said)
				ended <- result{code, said.String()}
			}()
			<-slow.reached
			for _, verb := range []string{"up", "down"} {
				var said bytes.Buffer
				if code := run([]string{"topo", verb, "-f", other, "--timeout", "1m"}, nil, &said, &said); code != 0 {
					t.Errorf("%s of another project ends with %d:\n%s", verb, code, said.String())
				}
			}
			select {
			case r := <-ended:
				t.Errorf("the registry kept nobody waiting: %+v", r)
			default:
			}
			close(slow.release)
			if r := <-ended; r.code != exitError || !strings.Contains(r.said, "DENIED") {
				t.Errorf("ends with %d:\n%s", r.code, r.said)
			}
			if code := run([]string{"topo", "down", "-p", "slow"}, nil, io.Discard, io.Discard); code != 0 {
				t.Errorf("down ends with %d", code)
			}
			if err := os.RemoveAll("/var/lib/topo/images"); err != nil {
				t.Error(err)
			}
			testhost.Poll(t, func() error {
				_ = os.Remove("/var/lib/topo")
				if after := testhost.Machine(t); after != before {
					return fmt.Errorf("something is left on the machine:\nbefore:\n%s\nafter:\n%s", before, after)
				}
				return nil
			})
		})
	}
}

// slowRegistry has one image, about which requests of one method hang until release is closed; then they are refused.
type slowRegistry struct {
	image            string
	reached, release chan struct{}
}

func newSlowRegistry(t *testing.T, hangs string) slowRegistry {
	t.Helper()
	s := slowRegistry{reached: make(chan struct{}, 100), release: make(chan struct{})}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What HEAD is refused, GET is asked for.
		if r.Header.Get("X-Test") == "" && strings.Contains(r.URL.Path, "/manifests/") && (r.Method == hangs || hangs == http.MethodHead) {
			s.reached <- struct{}{}
			<-s.release
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors": [{"code": "DENIED"}]}`)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/a")
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithTransport(pusher{})); err != nil {
		t.Fatal(err)
	}
	s.image = ref.Name()
	return s
}

// pusher marks the requests by which the test fills the registry.
type pusher struct{}

func (pusher) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Test", "push")
	return http.DefaultTransport.RoundTrip(r)
}
