package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
)

const readme = "../README.md"

// tour is the file that the README shows.
func tour(t *testing.T, text []byte) []byte {
	t.Helper()
	file := regexp.MustCompile("(?s)```yaml\n(.*?)```\n").FindSubmatch(text)
	if file == nil {
		t.Fatal("the README shows no file")
	}
	return file[1]
}

// The README's tour shows what topo really prints for the file that it shows.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```console\n\\$ topo plan --offline -f tour.yaml\n(.*?)```\n")
	at := shown.FindSubmatchIndex(text)
	if at == nil {
		t.Fatal("the README shows no plan")
	}
	plan := planText(t, "tour.yaml", tour(t, text), false)
	if *update {
		written := string(text[:at[2]]) + plan + string(text[at[3]:])
		if err := os.WriteFile(readme, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(plan, string(text[at[2]:at[3]])); diff != "" {
		t.Errorf("the README shows another plan (-want +README):\n%s", diff)
	}
}

// The README's second block is a session: each command prints what stands under it.
func TestTour(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tour.yaml"), tour(t, text), 0o644); err != nil {
		t.Fatal(err)
	}
	session := regexp.MustCompile("(?s)```console\n(\\$ ip -n .*?)```\n").FindSubmatch(text)
	if session == nil {
		t.Fatal("the README shows no session")
	}
	before := testhost.Machine(t)
	if err := os.Symlink(os.Getenv(binaryVariable), filepath.Join(dir, "topo")); err != nil {
		t.Fatal(err)
	}
	run := func(line string) string {
		return testhost.Run(t, "sh", "-c", "cd "+dir+" && PATH="+dir+":$PATH && "+line)
	}
	run("topo up -f tour.yaml")
	for _, part := range strings.Split(string(session[1]), "$ ")[1:] {
		command, shown, _ := strings.Cut(part, "\n")
		got := run(command)
		// What up and down print on the way is left out of the README.
		if strings.HasPrefix(command, "topo plan") && got != shown {
			t.Errorf("%q prints\n%s\nthe README shows\n%s", command, got, shown)
		}
	}
	if diff := cmp.Diff(testhost.Steady(before), testhost.Steady(testhost.Machine(t))); diff != "" {
		t.Errorf("the tour leaves something (-before +after):\n%s", diff)
	}
}

// Every link of a page leads somewhere.
func TestLinks(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), string(m[1]))); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	if links < 10 {
		t.Errorf("found %d links only", links)
	}
}
