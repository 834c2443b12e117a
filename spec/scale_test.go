package spec_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/spec"
)

const chosenYAML = `
name: lab
containers:
  web: {scale: 2}
  db: {profiles: [data]}
  store: {profiles: [data, slow]}
  worker: {profiles: [slow], scale: 2, depends_on: [store]}
`

// What of a file is there depends on the profiles, the nodes that are named, and --scale.
func TestChoice(t *testing.T) {
	for name, c := range map[string]struct {
		profiles, named []string
		scale           map[string]int
		want            string
	}{
		"nothing":          {want: "web-1 web-2"},
		"a profile":        {profiles: []string{"data"}, want: "web-1 web-2 db store"},
		"two":              {profiles: []string{"data", "slow"}, want: "web-1 web-2 db store worker-1 worker-2"},
		"all":              {profiles: []string{"*"}, want: "web-1 web-2 db store worker-1 worker-2"},
		"a named node":     {named: []string{"db"}, want: "web-1 web-2 db store"},
		"a named entry":    {named: []string{"worker"}, want: "web-1 web-2 store worker-1 worker-2"},
		"one of an entry":  {named: []string{"worker-2"}, want: "web-1 web-2 store worker-1 worker-2"},
		"none has one":     {named: []string{"web"}, want: "web-1 web-2"},
		"scale":            {scale: map[string]int{"web": 3}, want: "web-1 web-2 web-3"},
		"scale of none":    {scale: map[string]int{"web": 0}, want: ""},
		"scale of one":     {scale: map[string]int{"db": 1}, profiles: []string{"data"}, want: "web-1 web-2 db-1 store"},
		"an unknown one":   {scale: map[string]int{"wbe": 1}, want: `--scale: there is no node "wbe", did you mean "web"?`},
		"no such profile":  {profiles: []string{"date"}, want: `--profile: no node is of profile "date", did you mean "data"?`},
		"scale, but quiet": {scale: map[string]int{"worker": 3}, want: "web-1 web-2"},
	} {
		t.Run(name, func(t *testing.T) {
			top, err := spec.Load([]spec.Source{{Name: "topo.yaml", Data: []byte(chosenYAML)}},
				spec.Options{Dir: "/", Profiles: c.profiles, Named: c.named, Scale: c.scale})
			var mistakes spec.Errors
			if errors.As(err, &mistakes) {
				if got := mistakes.Error(); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range top.Nodes {
				got = append(got, n.Name)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			for _, i := range top.Inactive {
				if slices.ContainsFunc(got, i.Covers) {
					t.Errorf("%s is there and inactive", i.Name)
				}
			}
		})
	}
}

// A file of a few lines can't ask for millions of nodes.
func TestScalesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: lab\nnamespaces:\n")
	for i := range 100 {
		b.WriteString("  n" + strings.Repeat("x", i) + ": {scale: 1000}\n")
	}
	_, err := load("topo.yaml", b.String())
	if err == nil || !strings.Contains(err.Error(), "all scales of a file together are over 65536") {
		t.Error(err)
	}
}
