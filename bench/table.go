package main

import (
	"encoding/csv"
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

func medians(all []sample) map[figures]time.Duration {
	walls := map[figures][]time.Duration{}
	for _, s := range all {
		k := figures{s.Tool, s.Verb, s.Size}
		walls[k] = append(walls[k], s.Wall)
	}
	m := map[figures]time.Duration{}
	for k, w := range walls {
		slices.Sort(w)
		m[k] = w[len(w)/2]
	}
	return m
}

// printTable writes the medians as Markdown: milliseconds, and in brackets how many times the floor that is.
func printTable(out io.Writer, all []sample, sizes []int) {
	m := medians(all)
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
	printGrowth(out, m, sizes)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }

// printGrowth compares the time that one more namespace costs at the large end with that at the small end. A cost that
// grows with the number of namespaces, and no faster, gives about 1; one that grows with its square gives
// about the ratio of the sizes.
func printGrowth(out io.Writer, m map[figures]time.Duration, sizes []int) {
	if len(sizes) < 3 {
		return
	}
	k := len(sizes)
	slope := func(tool, verb string, a, b int) float64 {
		return float64(m[figures{tool, verb, b}]-m[figures{tool, verb, a}]) / float64(b-a)
	}
	fmt.Fprintf(out, "\n**Growth**: what one more namespace costs between %d and %d, against between %d and %d. Linear is about 1, quadratic %.0f.\n\n",
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

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)
}
