package testhost

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// passing is what says nothing about a machine: the numbers of interfaces and bridge ports, which rise
// with every one that is made; what the kernel says of a carrier, a second late, whether it was there or not; and which of its
// members a bond uses for the moment, and what it calls them (bond_3ad.c numbers them anew).
var passing = regexp.MustCompile(`^\d+: |@if\d+|port_(id|no) \w+|designated_port \d+|topology_change(_detected|_ack)? \d|config_pending \d|` +
	`NO-CARRIER,|,LOWER_UP| state (UP|DOWN|LOWERLAYERDOWN|UNKNOWN)| linkdown|` +
	`active_slave \S+|bond_slave state \w+|link_failure_count \d+|ad_(aggregator|num_ports|actor_key|partner_key|partner_mac|aggregator_id) \S+|_oper_port_state(_str)? \S+`)

// Steady is a machine's text ([Machine]) for comparison of two moments between which things were made and removed: in lines, each
// section sorted but for rules of iptables, of which the order counts; without what passes and without what the kernel does in its own
// time, which gives each link an IPv6 address of its own once it is sure that nobody else has it.
func Steady(machine string) []string {
	var lines []string
	section, ordered := 0, false // where it begins
	for _, line := range strings.Split(machine, "\n") {
		if title, ok := strings.CutPrefix(line, "== "); ok {
			if !ordered {
				slices.Sort(lines[section:])
			}
			lines = append(lines, line)
			section, ordered = len(lines), IsTables(title)
		} else if !strings.Contains(line, "fe80::") {
			lines = append(lines, passing.ReplaceAllString(line, ""))
		}
	}
	if !ordered {
		slices.Sort(lines[section:])
	}
	return lines
}

// Await reads until there is what is wanted, or for a while: the kernel does some things in its own time. It gives the difference
// that there is then, "" for none.
func Await(want []string, now func() []string) (diff string) {
	const limit, pause = 20 * time.Second, 20 * time.Millisecond
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		if diff := cmp.Diff(want, now()); diff == "" || time.Now().After(end) {
			return diff
		}
	}
}

// IsTables reports whether a section of a machine's text, by its title, has rules of iptables.
func IsTables(title string) bool { return strings.HasSuffix(title, "-save") }
