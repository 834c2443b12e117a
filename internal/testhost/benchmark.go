package testhost

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

// results are the lines that inner benchmarks printed. Package testing calls a benchmark several
// times with a growing b.N; one machine is enough.
var results sync.Map // name → line

// record keeps an inner benchmark's result and makes it that of b.
func record(b *testing.B, output string) {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, b.Name()) && strings.Contains(line, "ns/op") {
			results.Store(b.Name(), line)
			replay(b)
			return
		}
	}
	b.Error("the benchmark printed no result on its machine")
}

// replay reports the kept result, if there is one: "NAME N VALUE UNIT VALUE UNIT …".
func replay(b *testing.B) bool {
	line, ok := results.Load(b.Name())
	if !ok {
		return false
	}
	fields := strings.Fields(line.(string))
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			b.Fatalf("reading the result %q: %v", line, err)
		}
		b.ReportMetric(v, fields[i+1])
	}
	return true
}
