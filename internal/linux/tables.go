package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// tables are the iptables of one family, by way of the installed programs: rules of the nft and of
// the legacy kind are not seen by the other's programs, so the machine's choice is followed.
type tables struct {
	family kernel.Family
	prefix string // "iptables", "ip6tables"
	proc   string // the file in /proc/net that lists the tables of the legacy kind

	flags func() ([]string, error) // of iptables-restore, found out once
}

func newTables(f kernel.Family, prefix, proc string, protocol iptables.Protocol) *tables {
	t := &tables{family: f, prefix: prefix, proc: proc}
	t.flags = sync.OnceValues(func() ([]string, error) {
		found, err := iptables.New(iptables.IPFamily(protocol))
		if err != nil {
			return nil, fmt.Errorf("asking %s for its version: %w", prefix, err)
		}
		return restoreFlags(found.GetIptablesVersion()), nil
	})
	return t
}

// tablesWait is how many seconds a transaction waits for other programs that edit the old kind of tables: all take the same lock for it.
// It has an end, as other topos wait for this one meanwhile. The nft kind has no such lock.
const tablesWait = 30

// restoreFlags: --noflush keeps what others have in the table, --wait takes turns with other programs
// (iptables-restore has it since 1.6.2; before, a lock that is held is an error).
func restoreFlags(major, minor, patch int) []string {
	if slices.Compare([]int{major, minor, patch}, []int{1, 6, 2}) < 0 {
		return []string{"--noflush"}
	}
	return []string{"--noflush", fmt.Sprintf("--wait=%d", tablesWait)}
}

// errNoIptables is a family without a program.
var errNoIptables = errors.New("not installed")

func (t *tables) program(verb string) (string, error) {
	path, err := exec.LookPath(t.prefix + verb)
	if err != nil {
		return "", fmt.Errorf("%s%s: %w", t.prefix, verb, errNoIptables)
	}
	return path, nil
}

// readTables reads the rules of both families, one process each.
func (h *Host) readTables(ctx context.Context) ([]kernel.Chain, []kernel.Rule, map[kernel.Family]string, error) {
	families := []kernel.Family{kernel.IPv4, kernel.IPv6}
	chains := make([][]kernel.Chain, len(families))
	rules := make([][]kernel.Rule, len(families))
	failures := make([]error, len(families))
	var g errgroup.Group
	for i, f := range families {
		g.Go(func() error {
			chains[i], rules[i], failures[i] = h.tables[f].read(ctx)
			return nil // a machine without iptables can have all of topo that needs none
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return nil, nil, nil, err
	}
	failed := map[kernel.Family]string{}
	for i, f := range families {
		if failures[i] != nil {
			failed[f] = failures[i].Error()
		}
	}
	return slices.Concat(chains...), slices.Concat(rules...), failed, nil
}

func (t *tables) read(ctx context.Context) ([]kernel.Chain, []kernel.Rule, error) {
	save, err := t.program("-save")
	if err != nil {
		return nil, nil, err
	}
	if legacy(save) && !t.instantiated() {
		return nil, nil, nil // the program would make the tables that it is asked for
	}
	// While somebody commits a transaction, iptables-nft-save 1.8.9 can print a rule twice. A rule that is there twice
	// indeed is there twice in the next reading, too.
	var before []kernel.Rule
	for range tornTries {
		chains, rules, err := t.save(ctx, save)
		if err != nil || !hasDoubles(rules) || slices.Equal(rules, before) {
			return chains, rules, err
		}
		before = rules
	}
	return nil, nil, fmt.Errorf("running %s: %w", filepath.Base(save), ErrTorn)
}

// tornTries is how often tables are read that somebody changes meanwhile.
const tornTries = 10

func (t *tables) save(ctx context.Context, program string) ([]kernel.Chain, []kernel.Rule, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, nil, fmt.Errorf("running %s: %w: %s", filepath.Base(program), err, firstLine(stderr.String()))
	}
	return parseTables(t.family, stdout.String())
}

// hasDoubles says whether a rule of topo's is there twice.
func hasDoubles(rules []kernel.Rule) bool {
	seen := make(map[kernel.Rule]bool, len(rules))
	for _, r := range rules {
		if seen[r] && r.Mark() != (kernel.Mark{}) {
			return true
		}
		seen[r] = true
	}
	return false
}

// legacy says whether a program of iptables works on the old kind of tables: all of 1.8 are links to
// xtables-legacy-multi or xtables-nft-multi, those before know the old kind only.
func legacy(program string) bool {
	real, err := filepath.EvalSymlinks(program)
	return err == nil && !strings.Contains(filepath.Base(real), "nft")
}

// instantiated says whether this namespace has tables of the old kind. They come into being when they
// are first asked for (kernel 5.15 and later).
func (t *tables) instantiated() bool {
	names, err := os.ReadFile("/proc/thread-self/net/" + t.proc)
	return err == nil && len(bytes.TrimSpace(names)) > 0
}

// parseTables reads the output of iptables-save (8).
func parseTables(f kernel.Family, save string) ([]kernel.Chain, []kernel.Rule, error) {
	var chains []kernel.Chain
	var rules []kernel.Rule
	table := ""
	for line := range strings.Lines(save) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "" || line == "COMMIT" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"): // ":FORWARD DROP [0:0]", ":TOPO-USER - [0:0]"
			words := strings.Fields(line[1:])
			if len(words) < 2 {
				return nil, nil, fmt.Errorf("reading the output of iptables-save: line %q", line)
			}
			chains = append(chains, kernel.Chain{Family: f, Table: table, Name: words[0], Policy: strings.TrimPrefix(words[1], "-")})
		case strings.HasPrefix(line, "-A "):
			chain, spec, _ := strings.Cut(line[len("-A "):], " ")
			rules = append(rules, kernel.Rule{Family: f, Table: table, Chain: chain, Spec: kernel.Canonical(spec)})
		default:
			return nil, nil, fmt.Errorf("reading the output of iptables-save: line %q", line)
		}
	}
	return chains, rules, nil
}

// restore carries out a transaction. A line that deletes what is not there is left out and the rest tried again:
// nothing of a failed transaction was done.
func (h *Host) restore(ctx context.Context, ops []kernel.Op) error {
	batch := make([]kernel.Iptables, len(ops))
	for i, op := range ops {
		batch[i] = op.(kernel.Iptables)
	}
	t, ok := h.tables[batch[0].Family]
	if !ok {
		return &kernel.OpError{Op: batch[0], Err: fmt.Errorf("family %q: %w", batch[0].Family, unix.EAFNOSUPPORT)}
	}
	for len(batch) > 0 {
		at, err := h.runRestore(ctx, t, batch)
		if err == nil {
			return nil
		}
		var locked *TablesLockedError
		if errors.As(err, &locked) || !takesAway(batch[at]) || !t.lacks(ctx, batch[:at+1]) {
			return &kernel.OpError{Op: batch[at], Err: err}
		}
		batch = slices.Delete(slices.Clone(batch), at, at+1)
	}
	return nil
}

// takesAway says whether the line is one of -D a rule, -X a chain, -F the rules of one.
func takesAway(o kernel.Iptables) bool {
	return slices.ContainsFunc([]string{"-D ", "-X ", "-F "}, func(p string) bool { return strings.HasPrefix(o.Args, p) })
}

// lacks says whether what the last line takes away is not there, or was taken away by the lines before. It reads the
// tables: iptables-restore has many words for why a line failed, and the legacy one none.
func (t *tables) lacks(ctx context.Context, lines []kernel.Iptables) bool {
	chains, rules, err := t.read(ctx)
	if err != nil {
		return false
	}
	o := lines[len(lines)-1]
	verb, rest, _ := strings.Cut(o.Args, " ")
	chain, spec, _ := strings.Cut(rest, " ")
	if !slices.ContainsFunc(chains, func(c kernel.Chain) bool { return c.Table == o.Table && c.Name == chain }) {
		return true
	}
	want := kernel.Rule{Family: o.Family, Table: o.Table, Chain: chain, Spec: kernel.Canonical(spec)}
	left := 0
	for _, r := range rules {
		if r == want {
			left++
		}
	}
	for _, l := range lines {
		if l == o {
			left--
		}
	}
	return verb == "-D" && left < 0
}

// runRestore runs iptables-restore. With an error comes the index of the op that it is about: where the
// program does not say, or names the line that commits, the last one.
func (h *Host) runRestore(ctx context.Context, t *tables, batch []kernel.Iptables) (int, error) {
	last := len(batch) - 1
	program, err := t.program("-restore")
	if err != nil {
		return last, err
	}
	flags, err := t.flags()
	if err != nil {
		return last, err
	}
	var input, output bytes.Buffer
	fmt.Fprintf(&input, "*%s\n", batch[0].Table)
	for _, o := range batch {
		h.traced("", o.String())
		input.WriteString(o.Args)
		input.WriteByte('\n')
	}
	input.WriteString("COMMIT\n")
	cmd := exec.CommandContext(ctx, program, flags...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &input, &output, &output
	if lock := h.lock.Load(); lock != nil {
		cmd.ExtraFiles = []*os.File{lock}
	}
	err = cmd.Run()
	if err == nil {
		return 0, nil
	}
	if ctx.Err() != nil {
		return last, ctx.Err()
	}
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		return last, fmt.Errorf("running %s: %w", filepath.Base(program), err)
	}
	if strings.Contains(output.String(), "holding the xtables lock") {
		return last, tablesHolder()
	}
	return failedOp(output.String(), len(batch)), restoreError(output.String())
}

var failedLine = regexp.MustCompile(`line:? (\d+)`)

// failedOp is the index of the op whose line iptables-restore names. The first line is the table's.
func failedOp(output string, ops int) int {
	m := failedLine.FindStringSubmatch(output)
	if m == nil {
		return ops - 1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 2 || n >= ops+2 {
		return ops - 1
	}
	return n - 2
}
