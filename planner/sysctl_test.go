package planner_test

import (
	"testing"

	"topo/internal/kernel"
)

// What was recorded of a namespace that somebody deleted was taken for a parameter of the new one, which the file doesn't state any
// more: up made the namespace, and ended with a difference.
func TestRecordsOfADeletedNamespace(t *testing.T) {
	const yaml = `
name: p
namespaces:
  n: {sysctls: {net.ipv4.ip_forward: "1", net.ipv4.ip_unprivileged_port_start: "0"}}
`
	testEdits(t, yaml, func(t *testing.T) *lab { return on(t, yaml) }, map[string]edit{
		"that is no longer stated": {
			foreign: []kernel.Op{kernel.NetnsDelete{Name: "p-n"}},
			replace: []string{`, net.ipv4.ip_unprivileged_port_start: "0"`, ""},
			want:    []string{"- sysctl/n:net.ipv4.ip_unprivileged_port_start not in the file", "+ netns/n p-n missing", "+ sysctl/n:net.ipv4.ip_forward 1 missing"},
		},
		"that is stated": {
			foreign: []kernel.Op{kernel.NetnsDelete{Name: "p-n"}},
			want:    []string{"+ netns/n p-n missing", "+ sysctl/n:net.ipv4.ip_forward 1 missing", "+ sysctl/n:net.ipv4.ip_unprivileged_port_start 0 missing"},
		},
	})
}
