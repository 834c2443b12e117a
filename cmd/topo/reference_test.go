package main

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// TestReference holds docs/reference/commands.md against the program; -update rewrites it.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "reference", "commands.md")
	want := reference(newApp(nil, nil, nil))
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("docs/reference/commands.md is not what the program says; go test ./cmd/topo -run TestReference -update (-want +got):\n%s", d)
	}
}

// reference is the page of all commands.
func reference(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The commands of topo\n\nWritten from the program by `go test ./cmd/topo -run TestReference -update`.\n\n")
	fmt.Fprintf(&b, "```\n%s\n```\n\n%s\n\n", app.UsageText, prose(app.Description))
	writeFlags(&b, app.Flags)
	for name, c := range eachCommand("topo", app.Commands) {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```\n%s\n```\n\n%s\n\n", name, capital(c.Usage), c.UsageText, prose(c.Description))
		writeFlags(&b, c.Flags)
	}
	return b.String()
}

// eachCommand yields commands with their full names, those of others after them.
func eachCommand(above string, commands []*cli.Command) iter.Seq2[string, *cli.Command] {
	return func(yield func(string, *cli.Command) bool) {
		for _, c := range commands {
			name := above + " " + c.Name
			if !yield(name, c) {
				return
			}
			for n, sub := range eachCommand(name, c.Subcommands) {
				if !yield(n, sub) {
					return
				}
			}
		}
	}
}

// prose turns the indented parts of a help text into code blocks.
func prose(text string) string {
	var b strings.Builder
	code, blank := false, ""
	for line := range strings.Lines(text + "\n") {
		if strings.TrimSpace(line) == "" {
			blank += line
			continue
		}
		if indented := strings.HasPrefix(line, "  "); indented != code {
			fence := blank + "```\n"
			if code {
				fence = "```\n" + blank
			}
			b.WriteString(fence)
			code, blank = indented, ""
		}
		b.WriteString(blank + strings.TrimPrefix(line, "  "))
		blank = ""
	}
	if code {
		b.WriteString("```\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func writeFlags(b *strings.Builder, flags []cli.Flag) {
	shown := visible(flags)
	if len(shown) == 0 {
		return
	}
	fmt.Fprintf(b, "| flag | default | environment | meaning |\n|---|---|---|---|\n")
	for _, f := range shown {
		var names []string
		for _, n := range f.Names() {
			dashes := "--"
			if len(n) == 1 {
				dashes = "-"
			}
			names = append(names, "`"+dashes+n+"`")
		}
		usage := strings.ReplaceAll(f.GetUsage(), "|", "\\|")
		env := ""
		if _, after, ok := strings.Cut(usage, " [$"); ok { // of -f and -p
			env, usage = strings.TrimSuffix(after, "]"), usage[:strings.Index(usage, " [$")]
		} else if vars := f.GetEnvVars(); len(vars) > 0 {
			env = vars[0]
		}
		value := ""
		if f.TakesValue() || f.GetDefaultText() == "true" {
			value = strings.Trim(f.GetDefaultText(), `"`)
		}
		if env != "" {
			env = "`" + env + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", strings.Join(names, ", "), value, env, strings.ReplaceAll(usage, "`", ""))
	}
}

// visible are the flags that the help shows, without --help.
func visible(flags []cli.Flag) []cli.DocGenerationFlag {
	var list []cli.DocGenerationFlag
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() || f.Names()[0] == "help" {
			continue
		}
		list = append(list, f.(cli.DocGenerationFlag))
	}
	return list
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// TestHelpIsComplete: a command has a usage, an example, and a variable for each flag.
func TestHelpIsComplete(t *testing.T) {
	app := newApp(nil, nil, nil)
	for name, c := range eachCommand("topo", app.Commands) {
		if c.Usage == "" || c.UsageText == "" || !strings.Contains(c.Description, name) {
			t.Errorf("%s: its help has no usage or no example", name)
		}
		if c.Action == nil || !c.HideHelpCommand || c.OnUsageError == nil {
			t.Errorf("%s: not wired as the others are", c.Name)
		}
		for _, f := range visible(c.Flags) {
			name := f.Names()[0]
			if env := envName(name); !strings.Contains(f.GetUsage(), "$"+env) && (len(f.GetEnvVars()) != 1 || f.GetEnvVars()[0] != env) {
				t.Errorf("%s --%s: no %s", c.Name, name, env)
			}
			if f.GetUsage() == "" {
				t.Errorf("%s --%s: no help", c.Name, name)
			}
		}
	}
}
