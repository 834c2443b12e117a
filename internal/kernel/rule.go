package kernel

import (
	"slices"
	"strings"
)

// Rule is an iptables rule.
type Rule struct {
	Family Family
	Table  string
	Chain  string
	// Spec is the canonical text of what follows "-A CHAIN": see [Canonical].
	Spec string
}

// Mark is the ownership mark in the rule's comment, zero when it has none.
func (r Rule) Mark() Mark {
	for _, o := range parseSpec(r.Spec) {
		if o.name == "--comment" && len(o.values) == 1 {
			m, _ := ParseMark(o.values[0])
			return m
		}
	}
	return Mark{}
}

// Canonical rewrites the text of a rule (as typed, or as iptables-save prints it) into the one form
// in which equal rules are equal strings. iptables reorders and rewrites what it is given: -s and -d move
// to the front, /32 appears, -p tcp brings -m tcp, states are listed in an order of its own.
//
// The form: options sorted by name, the target last; -m left out where the match has options that imply
// it; /32 and /128 removed; lists of states sorted.
func Canonical(spec string) string {
	opts := parseSpec(spec)
	var b strings.Builder
	for i, o := range opts {
		if i > 0 {
			b.WriteByte(' ')
		}
		if o.not {
			b.WriteString("! ")
		}
		b.WriteString(o.name)
		for _, v := range o.values {
			b.WriteByte(' ')
			b.WriteString(quoteRule(v))
		}
	}
	return b.String()
}

type ruleOption struct {
	not    bool
	name   string
	values []string
}

// longNames are the options with two spellings.
var longNames = map[string]string{
	"--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--protocol": "-p", "--proto": "-p",
	"--in-interface": "-i", "--out-interface": "-o", "--jump": "-j", "--goto": "-g", "--match": "-m",
	"--destination-port": "--dport", "--source-port": "--sport",
}

func parseSpec(spec string) []ruleOption {
	var opts []ruleOption
	not := false
	for _, w := range ruleWords(spec) {
		switch {
		case w.text == "!" && !w.quoted:
			not = true
		case strings.HasPrefix(w.text, "-") && len(w.text) > 1 && !w.quoted:
			name := w.text
			if short, ok := longNames[name]; ok {
				name = short
			}
			opts = append(opts, ruleOption{not: not, name: name})
			not = false
		case len(opts) > 0:
			o := &opts[len(opts)-1]
			o.values = append(o.values, w.text)
		}
	}
	kept := opts[:0]
	target := len(opts)
	for i, o := range opts {
		switch {
		case o.name == "-m":
			continue
		case o.name == "-j" || o.name == "-g":
			target = i
		}
		for j, v := range o.values {
			switch {
			case o.name == "-s" || o.name == "-d":
				v = strings.TrimSuffix(strings.TrimSuffix(v, "/32"), "/128")
			case o.name == "--ctstate":
				states := strings.Split(v, ",")
				slices.Sort(states)
				v = strings.Join(states, ",")
			}
			o.values[j] = v
		}
		opts[i] = o
	}
	// Matches are sorted; the target and its options keep their place, at the end.
	for i, o := range opts {
		if i < target && o.name != "-m" {
			kept = append(kept, o)
		}
	}
	slices.SortStableFunc(kept, func(a, b ruleOption) int { return strings.Compare(a.name, b.name) })
	if target < len(opts) {
		kept = append(kept, opts[target:]...)
	}
	return kept
}

type ruleWord struct {
	text   string
	quoted bool
}

// ruleWords splits as iptables-restore does: blanks, "double quotes" with backslash escapes.
func ruleWords(s string) []ruleWord {
	var words []ruleWord
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		var b strings.Builder
		quoted, in := false, false
		for ; i < len(s) && (in || s[i] != ' ' && s[i] != '\t'); i++ {
			switch {
			case s[i] == '"':
				in, quoted = !in, true
			case s[i] == '\\' && in && i+1 < len(s):
				i++
				b.WriteByte(s[i])
			default:
				b.WriteByte(s[i])
			}
		}
		words = append(words, ruleWord{b.String(), quoted})
	}
	return words
}

// quoteRule quotes as iptables-save does: only where it must.
func quoteRule(v string) string {
	if v != "" && !strings.ContainsAny(v, " \t\"'\\") && !strings.HasPrefix(v, "-") && v != "!" {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}
