package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"topo/bench/shape"
)

// comparison is one of topo's verbs beside what it is held against.
type comparison struct {
	title      string
	works      []string // by name; none: all shapes
	verb       string
	tool, base string // the other's tool and verb
	target     float64
}

var comparisons = []comparison{
	{"up", nil, "up", "floor", "up", 1.3},
	{"plan, nothing to do; the floor only reads", nil, "plan", "floor", "plan", 2.5},
	{"up, nothing to do; the floor only reads", nil, "again", "floor", "plan", 2.5},
	{"up, of one changed link; beside an up with nothing to do", nil, "repair", "topo", "again", 1.2},
	{"down", nil, "down", "floor", "down", 1.5},
	{"up, of processes in containers; beside crun alone", []string{"containers"}, "up", "floor", "up", 1.3},
	{"down, of containers and their network; beside crun alone, which leaves the network", []string{"containers"}, "down", "floor", "down", 0},
	{"published ports; beside iptables-restore", []string{"ports"}, "up", "floor", "up", 2},
	{"published ports, after a flush; beside iptables-restore", []string{"ports"}, "repair", "floor", "repair", 2},
	{"validate; beside the YAML library", []string{"file"}, "validate", "floor", "decode", 3},
	{"plan --offline; beside the YAML library", []string{"file"}, "plan --offline", "floor", "decode", 3},
	{"version; beside a program that does nothing", []string{"start"}, "start", "floor", "start", 0},
}

// of reports whether it is one of a work's figures.
func (c comparison) of(w work) bool {
	if c.works == nil {
		return slices.Contains(shapes, w.Name)
	}
	return slices.Contains(c.works, w.Name)
}

var shapes = []string{"star", "wide", "chain", "mesh", "fattree"}

// figures are those of one tool doing one thing, by round.
type figures map[work]map[string]map[string][]sample // work, tool, verb

func sorted(all []sample) (figures, []work) {
	f := figures{}
	var works []work
	for _, s := range all {
		if f[s.Work] == nil {
			f[s.Work] = map[string]map[string][]sample{}
			works = append(works, s.Work)
		}
		if f[s.Work][s.Tool] == nil {
			f[s.Work][s.Tool] = map[string][]sample{}
		}
		f[s.Work][s.Tool][s.Verb] = append(f[s.Work][s.Tool][s.Verb], s)
	}
	return f, works
}

func median[T int | float64 | time.Duration](of []T) T {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

func each[T any](samples []sample, get func(sample) T) []T {
	var out []T
	for _, s := range samples {
		out = append(out, get(s))
	}
	return out
}

func wall(s sample) time.Duration { return s.Wall }
func cpu(s sample) time.Duration  { return s.CPU }
func memory(s sample) int         { return s.Memory }

// printTables writes the medians as Markdown.
func printTables(out io.Writer, all []sample) {
	f, works := sorted(all)
	for _, c := range comparisons {
		printed := false
		for _, w := range works {
			mine, theirs := f[w]["topo"][c.verb], f[w][c.tool][c.base]
			if !c.of(w) || len(mine) == 0 || len(theirs) == 0 {
				continue
			}
			if !printed {
				fmt.Fprintf(out, "\n**%s**\n\n| | beside | topo | times as long (from–to) | target | processor time | memory | topo, a node |\n|---|--:|--:|--:|--:|--:|--:|--:|\n", c.title)
				printed = true
			}
			fmt.Fprintf(out, "| %s %d | %s | %s | %s | %s | %s | %d MB | %s |\n", w.Name, w.Size, ms(median(each(theirs, wall))), ms(median(each(mine, wall))),
				times(mine, theirs, wall), target(c.target), times(mine, theirs, cpu), median(each(mine, memory))/1024, aNode(w, median(each(mine, wall))))
		}
	}
	printOthers(out, f, works)
}

// others are what users would take instead.
var others = []struct{ tool, title string }{
	{"batch", "`ip -batch`"}, {"commands", "a script of single commands"}, {"mininet", "Mininet"}, {"podman", "Podman, a pod for each node"},
}

func printOthers(out io.Writer, f figures, works []work) {
	if !slices.ContainsFunc(works, func(w work) bool { return w.Name == "star" }) {
		return
	}
	for _, verb := range []string{"up", "down"} {
		fmt.Fprintf(out, "\n**%s, beside what else makes such a network: how long, processor time, and how many times as long as topo (from–to)**\n\n| | topo |", verb)
		for _, o := range others {
			fmt.Fprintf(out, " %s |", o.title)
		}
		fmt.Fprint(out, "\n|---|--:|--:|--:|--:|--:|\n")
		for _, w := range works {
			mine := f[w]["topo"][verb]
			if w.Name != "star" || len(mine) == 0 {
				continue
			}
			fmt.Fprintf(out, "| star %d | %s, %s |", w.Size, ms(median(each(mine, wall))), ms(median(each(mine, cpu))))
			for _, o := range others {
				theirs := f[w][o.tool][verb]
				if len(theirs) == 0 {
					fmt.Fprint(out, " |")
					continue
				}
				fmt.Fprintf(out, " %s, %s: %s |", ms(median(each(theirs, wall))), ms(median(each(theirs, cpu))), times(theirs, mine, wall))
			}
			fmt.Fprintln(out)
		}
	}
}

// aNode is what a node of a shape takes.
func aNode(w work, d time.Duration) string {
	s, err := shape.Make(w.Name, w.Size)
	if err != nil { // it is none
		return ""
	}
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)/float64(len(s.Nodes)))
}

func target(t float64) string {
	if t == 0 {
		return ""
	}
	return fmt.Sprintf("≤ %.1f", t)
}

// times is how many times as long one takes as the other: the median of the rounds' ratios, and the smallest and the largest.
func times(mine, theirs []sample, of func(sample) time.Duration) string {
	all := ratios(mine, theirs, of)
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(all), slices.Min(all), slices.Max(all))
}

// ratios are those of the rounds.
func ratios(mine, theirs []sample, of func(sample) time.Duration) []float64 {
	out := make([]float64, min(len(mine), len(theirs)))
	for i := range out {
		out[i] = float64(of(mine[i])) / float64(max(of(theirs[i]), time.Microsecond))
	}
	return out
}

func ms(d time.Duration) string {
	digits := 0
	if d < 10*time.Millisecond {
		digits = 1
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', digits, 64) + " ms"
}

var columns = []string{"work", "size", "round", "tool", "verb", "wall_ms", "cpu_ms", "memory_kib"}

func writeCSV(path string, all []sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	rows := [][]string{columns}
	for _, s := range all {
		rows = append(rows, []string{
			s.Work.Name, strconv.Itoa(s.Work.Size), strconv.Itoa(s.Round), s.Tool, s.Verb, millis(s.Wall), millis(s.CPU), strconv.Itoa(s.Memory),
		})
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Close()
}

// readCSV reads what writeCSV wrote.
func readCSV(path string) ([]sample, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = len(columns)
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var all []sample
	for _, row := range rows[1:] {
		size, sizeErr := strconv.Atoi(row[1])
		round, roundErr := strconv.Atoi(row[2])
		wall, wallErr := strconv.ParseFloat(row[5], 64)
		cpu, cpuErr := strconv.ParseFloat(row[6], 64)
		memory, memoryErr := strconv.Atoi(row[7])
		if err := errors.Join(sizeErr, roundErr, wallErr, cpuErr, memoryErr); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		const ms = float64(time.Millisecond)
		all = append(all, sample{work{row[0], size}, round, row[3], row[4], time.Duration(wall * ms), time.Duration(cpu * ms), memory})
	}
	return all, nil
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
}
