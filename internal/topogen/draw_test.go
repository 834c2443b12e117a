package topogen_test

import (
	"testing"

	"pgregory.net/rapid"

	"topo/internal/topogen"
	"topo/spec"
)

// TestValid: what is drawn can be read, or the properties would be about nothing.
func TestValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := topogen.Options{
			Processes: rapid.Bool().Draw(t, "processes"), Stated: rapid.Bool().Draw(t, "stated"), Plain: rapid.Bool().Draw(t, "plain"),
			Card: rapid.SampledFrom([]string{"", "eth0"}).Draw(t, "card"),
		}
		f := topogen.Draw(t, "p", o)
		for range 3 {
			yaml := f.YAML()
			if _, err := spec.Load([]spec.Source{{Name: "topo.yaml", Data: yaml}}, spec.Options{Dir: "/"}); err != nil {
				t.Fatalf("%v\n%s", err, yaml)
			}
			f = topogen.Change(t, f, o)
		}
	})
}
