// Bench times what topo does beside other ways to the same:
//
//   - floor: the least that does it, mostly bench/floor, the fewest netlink messages;
//   - what a user would take instead: ip -batch for the host and for each namespace, a script of single commands, Mininet, Podman.
//
// Every figure is that of whole processes, from exec to exit. Each round has a host of its own (a fresh
// network and mount namespace), and the tools take turns within a round, so that all see the
// same machine. The tables go to stdout, the raw figures to -csv.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// everything is what is measured when nobody says what.
const everything = "star:10 star:100 star:300 star:1000 wide:5000 chain:300 mesh:40 fattree:8 ports:1000 containers:100 containers:300 file:5000 start:1"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "round" {
		exit(round(os.Args[2:]))
		return
	}
	var (
		works  = flag.String("works", everything, "what is measured: NAME:SIZE …")
		rounds = flag.Int("rounds", 7, "rounds of each; of those that take long, 5")
		bin    = flag.String("bin", "bin", "the folder with the programs that are measured: topo, floor, decode, empty")
		csv    = flag.String("csv", "", "`file` for the raw figures")
		table  = flag.String("table", "", "take the figures from a `file` of -csv, instead of measuring")
		drawn  = flag.String("plot", "", "`file` for a plot, as SVG, of what stars take")
	)
	flag.Parse()
	all, err := figuresOf(*table, strings.Fields(*works), *rounds, *bin, *csv)
	exit(err)
	printTables(os.Stdout, all)
	if *drawn != "" {
		var b strings.Builder
		exit(plot(&b, all))
		exit(os.WriteFile(*drawn, []byte(b.String()), 0o644))
	}
}

// figuresOf reads the figures of a file, or takes them where that is "".
func figuresOf(table string, texts []string, rounds int, bin, csv string) ([]sample, error) {
	if table != "" {
		return readCSV(table)
	}
	works := make([]work, len(texts))
	for i, text := range texts {
		var err error
		if works[i], err = parseWork(text); err != nil {
			return nil, err
		}
	}
	return measure(works, rounds, bin, csv)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// work is something to do, as much of it as its size says.
type work struct {
	Name string
	Size int
}

func parseWork(text string) (work, error) {
	name, size, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(size)
	if err != nil {
		return work{}, fmt.Errorf("reading what to measure, NAME:SIZE: %w", err)
	}
	return work{name, n}, nil
}

func (w work) String() string { return w.Name + ":" + strconv.Itoa(w.Size) }

// sample is one timed process.
type sample struct {
	Work      work
	Round     int
	Tool      string
	Verb      string
	Wall, CPU time.Duration // CPU is user and system time of the process and its children
	Memory    int           // the largest resident set, in KiB, of the process or of one of its children
}

// measure takes the figures, and keeps them in a file, unless that is "", as it goes.
func measure(works []work, rounds int, bin, csv string) ([]sample, error) {
	var all []sample
	for _, w := range works {
		rounds := rounds
		if w.Size >= 300 {
			rounds = min(rounds, 5)
		}
		for r := range rounds {
			fmt.Fprintf(os.Stderr, "%s, round %d of %d\n", w, r+1, rounds)
			samples, err := onFreshHost(w, r, bin)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", w, r+1, err)
			}
			all = append(all, samples...)
		}
		if csv != "" {
			if err := writeCSV(csv, all); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// onFreshHost runs a round in new network, mount and PID namespaces, as this program's child: what it starts ends with it.
func onFreshHost(w work, r int, bin string) ([]sample, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bin, err = filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", self, "round", w.String(), strconv.Itoa(r), bin)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running a round: %w", err)
	}
	var samples []sample
	if err := json.Unmarshal(out, &samples); err != nil {
		return nil, fmt.Errorf("reading the figures of a round: %w", err)
	}
	return samples, nil
}

// round is the child's part: prepare the host, run each tool, print the figures.
func round(args []string) error {
	w, err := parseWork(args[0])
	if err != nil {
		return err
	}
	turn, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	dir, err := prepareHost()
	if err != nil {
		return err
	}
	tools, err := w.tools(dir, args[2])
	if err != nil {
		return err
	}
	// Another one begins in each round: what goes first finds cold caches.
	first := turn % len(tools)
	var samples []sample
	for _, t := range slices.Concat(tools[first:], tools[:first]) {
		for _, s := range t.steps {
			took, err := s.timed()
			if err != nil {
				return fmt.Errorf("%s %s: %w", t.name, s.verb, err)
			}
			took.Work, took.Round, took.Tool = w, turn, t.name
			samples = append(samples, took)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(samples)
}

// A tool is one way to do the work: steps that are timed, in order.
type tool struct {
	name  string
	steps []step
}

type step struct {
	verb          string
	argv          []string
	before, check func() error // what it begins with, and that it did what it says; not timed
	until         func() error // what the kernel still does of it afterwards; timed. May be nil, as the others
}

func (s step) timed() (sample, error) {
	if s.before != nil {
		if err := s.before(); err != nil {
			return sample{}, fmt.Errorf("before it: %w", err)
		}
	}
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	if err == nil && s.until != nil {
		err = s.until()
	}
	wall := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, out.String())
	}
	if s.check != nil {
		if err := s.check(); err != nil {
			return sample{}, fmt.Errorf("after it: %w", err)
		}
	}
	state := cmd.ProcessState
	took := sample{Verb: s.verb, Wall: wall, CPU: state.UserTime() + state.SystemTime()}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		took.Memory = int(usage.Maxrss)
	}
	return took, nil
}
