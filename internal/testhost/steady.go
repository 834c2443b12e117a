package testhost

import (
	"regexp"
	"slices"
	"strings"
)

// passing is what says nothing about a machine: the numbers of interfaces and bridge ports, which rise
// with every one that is made.
var passing = regexp.MustCompile(`^\d+: |@if\d+|port_(id|no) \w+|designated_port \d+|topology_change(_detected|_ack)? \d|config_pending \d`)

// Steady is a machine's text ([Machine]) for comparison of two moments between which things were made and removed: in lines, each
// section sorted, without what passes and without what the kernel does in its own time, which gives each link an IPv6
// address of its own once it is sure that nobody else has it.
func Steady(machine string) []string {
	var lines []string
	section := 0 // where it begins
	for _, line := range strings.Split(machine, "\n") {
		if strings.HasPrefix(line, "== ") {
			slices.Sort(lines[section:])
			lines = append(lines, line)
			section = len(lines)
		} else if !strings.Contains(line, "fe80::") {
			lines = append(lines, passing.ReplaceAllString(line, ""))
		}
	}
	slices.Sort(lines[section:])
	return lines
}
