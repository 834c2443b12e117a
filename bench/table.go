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
)

// figures are those of one tool doing one thing at one size.
type figures struct {
	tool, verb string
	size       int
}

func medians(all []sample, of func(sample) time.Duration) map[figures]time.Duration {
	times := map[figures][]time.Duration{}
	for _, s := range all {
		k := figures{s.Tool, s.Verb, s.Size}
		times[k] = append(times[k], of(s))
	}
	m := map[figures]time.Duration{}
	for k, t := range times {
		slices.Sort(t)
		m[k] = t[len(t)/2]
	}
	return m
}

func wall(s sample) time.Duration { return s.Wall }
func cpu(s sample) time.Duration  { return s.CPU }

// printTable writes the medians as Markdown: milliseconds, and in brackets how many times the floor that is.
func printTable(out io.Writer, all []sample, sizes []int) {
	m := medians(all, wall)
	for _, v := range []struct{ verb, title, against string }{
		{"up", "up", "up"},
		{"plan", "plan, nothing to do (floor: reading alone)", "plan"},
		{"again", "up, nothing to do (floor: reading alone)", "plan"},
		{"down", "down", "down"},
	} {
		fmt.Fprintf(out, "\n**%s**\n\n| namespaces | floor | topo | `ip -batch` | topo, each namespace |\n|--:|--:|--:|--:|--:|\n", v.title)
		for _, n := range sizes {
			floor := m[figures{"floor", v.against, n}]
			cell := func(tool string) string {
				d, ok := m[figures{tool, v.verb, n}]
				if !ok {
					return ""
				}
				return fmt.Sprintf("%s (%.1f×)", ms(d), float64(d)/float64(floor))
			}
			each := ""
			if d, ok := m[figures{"topo", v.verb, n}]; ok {
				each = fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)/float64(n))
			}
			fmt.Fprintf(out, "| %d | %s | %s | %s | %s |\n", n, ms(floor), cell("topo"), cell("batch"), each)
		}
	}
	printGrowth(out, medians(all, cpu), sizes)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }

// printGrowth compares the processor time that one more namespace costs at the large end with that at the small end
// (waiting for the kernel's locks is left out: it depends on what else runs). A cost that grows with the number of namespaces, and no faster, gives about 1; one that grows with its square gives
// about the ratio of the sizes.
func printGrowth(out io.Writer, m map[figures]time.Duration, sizes []int) {
	if len(sizes) < 3 {
		return
	}
	k := len(sizes)
	slope := func(tool, verb string, a, b int) float64 {
		return float64(m[figures{tool, verb, b}]-m[figures{tool, verb, a}]) / float64(b-a)
	}
	fmt.Fprintf(out, "\n**Growth**: what one more namespace costs in processor time between %d and %d, against between %d and %d. Linear is about 1, quadratic %.0f.\n\n",
		sizes[k-2], sizes[k-1], sizes[0], sizes[k-2], float64(sizes[k-1]+sizes[k-2])/float64(sizes[k-2]+sizes[0]))
	fmt.Fprintf(out, "| | floor | topo |\n|---|--:|--:|\n")
	for _, v := range []struct{ verb, title string }{
		{"up", "up"}, {"plan", "plan, nothing to do"}, {"again", "up, nothing to do"}, {"down", "down"},
	} {
		cell := func(tool string) string {
			if _, ok := m[figures{tool, v.verb, sizes[0]}]; !ok {
				return "–"
			}
			return fmt.Sprintf("%.1f", slope(tool, v.verb, sizes[k-2], sizes[k-1])/slope(tool, v.verb, sizes[0], sizes[k-2]))
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", v.title, cell("floor"), cell("topo"))
	}
}

func writeCSV(path string, all []sample) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	rows := [][]string{{"tool", "verb", "namespaces", "wall_ms", "cpu_ms"}}
	for _, s := range all {
		rows = append(rows, []string{s.Tool, s.Verb, strconv.Itoa(s.Size), millis(s.Wall), millis(s.CPU)})
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Close()
}

// readCSV reads what writeCSV wrote, and the sizes in it.
func readCSV(path string) (all []sample, sizes []int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", path, err)
	}
	for _, row := range rows[1:] {
		n, sizeErr := strconv.Atoi(row[2])
		wall, wallErr := strconv.ParseFloat(row[3], 64)
		cpu, cpuErr := strconv.ParseFloat(row[4], 64)
		if err := errors.Join(sizeErr, wallErr, cpuErr); err != nil {
			return nil, nil, fmt.Errorf("reading %s: %w", path, err)
		}
		ms := float64(time.Millisecond)
		all = append(all, sample{row[0], row[1], n, time.Duration(wall * ms), time.Duration(cpu * ms)})
		if !slices.Contains(sizes, n) {
			sizes = append(sizes, n)
		}
	}
	slices.Sort(sizes)
	return all, sizes, nil
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)
}
