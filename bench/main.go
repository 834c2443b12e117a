// Bench times topo bringing a star of namespaces up and down, beside two other ways to the same star:
//
//   - floor: bench/floor, the fewest netlink messages that make it;
//   - batch: what a user would write, ip -batch for the host and for each namespace.
//
// Every figure is that of whole processes, from exec to exit. Each round has a host of its own (a fresh
// network and mount namespace), and the tools take turns within a round, so that all see the
// same machine. The table goes to stdout, the raw figures to -csv.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "round" {
		exit(round(os.Args[2:]))
		return
	}
	var (
		sizes = flag.String("sizes", "10,100,300,1000", "numbers of namespaces")
		most  = flag.Int("rounds", 7, "rounds for up to 100 namespaces; larger stars take fewer")
		topo  = flag.String("topo", "bin/topo", "the topo that is measured")
		floor = flag.String("floor", "bin/floor", "the floor that it is measured against")
		csv   = flag.String("csv", "", "`file` for the raw figures")
		table = flag.String("table", "", "only print the table of a `file` with raw figures")
	)
	flag.Parse()
	if *table != "" {
		all, counts, err := readCSV(*table)
		exit(err)
		printTable(os.Stdout, all, counts)
		return
	}
	exit(bench(*sizes, *most, *topo, *floor, *csv))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sample is one timed process.
type sample struct {
	Tool, Verb string
	Size       int
	Wall, CPU  time.Duration // CPU is user and system time of the process and its children
}

func bench(sizes string, most int, topo, floor, csv string) error {
	var all []sample
	var counts []int
	for _, word := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("reading the sizes: %w", err)
		}
		counts = append(counts, n)
		for r := range rounds(n, most) {
			fmt.Fprintf(os.Stderr, "star of %d, round %d of %d\n", n, r+1, rounds(n, most))
			samples, err := onFreshHost(n, r, topo, floor)
			if err != nil {
				return fmt.Errorf("star of %d, round %d: %w", n, r+1, err)
			}
			all = append(all, samples...)
		}
	}
	if csv != "" {
		if err := writeCSV(csv, all); err != nil {
			return err
		}
	}
	printTable(os.Stdout, all, counts)
	return nil
}

// rounds is fewer for large stars: they take long, and vary less.
func rounds(n, most int) int {
	switch {
	case n <= 100:
		return most
	case n <= 300:
		return min(most, 5)
	default:
		return min(most, 3)
	}
}

// onFreshHost runs a round in new network and mount namespaces, as this program's child.
func onFreshHost(n, r int, topo, floor string) ([]sample, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", self, "round", strconv.Itoa(n), strconv.Itoa(r), topo, floor)
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
	n, err := strconv.Atoi(args[0])
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
	tools, err := toolsFor(n, dir, args[2], args[3])
	if err != nil {
		return err
	}
	// Another one begins in each round: what goes first finds cold caches.
	turn %= len(tools)
	tools = slices.Concat(tools[turn:], tools[:turn])
	var samples []sample
	for _, t := range tools {
		for _, s := range t.steps {
			took, err := timed(t.name, s, n)
			if err != nil {
				return fmt.Errorf("%s %s: %w", t.name, s.verb, err)
			}
			samples = append(samples, took)
			if s.check != nil {
				if err := s.check(); err != nil {
					return fmt.Errorf("after %s %s: %w", t.name, s.verb, err)
				}
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(samples)
}

func timed(tool string, s step, n int) (sample, error) {
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, out.String())
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return sample{tool, s.verb, n, wall, cpu}, nil
}
