package planner

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"topo/spec"
)

// Words for attributes.

func number[T int | uint32 | uint16](n T) string { return fmt.Sprint(n) }

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func upDown(b bool) string {
	if b {
		return "up"
	}
	return "down"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// prefixOf is a bridge's own address in a subnet, with its length.
func prefixOf(s spec.Subnet) netip.Prefix { return netip.PrefixFrom(s.Gateway, s.Prefix.Bits()) }

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// countWords is "1 rule missing, 2 rules too many".
func countWords(missing, extra int, what string) string {
	var out []string
	for _, c := range []struct {
		n    int
		word string
	}{{missing, "missing"}, {extra, "too many"}} {
		switch {
		case c.n == 1:
			out = append(out, fmt.Sprintf("1 %s %s", what, c.word))
		case c.n > 1:
			out = append(out, fmt.Sprintf("%d %ss %s", c.n, what, c.word))
		}
	}
	return strings.Join(out, ", ")
}
