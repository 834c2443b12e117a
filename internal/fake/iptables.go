package fake

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"topo/internal/kernel"
)

type tableKey struct {
	family kernel.Family
	name   string
}

// table is an iptables table that somebody has used: iptables-nft makes them then, with all built-in chains.
type table struct{ chains []*chain }

type chain struct {
	name   string
	policy string   // of a built-in one
	rules  []string // canonical
}

// builtin is the built-in chains of each table, as of iptables(8).
var builtin = map[string][]string{
	"filter": {"INPUT", "FORWARD", "OUTPUT"},
	"nat":    {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"},
	"raw":    {"PREROUTING", "OUTPUT"},
	"mangle": {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"},
}

// targets is where each target that is no chain may stand; nil: anywhere. User-defined
// chains take what their table takes.
var targets = map[string]map[string][]string{
	"ACCEPT": nil, "DROP": nil, "RETURN": nil, "LOG": nil,
	"MASQUERADE": {"nat": {"POSTROUTING"}},
	"SNAT":       {"nat": {"POSTROUTING", "INPUT"}},
	"DNAT":       {"nat": {"PREROUTING", "OUTPUT"}},
	"REDIRECT":   {"nat": {"PREROUTING", "OUTPUT"}},
	"REJECT":     {"filter": {"INPUT", "FORWARD", "OUTPUT"}},
	"MARK":       {"mangle": builtin["mangle"]},
	"NOTRACK":    {"raw": builtin["raw"]},
}

// arguments is how many words follow an option of a rule.
var arguments = map[string]int{
	"-m": 1, "-s": 1, "-d": 1, "-p": 1, "-i": 1, "-o": 1, "-j": 1, "-g": 1, "--dport": 1, "--sport": 1, "--dports": 1,
	"--ctstate": 1, "--ctdir": 1, "--ctorigdst": 1, "--ctorigdstport": 1, "--comment": 1, "--dst-type": 1, "--src-type": 1,
	"--limit-iface-in": 0, "--limit-iface-out": 0, "--to-destination": 1, "--to-source": 1, "--to-ports": 1, "--random": 0,
	"--random-fully": 0, "--reject-with": 1, "--mark": 1, "--set-xmark": 1, "--set-mark": 1, "--physdev-in": 1,
	"--physdev-out": 1, "--physdev-is-bridged": 0, "--log-prefix": 1, "--mac-source": 1, "--limit": 1, "--limit-burst": 1,
	"--hitcount": 1, "--icmp-type": 1, "--icmpv6-type": 1, "--tcp-flags": 2, "--syn": 0,
}

// The longest names: XT_EXTENSION_MAXNAMELEN less its zero byte, and XT_MAX_COMMENT_LEN less its.
const (
	maxChain   = 28
	maxComment = 255
)

// iptables carries out ops of one table, all or none. Those that delete what is not there are left
// out, and returned; with an error comes the op that was refused.
func (m *Machine) iptables(ops []kernel.Op) (refused kernel.Op, absent []kernel.Op, err error) {
	first := ops[0].(kernel.Iptables)
	key := tableKey{first.Family, first.Table}
	if builtin[key.name] == nil || key.family != kernel.IPv4 && key.family != kernel.IPv6 {
		return first, nil, fmt.Errorf("can't initialize table %q: %w", key.name, syscall.ENOENT)
	}
	next := &table{}
	if t := m.tables[key]; t != nil {
		for _, c := range t.chains {
			next.chains = append(next.chains, &chain{c.name, c.policy, slices.Clone(c.rules)})
		}
	} else {
		for _, name := range builtin[key.name] {
			next.chains = append(next.chains, &chain{name: name, policy: "ACCEPT"})
		}
	}
	for _, op := range ops {
		err := next.edit(key, op.(kernel.Iptables).Args)
		switch {
		case errors.Is(err, errAbsent):
			absent = append(absent, op)
		case err != nil:
			return op, nil, err
		}
	}
	m.tables[key] = next
	return nil, absent, nil
}

func (t *table) chain(name string) *chain {
	for _, c := range t.chains {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (t *table) edit(key tableKey, line string) error {
	verb, rest := cutWord(line)
	name, spec := cutWord(rest)
	c := t.chain(name)
	if verb == "-N" {
		switch {
		case c != nil:
			return fmt.Errorf("chain %s: %w", name, syscall.EEXIST)
		case spec != "" || name == "" || len(name) > maxChain || strings.HasPrefix(name, "-") || isTarget(name):
			return fmt.Errorf("chain name %q: %w", name, syscall.EINVAL)
		}
		t.chains = append(t.chains, &chain{name: name})
		return nil
	}
	switch {
	case c == nil && (verb == "-D" || verb == "-F" || verb == "-X"):
		return errAbsent
	case c == nil:
		return fmt.Errorf("chain %q: %w", name, syscall.ENOENT)
	}
	switch verb {
	case "-A":
		rule, err := t.check(key, c, spec)
		if err != nil {
			return err
		}
		c.rules = append(c.rules, rule)
	case "-I":
		at := 1
		if word, after := cutWord(spec); word != "" {
			if n, err := strconv.Atoi(word); err == nil {
				at, spec = n, after
			}
		}
		if at < 1 || at > len(c.rules)+1 {
			return fmt.Errorf("index of insertion %d too big: %w", at, syscall.E2BIG)
		}
		rule, err := t.check(key, c, spec)
		if err != nil {
			return err
		}
		c.rules = slices.Insert(c.rules, at-1, rule)
	case "-D":
		at := slices.Index(c.rules, kernel.Canonical(spec))
		if n, err := strconv.Atoi(spec); err == nil && n <= len(c.rules) {
			at = n - 1
		}
		if at < 0 {
			return errAbsent
		}
		c.rules = slices.Delete(c.rules, at, at+1)
	case "-F":
		c.rules = nil
	case "-X":
		if c.policy != "" || len(c.rules) > 0 || t.referenced(name) {
			return fmt.Errorf("deleting chain %s: %w", name, syscall.EBUSY)
		}
		t.chains = slices.DeleteFunc(t.chains, func(x *chain) bool { return x == c })
	case "-P":
		if c.policy == "" || spec != "ACCEPT" && spec != "DROP" {
			return fmt.Errorf("policy of %s: %w", name, syscall.EINVAL)
		}
		c.policy = spec
	default:
		return fmt.Errorf("%s: %w", verb, syscall.EINVAL)
	}
	return nil
}

func (t *table) referenced(name string) bool {
	for _, c := range t.chains {
		for _, rule := range c.rules {
			if o := options(rule); o["-j"] == name || o["-g"] == name {
				return true
			}
		}
	}
	return false
}

// check refuses what iptables refuses, and gives the rule in its canonical form.
func (t *table) check(key tableKey, c *chain, spec string) (string, error) {
	rule := kernel.Canonical(spec)
	words := split(rule)
	for i := 0; i < len(words); i++ {
		if words[i] == "!" {
			continue
		}
		n, ok := arguments[words[i]]
		if !ok || i+n >= len(words) {
			return "", fmt.Errorf("unknown or incomplete option %q: %w", words[i], syscall.EINVAL)
		}
		i += n
	}
	o := options(rule)
	for _, name := range []string{"-s", "-d"} {
		if o[name] != "" && !fits(key.family, o[name]) {
			return "", fmt.Errorf("host/network %q: %w", o[name], syscall.EINVAL)
		}
	}
	for _, name := range []string{"--dport", "--sport"} {
		if o[name] == "" {
			continue
		}
		if !slices.Contains([]string{"tcp", "udp", "sctp"}, o["-p"]) {
			return "", fmt.Errorf("unknown option %q: %w", name, syscall.EINVAL)
		}
		for _, port := range strings.Split(o[name], ":") {
			if _, err := strconv.ParseUint(port, 10, 16); err != nil {
				return "", fmt.Errorf("invalid port %q: %w", port, syscall.EINVAL)
			}
		}
	}
	switch {
	case len(o["--comment"]) > maxComment:
		return "", fmt.Errorf("comment of %d bytes: %w", len(o["--comment"]), syscall.EINVAL)
	case o["-i"] != "" && (c.name == "POSTROUTING" || c.name == "OUTPUT"):
		return "", fmt.Errorf("can't use -i with %s: %w", c.name, syscall.EINVAL)
	case o["-o"] != "" && (c.name == "PREROUTING" || c.name == "INPUT"):
		return "", fmt.Errorf("can't use -o with %s: %w", c.name, syscall.EINVAL)
	case o["--to-destination"] != "" && (o["-j"] != "DNAT" || !fits(key.family, destination(o["--to-destination"]))):
		return "", fmt.Errorf("bad IP address %q: %w", o["--to-destination"], syscall.EINVAL)
	}
	target := o["-j"] + o["-g"]
	where, known := targets[target]
	switch {
	case target == "":
		return rule, nil
	case o["-g"] != "" || !known:
		if x := t.chain(target); x == nil || x.policy != "" {
			return "", fmt.Errorf("chain %q does not exist: %w", target, syscall.ENOENT)
		}
	case where == nil:
	case where[key.name] == nil || c.policy != "" && !slices.Contains(where[key.name], c.name):
		return "", fmt.Errorf("%s in chain %s of table %s: %w", target, c.name, key.name, syscall.EINVAL)
	}
	return rule, nil
}

func isTarget(name string) bool { _, ok := targets[name]; return ok }

// fits reports whether s is an address or network of a family.
func fits(f kernel.Family, s string) bool {
	s, _, _ = strings.Cut(s, "/")
	a, err := netip.ParseAddr(s)
	return err == nil && kernel.FamilyOf(a) == f
}

// destination is the address of ADDRESS:PORT; an IPv6 one is in brackets.
func destination(s string) string {
	if rest, ok := strings.CutPrefix(s, "["); ok {
		s, _, _ = strings.Cut(rest, "]")
		return s
	}
	s, _, _ = strings.Cut(s, ":")
	return s
}

// options is the options of a canonical rule with their first words.
func options(rule string) map[string]string {
	o := map[string]string{}
	words := split(rule)
	for i := 0; i < len(words); i++ {
		if n := arguments[words[i]]; n > 0 && i+1 < len(words) {
			o[words[i]] = words[i+1]
			i += n
		}
	}
	return o
}

func cutWord(s string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimSpace(s), " ")
	return word, strings.TrimSpace(rest)
}

// split makes words of a canonical rule.
func split(s string) []string {
	var words []string
	var b strings.Builder
	inWord, quoted := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			quoted, inWord = !quoted, true
		case c == ' ' && !quoted:
			if inWord {
				words = append(words, b.String())
			}
			b.Reset()
			inWord = false
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, b.String())
	}
	return words
}
