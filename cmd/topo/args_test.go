package main

import (
	"strings"
	"testing"
)

func TestArrange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, typed, want string }{
		{"flags stay first", "topo plan --json a", "topo plan --json a"},
		{"a flag behind an operand", "topo inspect web --json", "topo inspect --json web"},
		{"with its value", "topo plan a -f x.yaml b", "topo plan -f x.yaml a b"},
		{"with a glued value", "topo plan a --file=x.yaml b", "topo plan --file=x.yaml a b"},
		{"before the verb", "topo -f x.yaml -p y ps a --json", "topo -f x.yaml -p y ps --json a"},
		{"stdin is no flag", "topo plan -f - a", "topo plan -f - a"},
		{"behind -- all are operands", "topo plan a -- --json", "topo plan a -- --json"},
		{"exec passes on what follows", "topo -p y exec -it web ls -l", "topo -p y exec -it web ls -l"},
		{"completion stays last", "topo up a --generate-bash-completion", "topo up a --generate-bash-completion"},
		{"a value that looks like a verb", "topo -p plan ps", "topo -p plan ps"},
		{"a verb of two words", "topo -p y volume ls --json", "topo -p y volume ls --json"},
		{"its operand", "topo volume rm a --lock-timeout 1s b", "topo volume rm --lock-timeout 1s a b"},
		{"no verb", "topo --version", "topo --version"},
		{"a value that is missing", "topo plan a -f", "topo plan -f a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(arrange(newApp(nil, nil, nil), strings.Fields(c.typed)), " ")
			if got != c.want {
				t.Errorf("arrange(%s)\n got %s\nwant %s", c.typed, got, c.want)
			}
		})
	}
}

func TestWantsJSON(t *testing.T) {
	for _, c := range []struct {
		typed string
		want  bool
	}{
		{"topo plan --json", true},
		{"topo plan a --json", true},
		{"topo plan --json=false", false},
		{"topo plan", false},
		{"topo --json plan", false},
		{"topo validate --json", false},
		{"topo -p --json ps", false},
		{"topo volume ls --json", true},
		{"topo volume rm --json", false},
	} {
		if got := wantsJSON(newApp(nil, nil, nil), strings.Fields(c.typed)); got != c.want {
			t.Errorf("wantsJSON(%s) = %v", c.typed, got)
		}
	}
	t.Setenv("TOPO_JSON", "true")
	if !wantsJSON(newApp(nil, nil, nil), []string{"topo", "ps"}) {
		t.Error("TOPO_JSON is not seen")
	}
}
