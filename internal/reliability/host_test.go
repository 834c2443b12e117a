package reliability_test

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"topo/internal/testhost"
	"topo/internal/tracer"
)

var (
	whole = flag.Bool("full", false, "every point and every run, not a sample")
	most  = flag.Int("most", 0, "with -full: so many points of a verb, or runs, and no more; 0 is all")
	part  = flag.String("part", "1/1", "with -full: the K-th of N parts of all points, as K/N, for as many processes or days")
	seed  = flag.Uint64("seed", 1, "of the sample: the same one draws the same")
)

const binaryVariable = testhost.TopoVariable

// howMany runs of a test there are: those of the sample, or with -full all, or as many as -most says.
func howMany(sample, all int) int {
	switch {
	case !*whole:
		return sample
	case *most > 0:
		return *most
	}
	return all
}

func TestMain(m *testing.M) { os.Exit(testhost.RunWithTopo(m)) }

// host is a test's machine, with what the topologies in testdata expect of it.
type host struct {
	*testing.T
	file   string
	random *rand.Rand
	before []string // the machine as it was
}

// newHost prepares the machine for a topology of testdata.
func newHost(t *testing.T, topology string) *host {
	t.Helper()
	if topology == "kernel" {
		testhost.Netem(t)
		testhost.VLANFiltering(t)
		testhost.Kernel(t, "CONFIG_WIREGUARD", "sh", "-c", "ip link add topo-probe type wireguard && ip link delete topo-probe")
	}
	for _, card := range []string{"em1", "em2"} {
		testhost.Run(t, "ip", "link", "add", card, "type", "veth", "peer", "name", "wire-"+card)
		testhost.Run(t, "ip", "link", "set", "wire-"+card, "up")
		testhost.Run(t, "ip", "link", "set", card, "up")
		testhost.Poll(t, func() error { // the kernel sees a carrier in its own time
			if !strings.Contains(testhost.Run(t, "ip", "link", "show", card), "state UP") {
				return fmt.Errorf("%s has no carrier", card)
			}
			return nil
		})
	}
	for _, card := range []string{"em1", "em2", "wire-em1", "wire-em2"} { // the kernel says so a while later
		testhost.Poll(t, func() error {
			state, err := os.ReadFile("/sys/class/net/" + card + "/operstate")
			if err == nil && string(state) != "up\n" {
				err = fmt.Errorf("%s is %s", card, state)
			}
			return err
		})
	}
	testhost.Run(t, "ip", "address", "add", "192.0.2.1/24", "dev", "em1")
	testhost.Run(t, "ip", "route", "add", "203.0.113.0/24", "via", "192.0.2.254")
	if err := os.MkdirAll("/run/netns", 0o755); err != nil { // who makes it first leaves it, as ip-netns(8) does
		t.Fatal(err)
	}
	h := &host{T: t, file: filepath.Join("testdata", topology+".yaml"), random: rand.New(rand.NewPCG(*seed, 1))}
	h.Logf("seed %d", *seed)
	h.before = h.machine()
	return h
}

func (h *host) machine() []string { h.Helper(); return testhost.Steady(testhost.Machine(h.T)) }

// chance is what differs between two machines on which the same was brought up: MAC addresses of ports, which the kernel makes up,
// and numbers of namespaces and processes. A link that was up once has a queueing discipline of the kernel's for good, which does
// nothing (noqueue) or, where no traffic could come, was none (noop).
var chance = regexp.MustCompile(`link/ether \S+( .* bridge_slave )|link-netnsid \d+|net:\[\d+\]| qdisc no(op|queue)|^ *\d+ `)

// checking is the process of a health check, which may be there at the moment; one that is about to end has no words any more.
var checking = regexp.MustCompile(`^ *\d+ (|true|\S*(crun|runc) .* exec .*|runc init)$`)

// ageing is that of a bridge with a spanning tree: it is another one for a while after the tree has changed.
var ageing = regexp.MustCompile(` ageing_time \d+( stp_state 1)`)

// standing is a machine without what chance gives it, and without topo's own files: they have times and process IDs. Rules of a chain
// of topo's stand in the order in which they were made, which says nothing: all are sorted.
func standing(machine []string) []string {
	var lines []string
	for _, l := range machine {
		if !strings.Contains(l, " /run/topo") && !strings.Contains(l, " /var/lib/topo") && !strings.HasPrefix(l, "multicast ff00::") && !strings.HasPrefix(l, "qdisc noqueue ") && !checking.MatchString(l) {
			lines = append(lines, ageing.ReplaceAllString(chance.ReplaceAllString(l, "$1"), "$1"))
		}
	}
	for begin, end := range tables(lines) {
		slices.Sort(lines[begin:end])
	}
	return lines
}

// tables are the sections of a machine that have rules of iptables, from where to where.
func tables(machine []string) iter.Seq2[int, int] {
	return func(yield func(begin, end int) bool) {
		for begin, line := range machine {
			title, ok := strings.CutPrefix(line, "== ")
			if !ok || !testhost.IsTables(title) {
				continue
			}
			end := slices.IndexFunc(machine[begin+1:], func(l string) bool { return strings.HasPrefix(l, "== ") })
			if end < 0 {
				end = len(machine) - begin - 1
			}
			if !yield(begin+1, begin+1+end) {
				return
			}
		}
	}
}

// topo runs topo, and gives what it prints and its exit code.
func (h *host) topo(args ...string) (string, int) {
	h.Helper()
	out, err := exec.CommandContext(h.Context(), os.Getenv(binaryVariable), h.args(args)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

func (h *host) args(args []string) []string {
	return append([]string{args[0], "-f", h.file}, args[1:]...)
}

// must runs topo, which must succeed.
func (h *host) must(args ...string) {
	h.Helper()
	if out, code := h.topo(args...); code != 0 {
		h.Fatalf("topo %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
}

// trace runs topo under an observer's eyes.
func (h *host) trace(observe tracer.Observer, args ...string) tracer.Result {
	h.Helper()
	r, err := tracer.Run(h.Context(), tracer.Program{Args: append([]string{os.Getenv(binaryVariable)}, h.args(args)...)}, observe)
	if err != nil {
		h.Fatal(err)
	}
	return r
}

// residue is what the machine has that it didn't have before topo, or lacks; "" when it is as it was.
func (h *host) residue() string { h.Helper(); return testhost.Await(h.before, h.machine) }

// standing is the machine without what chance gives it.
func (h *host) standing() []string { h.Helper(); return standing(h.machine()) }

// broughtUp is the machine as up leaves it, which is taken down again.
func (h *host) broughtUp() []string {
	h.Helper()
	h.must("up")
	defer h.must("down", "-v")
	return h.standing()
}
