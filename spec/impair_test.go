package spec_test

import "testing"

// What a loss doesn't state is as tc has it: `tc qdisc show` after the same words prints these.
func TestLossIsCompletedAsByTC(t *testing.T) {
	for words, want := range map[string][5]float64{
		"1%":                    {1},
		"random 1% 25%":         {1, 25},
		"gemodel 1%":            {1, 99, 100},
		"gemodel 1% 10%":        {1, 10, 100},
		"gemodel 1% 10% 70%":    {1, 10, 70},
		"state 1%":              {1, 99, 0, 100},
		"state 1% 10%":          {1, 10, 0, 100},
		"state 1% 10% 5%":       {1, 10, 5, 100},
		"state 1% 10% 5% 0%":    {1, 10, 5},
		"state 1% 10% 5% 6% 7%": {1, 10, 5, 6, 7},
	} {
		topology, err := load("f", "{name: lab, namespaces: {a: {interfaces: {d: {type: dummy, impair: {loss: "+words+"}}}}}}")
		if err != nil {
			t.Errorf("%s: %v", words, err)
			continue
		}
		if got := topology.Interfaces[0].Impair.Loss.P; got != want {
			t.Errorf("%s: %v, want %v", words, got, want)
		}
	}
}
