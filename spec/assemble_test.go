package spec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/spec"
)

// A file that is made of several means what one file means that says it all.
func TestAssembly(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string // below /srv/lab; topo.yaml is read
		one   string
	}{
		"extends, short": {
			map[string]string{"topo.yaml": `containers: {base: {command: [a], environment: {A: 1, B: 2}}, web: {extends: base, environment: {B: 3}}}`},
			`containers: {base: {command: [a], environment: {A: 1, B: 2}}, web: {command: [a], environment: {A: 1, B: 3}}}`,
		},
		"extends, a namespace": {
			map[string]string{"topo.yaml": `namespaces: {a: {extends: {service: b}, routes: [{to: default, interface: lo}]}, b: {sysctls: {net.ipv4.ip_forward: 1}}}`},
			`namespaces: {a: {sysctls: {net.ipv4.ip_forward: 1}, routes: [{to: default, interface: lo}]}, b: {sysctls: {net.ipv4.ip_forward: 1}}}`,
		},
		"extends, in a row, whatever stands first": {
			map[string]string{"topo.yaml": `containers: {c: {extends: b, labels: {c: 1}}, b: {extends: a, labels: {b: 1}}, a: {command: [a], labels: {a: 1}}}`},
			`containers: {c: {command: [a], labels: {a: 1, b: 1, c: 1}}, b: {command: [a], labels: {a: 1, b: 1}}, a: {command: [a], labels: {a: 1}}}`,
		},
		"extends, of one by many": {
			map[string]string{"topo.yaml": `containers: {a: {command: [a], environment: [A=1]}, b: {extends: a, environment: [B=1]}, c: {extends: a, environment: [C=1]}}`},
			`containers: {a: {command: [a], environment: [A=1]}, b: {command: [a], environment: [A=1, B=1]}, c: {command: [a], environment: [A=1, C=1]}}`,
		},
		"extends, deep things of one by many": {
			map[string]string{"topo.yaml": `containers: {a: {command: [a], healthcheck: {test: t, retries: 2}}, b: {extends: a, healthcheck: {retries: 5}}, c: {extends: a}}`},
			`containers: {a: {command: [a], healthcheck: {test: t, retries: 2}}, b: {command: [a], healthcheck: {test: t, retries: 5}}, c: {command: [a], healthcheck: {test: t, retries: 2}}}`,
		},
		"extends, an empty node": {
			map[string]string{"topo.yaml": `containers: {a: , b: {extends: a, command: [b]}}`},
			`containers: {a: , b: {command: [b]}}`,
		},
		"extends, !reset and !override": {
			map[string]string{"topo.yaml": `containers: {a: {command: [a], ports: ["80:80"], labels: {a: 1}}, b: {extends: a, ports: !reset [], labels: !override {b: 1}}}`},
			`containers: {a: {command: [a], ports: ["80:80"], labels: {a: 1}}, b: {command: [a], labels: {b: 1}}}`,
		},
		"extends, of a file in another folder": {
			map[string]string{
				"topo.yaml":            `containers: {web: {extends: {file: parts/base.yaml, service: web}, volumes: ["./here:/b"]}}`,
				"parts/base.yaml":      `containers: {web: {extends: {file: deep/base.yaml, service: web}, volumes: ["./x:/a:ro", "/abs:/c", "~/h:/d"], env_file: web.env, rootfs: root}, other: {command: [b]}}`,
				"parts/web.env":        "FROM=parts\n",
				"parts/deep/base.yaml": `containers: {web: {command: [a, "${SET}"], security_opt: ["seccomp=filter.json"], volumes: [{type: bind, source: y, target: /e}]}}`,
			},
			`containers: {web: {command: [a, "yes"], security_opt: ["seccomp=parts/deep/filter.json"], rootfs: parts/root, environment: {FROM: parts}, ` +
				`volumes: [{type: bind, source: ./parts/deep/y, target: /e}, "./parts/x:/a:ro", "/abs:/c", "~/h:/d", "./here:/b"]}}`,
		},
		"extends, of images that are files": {
			map[string]string{
				"topo.yaml":       `containers: {a: {extends: {file: parts/base.yaml, service: a}}, b: {extends: {file: parts/base.yaml, service: b}}}`,
				"parts/base.yaml": `containers: {a: {image: "oci:img:1"}, b: {image: "docker-archive:b.tar"}}`,
			},
			`containers: {a: {image: "oci:parts/img:1"}, b: {image: "docker-archive:parts/b.tar"}}`,
		},
		"extends, of the file itself": {
			map[string]string{"topo.yaml": `containers: {a: {command: [a]}, b: {extends: {file: ./topo.yaml, service: a}}}`},
			`containers: {a: {command: [a]}, b: {command: [a]}}`,
		},
		"include": {
			map[string]string{
				"topo.yaml": `{include: [db.yaml], containers: {web: {command: [a], bridges: [back], depends_on: [db]}}}`,
				"db.yaml":   `{name: other, prefix: "", bridges: {back: {subnet: 10.1.0.0/24}}, volumes: {data: }, containers: {db: {command: [b], bridges: [back], volumes: ["data:/d"]}}, links: [["db:e0", "host:e0"]]}`,
			},
			`{containers: {web: {command: [a], bridges: [back], depends_on: [db]}, db: {command: [b], bridges: [back], volumes: ["data:/d"]}}, bridges: {back: {subnet: 10.1.0.0/24}}, volumes: {data: }, links: [["db:e0", "host:e0"]]}`,
		},
		"include, paths and variables of another folder": {
			map[string]string{
				"topo.yaml":     `include: [parts/db.yaml]`,
				"parts/db.yaml": `containers: {db: {command: [a, "${WHO} ${SET}"], volumes: ["./d:/d"], environment: [WHO, SET, NONE], env_file: x.env}, db2: {command: [b], environment: {WHO: }}}`,
				"parts/.env":    "WHO=parts\nSET=no\n",
				"parts/x.env":   "X=1\n",
			},
			`containers: {db: {command: [a, "parts yes"], volumes: ["./parts/d:/d"], environment: {WHO: parts, SET: "yes", X: 1}}, db2: {command: [b], environment: {WHO: parts}}}`,
		},
		"include, long": {
			map[string]string{
				"topo.yaml":       `include: [{path: [parts/db.yaml, parts/over.yaml], project_directory: elsewhere, env_file: [one.env, two.env]}]`,
				"parts/db.yaml":   `containers: {db: {command: [a, "${ONE} ${TWO}"], volumes: ["./d:/d"]}}`,
				"parts/over.yaml": `containers: {db: {volumes: ["./e:/e"]}}`,
				"one.env":         "ONE=1\nTWO=1\n",
				"two.env":         "TWO=2${ONE}\n",
			},
			`containers: {db: {command: [a, "1 21"], volumes: ["./elsewhere/d:/d", "./elsewhere/e:/e"]}}`,
		},
		"include, of what includes": {
			map[string]string{
				"topo.yaml":           `include: [parts/one.yaml]`,
				"parts/one.yaml":      `{include: [deep/two.yaml], containers: {one: {command: [a, "${A}"]}}}`,
				"parts/.env":          "A=parts\n",
				"parts/deep/two.yaml": `containers: {two: {command: [a, "${A} ${B}"], volumes: ["./x:/x"]}}`,
				"parts/deep/.env":     "A=deep\nB=deep\n",
			},
			`containers: {one: {command: [a, parts]}, two: {command: [a, "parts deep"], volumes: ["./parts/deep/x:/x"]}}`,
		},
		"include, the same by two ways": {
			map[string]string{
				"topo.yaml":  `include: [left.yaml, right.yaml]`,
				"left.yaml":  `{include: [base.yaml], containers: {left: {extends: base}}}`,
				"right.yaml": `{include: [base.yaml], containers: {right: {extends: {service: base}}}}`,
				"base.yaml":  `{containers: {base: {command: [a], env_file: [a.env]}}, links: [["base:e0", "host:e0"]]}`,
			},
			`{containers: {left: {command: [a], env_file: [a.env]}, base: {command: [a], env_file: [a.env]}, right: {command: [a], env_file: [a.env]}}, links: [["base:e0", "host:e0"]]}`,
		},
		"include, and both say something": {
			map[string]string{
				"topo.yaml": `{include: [db.yaml, more.yaml], bridges: {app: {mtu: 1400}}, containers: {db: {environment: {A: own}, ports: !reset []}}}`,
				"db.yaml":   `{bridges: {app: {subnet: 10.1.0.0/24, mtu: 1300}}, containers: {db: {command: [a], environment: {A: db, B: db}, ports: ["80:80"]}}}`,
				"more.yaml": `containers: {db: {command: [b], environment: {B: more, C: more}}}`,
			},
			`{bridges: {app: {subnet: 10.1.0.0/24, mtu: 1400}}, containers: {db: {command: [a], environment: {A: own, B: db, C: more}}}}`,
		},
		"include, and extend what is included": {
			map[string]string{
				"topo.yaml":     `{include: [sub/base.yaml], containers: {web: {extends: base, labels: {a: 2}}}}`,
				"sub/base.yaml": `containers: {base: {command: [a], labels: {a: 1, b: 1}, volumes: ["./x:/x"]}}`,
			},
			`containers: {web: {command: [a], labels: {a: 2, b: 1}, volumes: ["./sub/x:/x"]}, base: {command: [a], labels: {a: 1, b: 1}, volumes: ["./sub/x:/x"]}}`,
		},
		"one file for two includes with other variables": {
			map[string]string{
				"topo.yaml":   `include: [a/topo.yaml, b/topo.yaml]`,
				"a/topo.yaml": `containers: {a: {extends: {file: ../base.yaml, service: base}}}`,
				"a/.env":      "WHO=a\n",
				"b/topo.yaml": `containers: {b: {extends: {file: ../base.yaml, service: base}}}`,
				"b/.env":      "WHO=b\n",
				"base.yaml":   `containers: {base: {command: [run, "${WHO}"], environment: [WHO], volumes: ["./data:/d"]}}`,
			},
			`containers: {a: {command: [run, a], environment: {WHO: a}, volumes: ["./data:/d"]}, b: {command: [run, b], environment: {WHO: b}, volumes: ["./data:/d"]}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			parts, err := loadOf(c.files, "topo.yaml")
			if err != nil {
				t.Fatal(err)
			}
			one, err := loadOf(map[string]string{"one.yaml": c.one}, "one.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(dump(t, one), dump(t, parts)); diff != "" {
				t.Errorf("-one file +parts:\n%s", diff)
			}
		})
	}
}

// loadOf loads the files of that name, which are in /srv/lab, with others beside them.
func loadOf(files map[string]string, names ...string) (*spec.Topology, error) {
	o := options()
	beside := o.ReadFile
	o.ReadFile = func(path string) ([]byte, error) {
		if rel, err := filepath.Rel(o.Dir, path); err == nil {
			if text, ok := files[rel]; ok {
				return []byte(text), nil
			}
		}
		return beside(path)
	}
	var list []spec.Source
	for _, name := range names {
		list = append(list, spec.Source{Name: name, Data: []byte(files[name])})
	}
	return spec.Load(list, o)
}

// A mistake in an included file is shown at the path by which the person who typed -f finds it.
func TestIncludedMistakesAreFoundFromTheWorkingFolder(t *testing.T) {
	o := options()
	o.ReadFile = func(path string) ([]byte, error) {
		if path == "/srv/lab/sub/db.yaml" {
			return []byte("containers: {db: {comand: a}}"), nil
		}
		return nil, fs.ErrNotExist
	}
	for typed, want := range map[string]string{
		"topo.yaml":          "sub/db.yaml:1:19",
		"../lab/topo.yaml":   "../lab/sub/db.yaml:1:19",
		"/srv/lab/topo.yaml": "/srv/lab/sub/db.yaml:1:19",
		"<stdin>":            "sub/db.yaml:1:19",
	} {
		_, err := spec.Load([]spec.Source{{Name: typed, Data: []byte("include: [sub/db.yaml]")}}, o)
		if err == nil || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("%s: %v, want it at %s", typed, err, want)
		}
	}
}

// Files that include two others each, twenty deep, are a million.
func TestIncludeBomb(t *testing.T) {
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("%d.yaml", i)] = fmt.Sprintf("include: [%d.yaml, ./%[1]d.yaml]", i+1)
	}
	files["20.yaml"] = "namespaces: {a: }"
	_, err := loadOf(files, "0.yaml")
	var mistakes spec.Errors
	if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), "more than 1000 files") {
		t.Fatal(err)
	}
}
