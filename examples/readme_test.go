package examples_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The README's tour shows what topo really prints for the file that it shows.
func TestReadme(t *testing.T) {
	const path = "../README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile("(?s)```yaml\n(.*?)```\n").FindSubmatch(text)
	if file == nil {
		t.Fatal("the README shows no file")
	}
	shown := regexp.MustCompile("(?s)```console\n\\$ topo plan --offline -f tour.yaml\n(.*?)```\n")
	at := shown.FindSubmatchIndex(text)
	if at == nil {
		t.Fatal("the README shows no plan")
	}
	plan := planText(t, "tour.yaml", file[1], false)
	if *update {
		written := string(text[:at[2]]) + plan + string(text[at[3]:])
		if err := os.WriteFile(path, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(plan, string(text[at[2]:at[3]])); diff != "" {
		t.Errorf("the README shows another plan (-want +README):\n%s", diff)
	}
}
