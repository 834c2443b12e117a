package planner_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"topo/internal/fake"
	"topo/internal/kernel"
	"topo/planner"
	"topo/spec"
)

// FuzzCommands: what Load takes has a plan on an empty machine, or an error, and nothing in the file gets out of its place: in a
// shell line it is a word or a comment, in a transaction of iptables one line, in a hosts file and a resolv.conf a name.
func FuzzCommands(f *testing.F) {
	for _, pattern := range []string{"../spec/testdata/good/*.yaml", "../examples/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, text := range hostileFiles {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkPlan(t, data) })
}

// hostileFiles try to get something of their own into a shell line or a file of the host.
var hostileFiles = []string{
	"bridges: {a: {subnet: 10.1.0.0/24, name: 'a;reboot'}}",
	"bridges: {a: {subnet: 10.1.0.0/24, name: 'a$(id)'}}",
	"bridges: {a: {subnet: 10.1.0.0/24, name: \"a'b\"}}",
	"bridges: {a: {subnet: 10.1.0.0/24, name: 'a\"b'}}",
	"bridges: {a: {subnet: 10.1.0.0/24, name: 'br+'}}",
	"bridges: {a: {subnet: 10.1.0.0/24, name: '-jACCEPT'}}",
	"bridges: {a: {subnet: none, name: '#a'}}\nnamespaces: {n: {bridges: {a: {interface: '`id`'}}}}",
	"namespaces: {n: {command: [echo, \"a\\nreboot\\n\"]}}",
	"namespaces: {n: {command: [echo, \"'\\nreboot\\n'\"]}}",
	"namespaces: {n: {command: [echo, \"a\\rreboot\", \"\\e[2J\"]}}",
	"namespaces: {n: {sysctls: {net.ipv4.ip_forward: \"1'; reboot; '\"}}}",
	"namespaces: {n: {sysctls: {\"net.ipv4.conf.a;reboot.forwarding\": \"1\"}}}",
	"namespaces: {n: {dns_search: [\"a\\nnameserver 192.0.2.1\"], dns: [192.0.2.53]}}",
	"namespaces: {n: {extra_hosts: [\"a b:192.0.2.1\", \"x\\n192.0.2.2 bank:192.0.2.1\"]}}",
	"namespaces: {n: {hostname: \"a\\nb\"}}",
	"bridges: {a: {subnet: 10.1.0.0/24}}\nnamespaces: {n: {bridges: {a: {aliases: [\"x\\n192.0.2.2 bank\"]}}}}",
	"prefix: '../x'\nnamespaces: {n: {}}",
	"containers: {c: {image: \"a\\nreboot\", command: [x]}}",
	"namespaces: {n: {interfaces: {w: {type: wireguard, peers: [{public_key: \"aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=\", endpoint: \"$(id):1\"}]}}}}",
}

// TestNothingGetsOutOfItsPlace: what FuzzCommands begins with.
func TestNothingGetsOutOfItsPlace(t *testing.T) {
	for _, text := range hostileFiles {
		checkPlan(t, []byte(text))
	}
}

func checkPlan(t *testing.T, data []byte) {
	t.Helper()
	top, err := spec.Load([]spec.Source{{Name: "f.yaml", Data: data}}, spec.Options{Dir: "/p", Project: "p"})
	if err != nil {
		return
	}
	s, err := fake.New().Snapshot(t.Context(), planner.Query(top, "p"))
	if err != nil {
		t.Fatal(err)
	}
	if top, err = planner.Allocate(top, s); err != nil {
		return // no address is left, two overlap: errors of the file
	}
	p, err := planner.Build(planner.Options{Project: "p", Topology: top, Snapshot: s})
	if err != nil {
		if err.Error() == "" {
			t.Errorf("an error without words: %#v", err)
		}
		return
	}
	for _, step := range p.Steps {
		for _, op := range step.Ops {
			checkOp(t, op)
		}
	}
	for line := range strings.Lines(p.Text(planner.TextOptions{})) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), isControl) {
			t.Errorf("a line of the plan with a control character: %q", line)
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

var (
	hostsLine  = regexp.MustCompile(`^(#.*|[0-9a-fA-F:.]+(%[^ ]+)?( [^\s#]+)+)$`)
	resolvLine = regexp.MustCompile(`^(#.*|nameserver [0-9a-fA-F:.]+(%[^\s]+)?|search( [^\s#;]+)+)$`)
)

func checkOp(t *testing.T, op kernel.Op) {
	t.Helper()
	line := op.String()
	if problem := shellProblem(line); problem != "" {
		t.Errorf("%T: %s: %q", op, problem, line)
	}
	switch o := op.(type) {
	case kernel.Iptables:
		if strings.ContainsFunc(o.Args, isControl) || strings.Count(o.Args, `"`)%2 != 0 {
			t.Errorf("a rule of more than one line, or with an open quote: %q", o.Args)
		}
	case kernel.FileWrite:
		if dir, ok := strings.CutPrefix(filepath.Dir(o.Path), "/etc/netns/"); !ok || strings.Contains(dir, "/") || filepath.Clean(o.Path) != o.Path {
			t.Errorf("a file elsewhere: %q", o.Path)
		}
		form := hostsLine
		if strings.HasSuffix(o.Path, "/resolv.conf") {
			form = resolvLine
		}
		for l := range strings.Lines(o.Content.String()) {
			if !form.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("%s has the line %q", o.Path, l)
			}
		}
	case kernel.NetnsAdd:
		if filepath.Base(o.Name) != o.Name || strings.HasPrefix(o.Name, ".") || strings.ContainsFunc(o.Name, isControl) {
			t.Errorf("a namespace called %q", o.Name)
		}
	}
}

// ownWords are the words of topo's own in which there is more than a word: keys, which are read where the line is run.
var ownWords = regexp.MustCompile(`^\(umask 077 && mkdir -p /var/lib/topo/keys/[a-z0-9_-]+ && wg genkey > /var/lib/topo/keys/[a-zA-Z0-9_.:/-]+\)$|"\$\(wg pubkey < /var/lib/topo/keys/[a-zA-Z0-9_.:/-]+\)"`)

// shellProblem is what is wrong with a line for a shell: something outside of quotes that is neither a word nor one of the few
// operators that the lines have. A comment is one line.
func shellProblem(line string) string {
	if strings.HasPrefix(line, "#") {
		if strings.ContainsAny(line, "\n\r") {
			return "a comment that goes on in another line"
		}
		return ""
	}
	quoted, double := false, false
	runes := []rune(ownWords.ReplaceAllString(line, "word"))
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case quoted:
			quoted = r != '\''
		case double:
			switch r {
			case '\\':
				i++
			case '$', '`':
				return "an expansion in double quotes"
			default:
				double = r != '"'
			}
		case r == '\'':
			quoted = true
		case r == '"':
			double = true
		case r == '\\' && i+1 < len(runes) && runes[i+1] == '\'': // '\'' in a word
			i++
		case slices.Contains([]string{" && ", " > ", " | "}, word(runes, i-1)), r == '&' && i > 0 && runes[i-1] == '&',
			r == '<' && strings.HasPrefix(string(runes[i:]), "<before>"), r == '>' && strings.HasSuffix(string(runes[:i+1]), "<before>"),
			r == '<' && strings.HasPrefix(string(runes[i:]), "<("), r == '!' && word(runes, i-1) != "":
		case isControl(r) || strings.ContainsRune("`$&|;<>()*?{}\\", r):
			return "unquoted " + string(r)
		case r == '#' && i > 0 && runes[i-1] == ' ':
			return "a comment in a line"
		}
	}
	if quoted || double {
		return "an open quote"
	}
	return ""
}

// word is the operator with its blanks at a place, or "".
func word(runes []rune, at int) string {
	for _, w := range []string{" && ", " > ", " | ", " ! "} {
		if at >= 0 && strings.HasPrefix(string(runes[at:]), w) {
			return w
		}
	}
	return ""
}
