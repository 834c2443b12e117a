package spec_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestComposeKeys holds docs/reference/compose.md against compose-spec's schema, for what keys there are, and against the code, for
// what it says of each.
func TestComposeKeys(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/compose.md")
	if err != nil {
		t.Fatal(err)
	}
	topLevel, definitions := composeSchema(t)
	keys := map[string][]string{
		"the top level": topLevel,
		"a service":     slices.Concat(definitions["container_spec"], definitions["workload_spec"], definitions["service"]),
		"a network":     definitions["network"],
		"a volume":      definitions["volume"],
	}
	within := map[string]string{
		"the top level": "%s: {}\n",
		"a service":     "containers: {web: {%s: }}\n",
		"a network":     "bridges: {app: {%s: }}\n",
		"a volume":      "volumes: {data: {%s: }}\n",
	}
	refusal := regexp.MustCompile(`unknown key|not supported yet|is not possible`)
	row := regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| (yes|refused|as `([a-z_]+)`) \\|")
	for section, want := range keys {
		_, table, ok := strings.Cut(string(page), "<!-- compose keys of "+section+" -->")
		if !ok {
			t.Errorf("no table of %s", section)
			continue
		}
		table, _, _ = strings.Cut(table, "\n\n")
		var have []string
		for _, m := range row.FindAllStringSubmatch(table, -1) {
			key, verdict, other := m[1], m[2], m[3]
			have = append(have, key)
			known := func(key string) bool {
				_, err := load("topo.yaml", strings.Replace(within[section], "%s", key, 1))
				return err == nil || !refusal.MatchString(err.Error())
			}
			switch {
			case known(key) != (verdict == "yes"):
				t.Errorf("%s of %s: %s, says the page", key, section, verdict)
			case other != "" && other != "mac" && !known(other):
				t.Errorf("%s of %s is said to be %s, which there isn't", key, section, other)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(slices.Compact(want), have); diff != "" {
			t.Errorf("keys of %s (-compose-spec +page):\n%s", section, diff)
		}
	}
}

// composeSchema reads the keys of compose-spec's own schema, which compose-go brings along.
func composeSchema(t *testing.T) (topLevel []string, definitions map[string][]string) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/compose-spec/compose-go/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema", "compose-spec.json"))
	if err != nil {
		t.Fatal(err)
	}
	type object struct{ Properties map[string]any }
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	keysOf := func(o object) (keys []string) {
		for k := range o.Properties {
			keys = append(keys, k)
		}
		return keys
	}
	definitions = map[string][]string{}
	for name, o := range schema.Defs {
		definitions[name] = keysOf(o)
	}
	if len(definitions["container_spec"]) < 50 {
		t.Fatalf("the schema has but %d keys of a container", len(definitions["container_spec"]))
	}
	return keysOf(schema.object), definitions
}
