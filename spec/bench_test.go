package spec_test

import (
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// large is a topology of n containers.
func large(n int) string {
	var b strings.Builder
	b.WriteString("name: large\nx-node: &node\n  init: true\n  environment: {LEVEL: debug}\nbridges:\n")
	for i := range n/1000 + 1 {
		fmt.Fprintf(&b, "  b%d:\n    subnet: 10.%d.0.0/16\n", i, i)
	}
	b.WriteString("containers:\n")
	for i := range n {
		fmt.Fprintf(&b, `  n%d:
    <<: *node
    command: [sleep, infinity]
    bridges: {b%d: {address: 10.%d.%d.%d}}
    ports: ["127.0.0.1:%d:80"]
    environment: {NAME: n%d, PEER: "${SET}"}
    sysctls: {net.ipv4.ip_forward: 1}
`, i, i/1000, i/1000, 1+i%1000/250, 2+i%250, 10000+i, i)
	}
	return b.String()
}

// The target is three times what YAML alone takes, BenchmarkYAML5000.
func BenchmarkLoad5000(b *testing.B) {
	text := large(5000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := load("large", text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkYAML5000(b *testing.B) {
	text := []byte(large(5000))
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			b.Fatal(err)
		}
	}
}
