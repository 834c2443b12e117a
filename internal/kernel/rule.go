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
	for _, g := range parseSpec(r.Spec).matches {
		for _, o := range g.options {
			if o.name == "--comment" && len(o.values) == 1 {
				m, _ := ParseMark(o.values[0])
				return m
			}
		}
	}
	return Mark{}
}

// Canonical rewrites the text of a rule (as typed, or as iptables-save prints it) into the one form
// in which equal rules are equal strings. iptables reorders and rewrites what it is given: -s and -d move
// to the front, /32 appears, -p tcp brings -m tcp, states are listed in an order of its own.
//
// The form is itself a rule that iptables takes, to delete it, too: addresses, interfaces and protocol sorted by
// option; the protocol's own options (its -m left out, -p implies it); the other matches in their order, which
// iptables keeps and compares, with their options sorted; the target. /32 and /128 are removed, lists of
// states sorted.
func Canonical(spec string) string {
	p := parseSpec(spec)
	var words []string
	write := func(opts []ruleOption) {
		for _, o := range opts {
			if o.not {
				words = append(words, "!")
			}
			words = append(words, o.name)
			for _, v := range o.values {
				words = append(words, quoteRule(v))
			}
		}
	}
	write(p.base)
	write(p.protocol)
	for _, m := range p.matches {
		words = append(words, "-m", quoteRule(m.name))
		write(m.options)
	}
	write(p.target)
	return strings.Join(words, " ")
}

type ruleOption struct {
	not    bool
	name   string
	values []string
}

type ruleMatch struct {
	name    string
	options []ruleOption
}

type ruleParts struct {
	base     []ruleOption // -s -d -i -o -p
	protocol []ruleOption // --dport …
	matches  []ruleMatch  // -m …
	target   []ruleOption // -j and its options
}

// shortNames are the options with two spellings.
var shortNames = map[string]string{
	"--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--protocol": "-p", "--proto": "-p",
	"--in-interface": "-i", "--out-interface": "-o", "--jump": "-j", "--goto": "-g", "--match": "-m",
	"--destination-port": "--dport", "--source-port": "--sport",
}

var protocolMatches = []string{"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6", "icmpv6", "ipv6-icmp"}

func parseSpec(spec string) ruleParts {
	var p ruleParts
	current := &p.protocol // where options that are not base go
	not := false
	var last *ruleOption
	for _, w := range ruleWords(spec) {
		switch {
		case w.text == "!" && !w.quoted:
			not = true
			continue
		case w.quoted || !strings.HasPrefix(w.text, "-") || len(w.text) < 2:
			if last != nil {
				last.values = append(last.values, w.text)
			}
			continue
		}
		name := w.text
		if short, ok := shortNames[name]; ok {
			name = short
		}
		into := current
		switch name {
		case "-m":
			p.matches = append(p.matches, ruleMatch{})
			p.matches[len(p.matches)-1].options = []ruleOption{{name: name}}
			current = &p.matches[len(p.matches)-1].options
			last = &(*current)[0]
			not = false
			continue
		case "-j", "-g":
			current, into = &p.target, &p.target
		case "-s", "-d", "-i", "-o", "-p", "-f":
			if current != &p.target {
				into = &p.base
			}
		}
		*into = append(*into, ruleOption{not: not, name: name})
		last = &(*into)[len(*into)-1]
		not = false
	}
	var matches []ruleMatch
	for _, m := range p.matches {
		head, options := m.options[0], m.options[1:]
		if len(head.values) == 1 && slices.Contains(protocolMatches, head.values[0]) {
			p.protocol = append(p.protocol, options...)
			continue
		}
		matches = append(matches, ruleMatch{name: strings.Join(head.values, " "), options: options})
	}
	p.matches = matches
	normalise(p.base)
	normalise(p.protocol)
	for _, m := range p.matches {
		normalise(m.options)
	}
	return p
}

func normalise(opts []ruleOption) {
	for _, o := range opts {
		for i, v := range o.values {
			switch o.name {
			case "-s", "-d":
				o.values[i] = strings.TrimSuffix(strings.TrimSuffix(v, "/32"), "/128")
			case "--ctstate":
				states := strings.Split(v, ",")
				slices.Sort(states)
				o.values[i] = strings.Join(states, ",")
			}
		}
	}
	slices.SortStableFunc(opts, func(a, b ruleOption) int { return strings.Compare(a.name, b.name) })
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
