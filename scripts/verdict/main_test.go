package main

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name                    string
		events                  string
		passed, failed, skipped int
		problem                 string
	}{
		{"a pass", `{"Action":"pass","Package":"p","Test":"TestA"}`, 1, 0, 0, ""},
		{"a package without tests", `{"Action":"skip","Package":"p"}`, 0, 0, 0, ""},
		{
			"a failure is counted once, its package is not",
			`{"Action":"output","Package":"p","Test":"TestA","Output":"boom\n"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p"}`, 0, 1, 0, "boom",
		},
		{
			"a package that dies outside a test",
			`{"Action":"output","Package":"p","Output":"panic: init\n"}
			{"Action":"fail","Package":"p"}`, 0, 1, 0, "panic: init",
		},
		{
			"a package that does not build",
			`{"Action":"build-output","ImportPath":"p","Output":"undefined: x\n"}
			{"Action":"build-fail","ImportPath":"p"}`, 0, 1, 0, "undefined: x",
		},
		{
			"an expected skip",
			`{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: needs a full kernel\n"}
			{"Action":"skip","Package":"p","Test":"TestB"}`, 0, 0, 1, "",
		},
		{
			"an expected test, skipped for another reason",
			`{"Action":"output","Package":"p","Test":"TestB","Output":"b_test.go:1: no root\n"}
			{"Action":"skip","Package":"p","Test":"TestB"}`, 0, 1, 0, "no root",
		},
		{"an unexpected skip", `{"Action":"skip","Package":"p","Test":"TestC"}`, 0, 1, 0, "TestC was skipped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := judge(strings.NewReader(c.events), []skip{{"TestB", "needs a full kernel"}})
			if err != nil {
				t.Fatal(err)
			}
			if v.passed != c.passed || v.failed != c.failed || v.skipped != c.skipped {
				t.Errorf("counted %d, %d, %d; want %d, %d, %d", v.passed, v.failed, v.skipped, c.passed, c.failed, c.skipped)
			}
			if got := strings.Join(v.problems, "\n"); !strings.Contains(got, c.problem) || (c.problem == "") != (got == "") {
				t.Errorf("problems: %q, want one with %q", got, c.problem)
			}
		})
	}
}

func TestSkipNeedsReason(t *testing.T) {
	if _, err := parseSkips("# comment\n\nTestA: why\nTestB\n"); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("got %v, want an error about line 4", err)
	}
}
