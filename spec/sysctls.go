package spec

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// sysctlKey is a parameter below net, with dots, or with slashes where a name has dots (sysctl(8)).
var sysctlKey = regexp.MustCompile(`^net([./][A-Za-z0-9_-]+)+$|^net(/[A-Za-z0-9_.@-]+)+$`)

// acceptRAKey is what has a key of its own: two that say something of one thing would undo each other.
var acceptRAKey = regexp.MustCompile(`^net\.ipv6\.conf\..*\.accept_ra$`)

// keyValue is a word KEY=VALUE, or an entry of a map.
type keyValue struct {
	pos   Pos
	key   string
	value string
	null  bool // there is no value
}

// read lists the pairs of either form, in the file's order.
func (p pairs) read() []keyValue {
	var list []keyValue
	for _, w := range p.List {
		if w.Set {
			key, value, ok := strings.Cut(w.Value, "=")
			list = append(list, keyValue{w.Pos, key, value, !ok})
		}
	}
	for _, e := range p.Map {
		if e.Value.Set {
			list = append(list, keyValue{e.Pos, e.Key, e.Value.Value, e.Value.Null})
		}
	}
	return list
}

func (r *resolver) sysctls(s *nodeState) []Sysctl {
	var list []Sysctl
	seen := map[string]Pos{}
	for _, kv := range s.raw.Sysctls.read() {
		// Names with slashes and with dots mean the same file.
		canonical := canonicalSysctl(kv.key)
		first, twice := seen[canonical]
		switch {
		case kv.null || kv.value == "":
			r.add(kv.pos, "sysctl %q has no value", kv.key)
		case !strings.HasPrefix(canonical, "net."):
			r.add(kv.pos, "sysctl %q is not of a network namespace; only net.* is", kv.key)
		case !sysctlKey.MatchString(kv.key) || strings.Contains(kv.key, "/.."):
			r.add(kv.pos, "sysctl %q is not the name of a kernel parameter", kv.key)
		case strings.ContainsAny(kv.value, "\n\x00"):
			r.add(kv.pos, "sysctl %q must be one line", kv.key)
		case acceptRAKey.MatchString(canonical):
			r.add(kv.pos, "sysctl %q: say accept_ra of the interface", kv.key)
		case twice:
			r.add(kv.pos, "sysctl %q is there twice, first in %s", kv.key, line(first))
		default:
			seen[canonical] = kv.pos
			list = append(list, Sysctl{Pos: kv.pos, Key: kv.key, Value: kv.value})
		}
	}
	sortSysctls(list)
	return list
}

func canonicalSysctl(key string) string { return strings.ReplaceAll(key, "/", ".") }

func sortSysctls(list []Sysctl) {
	slices.SortFunc(list, func(a, b Sysctl) int { return cmp.Compare(a.Key, b.Key) })
}

func (r *resolver) labels(p pairs) map[string]string {
	labels := map[string]string{}
	for _, kv := range p.read() {
		if kv.key == "" {
			r.add(kv.pos, "a label needs a name")
			continue
		}
		labels[kv.key] = kv.value
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}
