package main

import (
	"strings"
	"testing"

	"topo/executor"
	"topo/planner"
)

// The exit code of a run that was undone, or could not be, is that of what went wrong in it; what is said is true of what came of it.
func TestRolledBack(t *testing.T) {
	half := &unfinishedError{verb: "up", report: &executor.Report{Plan: &planner.Plan{Project: "lab"}}, cause: errInterrupted}
	inTheWay := planner.Conflicts{{Object: "bridge b", Holder: "exists and is not topo's", Ways: []string{"remove it"}}}
	for name, test := range map[string]struct {
		err   *rolledBackError
		code  int
		says  []string
		hints []string
	}{
		"interrupted, and undone": {
			&rolledBackError{cause: half}, exitInterrupted, []string{"lab: interrupted", "what was before is back"}, nil,
		},
		"interrupted, and not undone": {
			&rolledBackError{cause: half, undone: inTheWay}, exitInterrupted,
			[]string{"lab: interrupted", "putting back what was before: bridge b: exists"},
			[]string{`"topo plan" shows where things stand`},
		},
		"differs, and undone": {
			&rolledBackError{cause: &executor.VerifyError{Plan: &planner.Plan{Project: "lab"}}}, exitError, []string{"lab differs", "what was before is back"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if code := exitCode(test.err); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, s := range test.says {
				if !strings.Contains(test.err.Error(), s) {
					t.Errorf("%q says nothing of %q", test.err, s)
				}
			}
			got := hints(test.err)
			if len(got) != len(test.hints) {
				t.Fatalf("hints: %q", got)
			}
			for i, h := range test.hints {
				if !strings.Contains(got[i], h) {
					t.Errorf("hint %q, want %q", got[i], h)
				}
			}
		})
	}
}
