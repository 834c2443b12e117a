package image

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Credentials are those that docker login left.
func TestCredentials(t *testing.T) {
	var closed atomic.Bool
	host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if !closed.Load() || user == "me" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	push(t, host+"/a", imageWith(t, v1.Config{}, []entry{file("a", "x")}))
	closed.Store(true)
	folder := t.TempDir()
	t.Setenv("DOCKER_CONFIG", folder)
	if _, err := storeIn(t).Pull(t.Context(), Query{Reference: host + "/a"}, "", nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("without credentials: %v", err)
	}
	config := `{"auths": {"` + host + `": {"auth": "bWU6c2VjcmV0"}}}` // me:secret
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	pulled(t, storeIn(t), host+"/a")
}
