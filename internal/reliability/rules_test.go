package reliability_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

// rules are what iptables has, in both families: topo's chains and rules, and the rules of others, each line with its program and table.
type rules struct{ own, others []string }

func (h *host) rules() rules {
	h.Helper()
	var r rules
	for _, program := range []string{"iptables", "ip6tables"} {
		table := ""
		for line := range strings.Lines(testhost.Run(h.T, program+"-save")) {
			line = strings.TrimSuffix(line, "\n")
			full := program + " -t " + table + " " + line
			switch {
			case strings.HasPrefix(line, "*"):
				table = line[1:]
			case strings.HasPrefix(line, ":TOPO-"), strings.HasPrefix(line, "-A ") && strings.Contains(line, `--comment "topo:`):
				r.own = append(r.own, full)
			case strings.HasPrefix(line, "-A "):
				r.others = append(r.others, full)
			}
		}
	}
	return r
}

var (
	marked = regexp.MustCompile(`--comment "topo:[^:]*:([^"]*)"`)
	chain  = regexp.MustCompile(`^(ip6?)tables -t (\S+) :TOPO-(\S+)`)
	jump   = regexp.MustCompile(`^(\S+ -t \S+ -A (?:PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING)) `)
)

// idOf is the ID in a plan of what a line of topo's belongs to: a rule has it in its comment, a chain is of the kind that has it made.
func idOf(h *host, line string) string {
	if m := marked.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	m := chain.FindStringSubmatch(line)
	if m == nil {
		h.Fatalf("whose is %q?", line)
	}
	kind := "firewall"
	if strings.Contains(m[3], "-") { // of a project
		kind = "chain"
	}
	return kind + "/" + map[string]string{"ip": "ipv4", "ip6": "ipv6"}[m[1]] + "/" + m[2]
}

// lacking are the IDs of what of topo's is not as in asked: a line that is missing, or there too often, or a jump out of a built-in
// chain behind somebody's rule.
func (r rules) lacking(h *host, asked rules) map[string]bool {
	times := map[string]int{}
	for _, line := range r.own {
		times[line]++
	}
	for _, line := range asked.own {
		times[line]--
	}
	ids := map[string]bool{}
	for line, n := range times {
		if n != 0 {
			ids[idOf(h, line)] = true
		}
	}
	return ids
}

// misplaced adds the jumps that are not the first of their chains.
func (h *host) misplaced(ids map[string]bool) {
	h.Helper()
	for _, program := range []string{"iptables", "ip6tables"} {
		others := map[string]bool{} // built-in chains with a rule of somebody's
		table := ""
		for line := range strings.Lines(testhost.Run(h.T, program+"-save")) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "*") {
				table = line[1:]
			}
			line = program + " -t " + table + " " + line
			m := jump.FindStringSubmatch(line)
			switch {
			case m == nil:
			case !marked.MatchString(line):
				others[m[1]] = true
			case others[m[1]]:
				ids[idOf(h, line)] = true
			}
		}
	}
}

// TestRulesGoMeanwhile empties the tables of iptables, or replays what somebody had saved, at a moment of an up. Then up succeeds, and
// a plan has nothing to do; or it says what differs, or which steps have failed. A plan then names all that is missing of topo's
// rules, and nothing else; the next up repairs it; and the rules of somebody stay.
func TestRulesGoMeanwhile(t *testing.T) {
	t.Run("nft", func(t *testing.T) { rulesGoMeanwhile(t, false) })
	t.Run("legacy", func(t *testing.T) { rulesGoMeanwhile(t, true) })
}

func rulesGoMeanwhile(t *testing.T, legacy bool) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	if legacy {
		testhost.Legacy(t)
	}
	h := newHost(t, "network")
	testhost.Run(t, "iptables", "-A", "FORWARD", "-s", "198.51.100.7", "-j", "DROP")
	testhost.Run(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "198.51.100.7", "-j", "MASQUERADE")
	testhost.Run(t, "ip6tables", "-A", "FORWARD", "-s", "2001:db8::7", "-j", "DROP")
	theirs := h.save("theirs")
	h.before = h.machine() // with the rules of somebody

	calls := 0
	if r := h.trace(func(tracer.Call) tracer.Action { calls++; return tracer.Continue }, "up"); r.Code != 0 {
		t.Fatalf("up: %+v", r)
	}
	asked := h.rules()
	both := h.save("both") // as a service does that saves all rules when it is stopped
	h.must("down", "-v")

	edits := []struct {
		name     string
		commands string
	}{
		{"flush", "iptables -w -F && iptables -w -t nat -F && ip6tables -w -F"},
		{"replay", theirs.command("")},
		{"replay of all", both.command("")},
		{"replay with --noflush", theirs.command("--noflush")},
		{"replay of all with --noflush", both.command("--noflush")},
	}
	runs := len(edits)
	if legacy {
		runs = 2
	}
	if *whole {
		runs = 20 * len(edits)
	}
	var did meanwhile
	for i := range runs {
		e := edits[i%len(edits)]
		did.run(h, e.name, e.commands, h.random.IntN(calls), asked, legacy)
		h.shell(theirs.command("")) // what the edit took from somebody, or gave twice
		if diff := h.residue(); diff != "" {
			t.Fatalf("%s: down leaves (-before +after):\n%s", e.name, diff)
		}
	}
	if did.told == 0 && *whole {
		t.Error("no run was hit")
	}
	t.Logf("figure: rules go in the middle of up, %s: %d runs, %d succeeded, %d said what differs, %d plans not exact, %d not repaired, %d rules of somebody lost",
		map[bool]string{false: "nft", true: "legacy"}[legacy], did.runs, did.succeeded, did.told, did.inexact, did.unrepaired, did.lost)
}

// TestProjectsTogetherWhileRulesGo brings many projects up, and down, while somebody flushes iptables and replays his rules all the time.
// Each run succeeds or says that it didn't. Once he has stopped, one more run of each gets there, and his rules are there as he left them.
func TestProjectsTogetherWhileRulesGo(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := newHost(t, "network")
	testhost.Run(t, "iptables", "-A", "FORWARD", "-s", "198.51.100.7", "-j", "DROP")
	testhost.Run(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "198.51.100.7", "-j", "MASQUERADE")
	theirs := h.save("theirs")
	h.before = h.machine()
	files := h.projects(crowd())
	var counts [2]int // of runs that succeeded, and that did not
	edits := 0
	for _, verb := range []string{"up", "down"} {
		over, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-over:
					return
				default:
				}
				for _, commands := range []string{"iptables -F && iptables -t nat -F", theirs.command("")} {
					// One that comes upon a transaction of another one's may fail, and does so as a whole.
					if _, err := testhost.Try(t, "sh", "-c", commands); err == nil {
						edits++
					}
				}
			}
		}()
		runs := h.atOnce(len(files), func(i int) []string { return []string{verb, "-f", files[i]} })
		close(over)
		<-stopped
		for i, r := range runs {
			if r.code > 1 || r.code == 1 && complaint(r.out) == "" {
				t.Errorf("%s of %s: exit code %d\n%s", verb, filepath.Base(files[i]), r.code, r.out)
				continue
			}
			counts[r.code]++
		}
		left := h.rules().others
		h.allMust(files, verb)
		if diff := cmp.Diff(left, h.rules().others); diff != "" {
			t.Errorf("%s: the rules of somebody (-before +after):\n%s", verb, diff)
		}
		if verb == "up" {
			h.allMust(files, "plan", "--detailed-exitcode")
			h.chosen(len(files))
		}
	}
	h.shell(theirs.command("")) // his last edit may have been to flush
	if diff := h.residue(); diff != "" {
		t.Errorf("left (-before +after):\n%s", diff)
	}
	if edits == 0 {
		t.Error("nobody edited anything")
	}
	t.Logf("figure: projects together while rules go: %d at once, %d edits, %d runs succeeded, %d said that they didn't, all repaired by the next, nothing left",
		len(files), edits, counts[0], counts[1])
}

// saved are files of iptables-save and ip6tables-save.
type saved struct{ four, six string }

func (h *host) save(name string) saved {
	h.Helper()
	dir := h.TempDir()
	s := saved{filepath.Join(dir, name), filepath.Join(dir, name+"6")}
	for file, program := range map[string]string{s.four: "iptables-save", s.six: "ip6tables-save"} {
		if err := os.WriteFile(file, []byte(testhost.Run(h.T, program)), 0o600); err != nil {
			h.Fatal(err)
		}
	}
	return s
}

// command replays them.
func (s saved) command(flags string) string {
	return "iptables-restore --wait=60 " + flags + " " + s.four + " && ip6tables-restore --wait=60 " + flags + " " + s.six
}

// meanwhile is what came of edits in the middle of an up.
type meanwhile struct{ runs, succeeded, told, inexact, unrepaired, lost int }

func (m *meanwhile) run(h *host, name, commands string, at int, asked rules, legacy bool) {
	h.Helper()
	var (
		done   atomic.Bool
		others []string
		ended  = make(chan struct{})
		call   string
		seen   int
		first  = map[string]int{} // how often each program has begun to read the rules until the edit was made
		then   = map[string]int{} // and since
	)
	do := func() {
		defer close(ended)
		if _, err := testhost.Try(h.T, "sh", "-c", commands); err != nil {
			h.Error(err)
		}
		others = h.rules().others
		done.Store(true)
	}
	r := h.trace(func(c tracer.Call) tracer.Action {
		if program, ok := strings.CutPrefix(c.What, "execute "); ok && !c.After {
			if done.Load() {
				then[filepath.Base(program)]++
			} else {
				first[filepath.Base(program)]++
			}
		}
		if seen++; seen-1 == at {
			call = c.What
			if legacy { // one that stands still may have the lock of the tables
				go do()
			} else {
				do()
			}
		}
		return tracer.Continue
	}, "up")
	if call == "" {
		h.Logf("%s at call %d: the run was over", name, at)
		do()
	}
	<-ended
	where := name + " at " + call
	m.runs++

	now := h.rules()
	lacking := now.lacking(h, asked)
	h.misplaced(lacking)
	named := map[string]bool{}
	for _, c := range h.planned().Changes {
		named[c.ID] = true
	}
	ofRules := map[string]bool{}
	for _, line := range slices.Concat(asked.own, now.own) {
		ofRules[idOf(h, line)] = true
	}
	namedRules := maps.Clone(named)
	maps.DeleteFunc(namedRules, func(id string, _ bool) bool { return !ofRules[id] })
	if diff := cmp.Diff(lacking, namedRules); diff != "" {
		m.inexact++
		h.Errorf("%s: a plan does not name what is not as it should be (-is +named):\n%s\n%s", where, diff, r.Output)
	}
	switch r.Code {
	case 0:
		m.succeeded++
		proving := first["iptables-save"] > 1 || first["ip6tables-save"] > 1 // the edit may have come after what it would have shown in
		if len(named) > 0 && (!proving || then["iptables-save"] > 0 && then["ip6tables-save"] > 0) {
			h.Errorf("%s: up says that all is well; but %v", where, slices.Sorted(maps.Keys(named)))
		}
	case 1:
		m.told++
		told := complaint(r.Output)
		proved := strings.Contains(told, "differs from what was asked for") // a run of which a step failed doesn't read the machine again
		for id := range named {
			if proved && !strings.Contains(told, id) {
				h.Errorf("%s: up does not say that %s is to do:\n%s", where, id, told)
			}
		}
	default:
		h.Errorf("%s: exit code %d\n%s", where, r.Code, r.Output)
	}
	m.keeps(h, where, others)
	if out, code := h.topo("up"); code != 0 {
		m.unrepaired++
		h.Errorf("%s: the next up: exit code %d\n%s", where, code, out)
	}
	h.must("plan", "--detailed-exitcode")
	if left := h.rules().lacking(h, asked); len(left) > 0 {
		m.unrepaired++
		h.Errorf("%s: the next up leaves %v", where, slices.Sorted(maps.Keys(left)))
	}
	m.keeps(h, where, others)
	h.must("down", "-v")
	m.keeps(h, where, others)
}

// keeps checks that the rules of somebody are what they were after the edit.
func (m *meanwhile) keeps(h *host, where string, others []string) {
	h.Helper()
	if diff := cmp.Diff(others, h.rules().others); diff != "" {
		m.lost++
		h.Errorf("%s: the rules of somebody (-before +after):\n%s", where, diff)
	}
}

// complaint is what topo printed of what it has not done.
func complaint(output string) string {
	var b strings.Builder
	final := false
	for line := range strings.Lines(output) {
		final = final || strings.HasPrefix(line, "topo: ")
		if final || strings.HasPrefix(strings.TrimSpace(line), "failed ") || strings.HasPrefix(line, "  skipped ") {
			b.WriteString(line)
		}
	}
	return b.String()
}
