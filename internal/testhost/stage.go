package testhost

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// stageVariable tells a test binary which of the three processes it is. Unset: the outer one.
const stageVariable = "TOPO_TESTHOST"

// verdictFD is where the inner test writes its result: "pass", "fail" or "skip".
const verdictFD = 3

// stage is what stageVariable holds: "init NETNS NAME" or "test NETNS NAME".
type stage struct {
	init  bool
	name  string // of the test whose machine this is; "" on the real one
	outer string // the network namespace that the machine must not be in
}

func (s stage) String() string {
	role := "test"
	if s.init {
		role = "init"
	}
	return role + " " + s.outer + " " + s.name
}

func currentStage() (stage, error) {
	v, ok := os.LookupEnv(stageVariable)
	if !ok {
		return stage{}, nil
	}
	words := strings.SplitN(v, " ", 3)
	if len(words) != 3 {
		return stage{}, fmt.Errorf("reading %s: %q is not of this package", stageVariable, v)
	}
	s := stage{init: words[0] == "init", outer: words[1], name: words[2]}
	if networkID() == s.outer {
		return stage{}, fmt.Errorf("%s is set, but this is not the machine of a test", stageVariable)
	}
	return s, nil
}

// report writes the result of the inner test once it and its subtests have ended.
func (s stage) report(t testing.TB) {
	t.Cleanup(func() {
		word := "pass"
		switch {
		case t.Failed():
			word = "fail"
		case t.Skipped():
			word = "skip"
		}
		f := os.NewFile(verdictFD, "verdict")
		if _, err := f.WriteString(word); err != nil {
			t.Errorf("reporting the result: %v", err)
		}
		f.Close()
	})
}

// networkID names this process's network namespace ("net:[4026531840]").
func networkID() string {
	id, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err.Error()
	}
	return id
}

// ownFlags are those of package testing that are not passed on: they choose tests, or name
// files that the outer process writes. Counters of coverage go to -test.gocoverdir, which is
// passed on: package testing adds up all that it finds there.
var ownFlags = map[string]bool{
	"test.run": true, "test.skip": true, "test.bench": true, "test.list": true, "test.fuzz": true, "test.count": true,
	"test.v": true, "test.timeout": true, "test.shuffle": true, "test.failfast": true, "test.testlogfile": true,
	"test.paniconexit0": true, "test.coverprofile": true, "test.cpuprofile": true, "test.memprofile": true,
	"test.blockprofile": true, "test.mutexprofile": true, "test.trace": true, "test.outputdir": true,
}

// arguments are those of the inner test: this test alone, verbose, with all flags that package
// testing does not need itself ("-update", "-rapid.checks").
func arguments(t testing.TB) []string {
	pattern := exactly(t.Name())
	args := []string{"-test.v=true", "-test.count=1", "-test.paniconexit0=true", "-test.timeout=" + deadline(t).String()}
	if _, ok := t.(*testing.B); ok {
		args = append(args, "-test.run=^$", "-test.bench="+pattern)
	} else {
		args = append(args, "-test.run="+pattern)
	}
	flag.Visit(func(f *flag.Flag) {
		if !ownFlags[f.Name] {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	return append(args, flag.Args()...)
}

// exactly is the -test.run pattern that one test matches, and the tests around it.
func exactly(name string) string {
	levels := strings.Split(name, "/")
	for i, l := range levels {
		levels[i] = "^" + regexp.QuoteMeta(l) + "$"
	}
	return strings.Join(levels, "/")
}
