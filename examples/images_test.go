package examples_test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"topo/internal/testhost"
)

// built builds images and gives a copy of an example that takes them from there.
func built(t *testing.T, example string, images ...string) (file, folder string) {
	t.Helper()
	dir := t.TempDir()
	folder = filepath.Join(dir, "built")
	testhost.Run(t, append([]string{"images/build", folder}, images...)...)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, example)
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("docker-archive:images/built", "docker-archive:built", `"./`, `"`+here+"/").Replace(string(text))
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, folder
}

// edit replaces words of the lab's file.
func (l *lab) edit(words ...string) {
	l.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(l.file, []byte(strings.NewReplacer(words...).Replace(string(text))), 0o644); err != nil {
		l.Fatal(err)
	}
}

// imageDown takes a lab down; its images are no project's, and go by themselves.
func (l *lab) imageDown() {
	l.Helper()
	l.topo("down")
	l.sh(os.Getenv(binaryVariable) + " image prune")
	if out := l.sh(os.Getenv(binaryVariable) + " images --json"); strings.TrimSpace(out) != "[]" {
		l.Errorf("after prune there is %s", out)
	}
	l.sh("rm -r /var/lib/topo/images; rmdir /run/topo 2>/dev/null || true")
	l.down()
}

// The same two images from archives, from an OCI layout, and from a registry.
func TestFlaskRedisImage(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	file, folder := built(t, "flask-redis-image.yaml", "redis", "web")
	l := start(t, file)
	counts := func(where, want string) {
		t.Helper()
		if got := l.sh(get("http://127.0.0.1:5000/")); !strings.Contains(got, "viewed "+want+" time") {
			t.Errorf("%s: %q, want %s", where, got, want)
		}
	}
	counts("archives", "1")
	counts("archives", "2")
	if got := l.topo("exec", "web", "sh", "-c", "id -un; pwd; ls -d /usr/bin/apt /home/* 2>/dev/null; echo $REDIS_HOST"); got != "www-data\n/srv\nredis\n" {
		t.Errorf("in the container: %q", got)
	}
	inspected := l.topo("inspect", "web")
	for _, want := range []string{"image docker-archive:" + folder + "/web.tar  sha256:", "image exposes 5000/tcp", "/usr/bin/python3 app.py"} {
		if !strings.Contains(inspected, want) {
			t.Errorf("topo inspect has no %q:\n%s", want, inspected)
		}
	}
	if out := l.sh(os.Getenv(binaryVariable) + " image rm docker-archive:" + folder + "/web.tar 2>&1 || true"); !strings.Contains(out, "is in use by web of flask-redis-image") {
		t.Errorf("removing an image in use: %q", out)
	}

	// A layout: another name of the same image still replaces the process, as its attributes say.
	oci, server := filepath.Join(filepath.Dir(file), "oci"), httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	path, err := layout.Write(oci, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{"redis", "web"} {
		img, err := tarball.ImageFromPath(filepath.Join(folder, image+".tar"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": image})); err != nil {
			t.Fatal(err)
		}
		ref, err := name.ParseReference(host + "/" + image + ":1")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	l.edit("docker-archive:built/redis.tar", "oci:./oci:redis")
	l.plans("redis from a layout", "+ image/oci:"+oci+":redis", "± process/redis")
	l.up()
	l.settled()
	counts("a layout", "1")

	l.edit("oci:./oci:redis", host+"/redis:1", "docker-archive:built/web.tar", host+"/web:1")
	l.plans("a registry", "+ image/"+host+"/redis:1", "+ image/"+host+"/web:1", "± process/redis", "± process/web")
	l.up()
	l.settled()
	counts("a registry", "1")
	if out := l.topo("pull"); !strings.Contains(out, host+"/web:1 sha256:") {
		t.Errorf("topo pull says %q", out)
	}
	// What is in the store needs no registry.
	server.Close()
	l.topo("down")
	l.up()
	l.settled()
	counts("the store", "1")
	l.imageDown()
}

func TestNginxImage(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	file, folder := built(t, "nginx-image.yaml", "nginx")
	remote := testhost.Remote(t, "wan0", "203.0.113.1/24", "203.0.113.9/24")
	l := start(t, file)
	if page := remote.Run("sh", "-c", get("http://203.0.113.1/")); !strings.Contains(page, "out of a container on a bridge") {
		t.Errorf("the page is %q", page)
	}
	// An archive that was built anew, with something else in it, replaces the process.
	l.sh("cd " + folder + " && mkdir new && tar -C new -xf nginx.tar && sed -i 's/daemon off;/daemon off; master_process on;/' new/config.json && tar -C new -cf nginx.tar .")
	l.plans("another image", "~ image/docker-archive:"+folder+"/nginx.tar", "± process/web")
	l.up()
	l.settled()
	if out := l.topo("ps", "--json"); !strings.Contains(out, "master_process on") {
		t.Errorf("topo ps says %s", out)
	}
	l.imageDown()
}
