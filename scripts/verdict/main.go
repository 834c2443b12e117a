// Verdict reads the events of go test -json and judges the run: it prints the output of what failed, the
// slowest tests, and every skip that is not on the list of expected ones, which is a failure, too. A
// test that silently stops running would otherwise look like one that passes.
//
//	go test -json ./... | verdict -skips FILE [-totals FILE]
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	skips := flag.String("skips", "", "`file` with the skips that are expected")
	totals := flag.String("totals", "", "`file` to append \"PASSED FAILED SKIPPED\" to")
	flag.Parse()
	ok, err := run(os.Stdin, os.Stdout, *skips, *totals)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verdict:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, skips, totals string) (ok bool, err error) {
	var expected []skip
	if skips != "" {
		text, err := os.ReadFile(skips)
		if err != nil {
			return false, err
		}
		if expected, err = parseSkips(string(text)); err != nil {
			return false, fmt.Errorf("reading %s: %w", skips, err)
		}
	}
	v, err := judge(in, expected)
	if err != nil {
		return false, err
	}
	v.print(out)
	if totals != "" {
		f, err := os.OpenFile(totals, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return false, err
		}
		fmt.Fprintln(f, v.passed, v.failed, v.skipped)
		if err := f.Close(); err != nil {
			return false, err
		}
	}
	return v.failed == 0, nil
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
	// ImportPath is set instead of Package on build output.
	ImportPath string
}

// skip is a test that may skip, where its reason contains the text; with a * at its end, all tests that begin so.
type skip struct{ test, reason string }

func (s skip) covers(test, text string) bool {
	start, many := strings.CutSuffix(s.test, "*")
	return strings.Contains(text, s.reason) && (test == s.test || many && strings.HasPrefix(test, start))
}

// parseSkips reads lines "TEST: REASON" and "TEST*: REASON"; # starts a comment.
func parseSkips(text string) ([]skip, error) {
	var list []skip
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		test, reason, ok := strings.Cut(line, ":")
		if reason = strings.TrimSpace(reason); !ok || reason == "" {
			return nil, fmt.Errorf("line %d: no reason: %q", i+1, line)
		}
		list = append(list, skip{test, reason})
	}
	return list, nil
}

type verdict struct {
	passed, failed, skipped int
	problems                []string // in words, with the output of the test
	slow                    []event
}

func judge(in io.Reader, expected []skip) (*verdict, error) {
	v := &verdict{}
	type key struct{ pkg, test string }
	output := map[key]*strings.Builder{}
	failures := map[string]int{} // tests that failed, by package
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("reading %q: %w", lines.Text(), err)
		}
		k := key{cmp.Or(e.Package, e.ImportPath), e.Test}
		text := func() string {
			if b := output[k]; b != nil {
				return b.String()
			}
			return ""
		}
		switch e.Action {
		case "output", "build-output":
			if output[k] == nil {
				output[k] = &strings.Builder{}
			}
			output[k].WriteString(e.Output)
		case "build-fail":
			v.failed++
			v.problems = append(v.problems, fmt.Sprintf("%s does not build\n%s", k.pkg, text()))
			failures[e.Package]++
		case "pass":
			if e.Test != "" {
				v.passed++
				v.slow = append(v.slow, e)
				delete(output, k)
			}
		case "fail":
			switch {
			case e.Test != "":
				v.failed++
				failures[e.Package]++
				v.problems = append(v.problems, fmt.Sprintf("%s %s failed\n%s", e.Package, e.Test, text()))
			case failures[e.Package] == 0:
				v.failed++
				v.problems = append(v.problems, fmt.Sprintf("%s failed outside a test\n%s", e.Package, text()))
			}
		case "skip":
			if e.Test == "" {
				continue // a package without tests
			}
			if slices.ContainsFunc(expected, func(s skip) bool { return s.covers(e.Test, text()) }) {
				v.skipped++
				continue
			}
			v.failed++
			v.problems = append(v.problems, fmt.Sprintf("%s %s was skipped, which nobody expects\n%s", e.Package, e.Test, text()))
		}
	}
	return v, lines.Err()
}

// slowest is how many of the slowest tests are shown, and from what time on (seconds).
const (
	slowest = 8
	slow    = 2.0
)

func (v *verdict) print(out io.Writer) {
	for _, p := range v.problems {
		fmt.Fprintf(out, "--- %s\n", strings.TrimSpace(p))
	}
	slices.SortStableFunc(v.slow, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range v.slow[:min(slowest, len(v.slow))] {
		if e.Elapsed >= slow {
			fmt.Fprintf(out, "slow  %6.1f s  %s %s\n", e.Elapsed, e.Package, e.Test)
		}
	}
}
