package spec_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	gocmp "github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"topo/spec"
)

// The files that compose-go tests its own loader with mean here what they mean there, once what topo has no word for is taken
// out of both. testdata/compose-go.txt has the verdict on each; those that compose-go refuses are not in it.
func TestComposeFiles(t *testing.T) {
	source := composeModule(t)
	root := t.TempDir()
	var verdicts []string
	compared := 0
	for _, name := range composeFiles(t, source, root) {
		t.Run(name, func(t *testing.T) {
			want, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
				WorkingDir:  filepath.Dir(filepath.Join(root, name)),
				ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, name)}},
				Environment: types.Mapping{"HOME": "/root", "FOO": "foo"},
			}, func(o *loader.Options) {
				o.SkipNormalization, o.SkipConsistencyCheck = true, true
				o.SetProjectName("lab", false)
			})
			if err != nil || len(want.Services) == 0 {
				return
			}
			verdict := "the same"
			have, err := loadWords(root, name)
			switch {
			case err != nil:
				verdict = strings.ReplaceAll(err.Error(), root+"/", "")
			default:
				compared++
				if diff := gocmp.Diff(fromCompose(want), fromTopo(have)); diff != "" {
					t.Errorf("-compose-go +topo:\n%s", diff)
				}
			}
			verdicts = append(verdicts, name+": "+strings.ReplaceAll(verdict, "\n", "\n\t"))
		})
	}
	if compared < 100 {
		t.Errorf("only %d files were compared", compared)
	}
	golden(t, "testdata/compose-go.txt", strings.Join(verdicts, "\n")+"\n")
}

// What compose-go's tests lay over each other gives here what it gives there.
func TestComposeMerges(t *testing.T) {
	o := options()
	o.Project = "lab"
	o.ReadFile = func(string) ([]byte, error) { return nil, nil }
	var verdicts []string
	merged := 0
	for _, file := range glob(t, filepath.Join(composeModule(t), "override", "*_test.go")) {
		calls := callsOf(t, file, "assertMergeYaml")
		for _, name := range slices.Sorted(maps.Keys(calls)) {
			t.Run(name, func(t *testing.T) {
				var words []string
				for _, text := range calls[name] {
					words = append(words, string(inWords(complete([]byte(text)))))
				}
				want, err := spec.Load(sources(words[2]), o)
				if err != nil {
					verdicts = append(verdicts, name+": "+strings.ReplaceAll(err.Error(), "\n", "\n\t"))
					return
				}
				verdicts = append(verdicts, name+": the same")
				merged++
				have, err := spec.Load(sources(words[0], words[1]), o)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(fromTopo(want), fromTopo(have)); diff != "" {
					t.Errorf("-compose-go +topo:\n%s", diff)
				}
			})
		}
	}
	if merged < 20 {
		t.Errorf("only %d were compared", merged)
	}
	golden(t, "testdata/compose-go-merges.txt", strings.Join(verdicts, "\n")+"\n")
}

// complete declares the networks and volumes that a Compose file's services name.
func complete(data []byte) []byte {
	var doc struct {
		Services map[string]struct {
			Networks yaml.Node
			Volumes  []yaml.Node
		}
		Networks, Volumes map[string]any
		Rest              map[string]any `yaml:",inline"`
	}
	var all map[string]any
	if yaml.Unmarshal(data, &doc) != nil || yaml.Unmarshal(data, &all) != nil {
		return data
	}
	networks, volumes := map[string]any{}, map[string]any{}
	for _, s := range doc.Services {
		for _, e := range pairsOf(&s.Networks) {
			networks[e[0].Value] = nil
		}
		for _, n := range s.Networks.Content {
			if s.Networks.Kind == yaml.SequenceNode {
				networks[n.Value] = nil
			}
		}
		for _, v := range s.Volumes {
			if name, _, ok := strings.Cut(v.Value, ":"); ok && !strings.ContainsAny(name, "/.~") {
				volumes[name] = nil
			}
		}
	}
	maps.Copy(networks, doc.Networks)
	maps.Copy(volumes, doc.Volumes)
	all["networks"], all["volumes"] = networks, volumes
	data, err := yaml.Marshal(all)
	if err != nil {
		panic(err)
	}
	return data
}

func composeModule(t *testing.T) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/compose-spec/compose-go/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(dir))
}

// composeFiles copies compose-go's files, and those that stand in its tests as text, without what topo has no word for.
func composeFiles(t *testing.T, source, root string) []string {
	t.Helper()
	var names []string
	keep := func(name string, data []byte) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
			data = reduced(data)
			names = append(names, name)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(source, "loader")
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(name, "_test.go") {
			data, err := os.ReadFile(path)
			if err == nil && filepath.Ext(name) != ".go" {
				keep(name, data)
			}
			return err
		}
		for i, text := range textsOf(t, path) {
			if strings.Contains(text, "services:") {
				keep(strings.TrimSuffix(filepath.Base(name), "_test.go")+"-"+strconv.Itoa(i)+".yaml", []byte(text))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// textsOf are the string literals of a Go file.
func textsOf(t *testing.T, path string) (texts []string) {
	t.Helper()
	ast.Inspect(parseGo(t, path), func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, text)
		}
		return true
	})
	return texts
}

// callsOf are the texts that a Go file calls a function with, by the names of the functions that do.
func callsOf(t *testing.T, path, function string) map[string][]string {
	t.Helper()
	calls := map[string][]string{}
	for _, d := range parseGo(t, path).Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name == function {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if callee, ok := call.Fun.(*ast.Ident); !ok || callee.Name != function {
				return true
			}
			name := f.Name.Name
			for i := 2; calls[name] != nil; i++ {
				name = fmt.Sprintf("%s-%d", f.Name.Name, i)
			}
			for _, arg := range call.Args {
				if lit, ok := arg.(*ast.BasicLit); ok {
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					calls[name] = append(calls[name], text)
				}
			}
			if len(calls[name]) != len(call.Args)-1 { // made by a program
				delete(calls, name)
			}
			return true
		})
	}
	return calls
}

func parseGo(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// refusedKeys are what docs/reference/compose.md says is refused, by its tables.
func refusedKeys(section string) map[string]bool {
	page, err := os.ReadFile("../docs/reference/compose.md")
	if err != nil {
		panic(err)
	}
	_, table, _ := strings.Cut(string(page), "<!-- compose keys of "+section+" -->")
	table, _, _ = strings.Cut(table, "\n\n")
	keys := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| (refused|as `mac`)").FindAllStringSubmatch(table, -1) {
		keys[m[1]] = true
	}
	return keys
}

// reduced is a Compose file without what is refused. What is no YAML, or no map, stays as it is.
func reduced(data []byte) []byte {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return data
	}
	root := doc.Content[0]
	without(root, refusedKeys("the top level"))
	for section, keys := range map[string]map[string]bool{
		"services": refusedKeys("a service"), "networks": refusedKeys("a network"), "volumes": refusedKeys("a volume"),
	} {
		for _, e := range pairsOf(valueOf(root, section)) {
			without(e[1], keys)
		}
	}
	return marshal(&doc)
}

func marshal(doc *yaml.Node) []byte {
	data, err := yaml.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return data
}

func pairsOf(n *yaml.Node) (list [][2]*yaml.Node) {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		list = append(list, [2]*yaml.Node{n.Content[i], n.Content[i+1]})
	}
	return list
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	for _, e := range pairsOf(n) {
		if e[0].Value == key {
			return e[1]
		}
	}
	return nil
}

func without(n *yaml.Node, keys map[string]bool) {
	if n.Kind != yaml.MappingNode {
		return
	}
	var kept []*yaml.Node
	for _, e := range pairsOf(n) {
		if !keys[e[0].Value] {
			kept = append(kept, e[0], e[1])
		}
	}
	n.Content = kept
}

// inWords is a Compose file in topo's words.
func inWords(data []byte) []byte {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) == 0 {
		return data
	}
	root := doc.Content[0]
	rename(root, map[string]string{"services": "containers", "networks": "bridges"})
	for _, e := range pairsOf(valueOf(root, "containers")) {
		rename(e[1], map[string]string{"networks": "bridges"})
		for _, b := range pairsOf(valueOf(e[1], "bridges")) {
			rename(b[1], map[string]string{"ipv4_address": "address"})
		}
		if mode := valueOf(e[1], "network_mode"); mode != nil {
			mode.Value = strings.Replace(mode.Value, "service:", "node:", 1)
		}
	}
	for _, e := range pairsOf(valueOf(root, "bridges")) {
		rename(e[1], map[string]string{"ipam": "x-ipam"})
	}
	return marshal(&doc)
}

func rename(n *yaml.Node, words map[string]string) {
	for _, e := range pairsOf(n) {
		if word, ok := words[e[0].Value]; ok {
			e[0].Value = word
		}
	}
}

// loadWords loads a Compose file, and what it names, in topo's words.
func loadWords(root, name string) (*spec.Topology, error) {
	read := func(path string) ([]byte, error) {
		data, err := os.ReadFile(path)
		if ext := filepath.Ext(path); err == nil && (ext == ".yaml" || ext == ".yml") {
			data = inWords(data)
		}
		return data, err
	}
	path := filepath.Join(root, name)
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return spec.Load([]spec.Source{{Name: name, Data: data}}, spec.Options{
		Project: "lab", Dir: filepath.Dir(path), Env: map[string]string{"HOME": "/root", "FOO": "foo"}, ReadFile: read,
	})
}
