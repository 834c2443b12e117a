package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Sizes of the plot, in pixels.
const (
	plotWidth, plotHeight = 720, 440
	plotLeft, plotRight   = 70, 190
	plotTop, plotBottom   = 50, 50
)

// plotted are the tools in the plot, with what their lines look like.
var plotted = []struct {
	tool, title, colour string
	below               float64 // its title's line, below its last point
}{
	{"floor", "the floor", "#888888", 12},
	{"topo", "topo", "#c2185b", 0},
	{"batch", "ip -batch", "#1976d2", 4},
	{"commands", "single commands", "#388e3c", 4},
	{"mininet", "Mininet", "#f57c00", -16},
	{"podman", "Podman", "#7b1fa2", 4},
}

// plot draws, as SVG, how long each tool takes to bring up stars: medians, both axes logarithmic.
func plot(out io.Writer, all []sample) error {
	f, works := sorted(all)
	works = slices.DeleteFunc(works, func(w work) bool { return w.Name != "star" })
	if len(works) < 2 {
		return fmt.Errorf("drawing: there are figures of %d stars, and it takes two", len(works))
	}
	const fastest, slowest = 10 * time.Millisecond, 100 * time.Second
	x := func(nodes int) float64 {
		from, to := float64(works[0].Size), float64(works[len(works)-1].Size)
		return plotLeft + math.Log(float64(nodes)/from)/math.Log(to/from)*(plotWidth-plotLeft-plotRight)
	}
	y := func(d time.Duration) float64 {
		return plotHeight - plotBottom - math.Log(float64(d)/float64(fastest))/math.Log(float64(slowest)/float64(fastest))*(plotHeight-plotTop-plotBottom)
	}
	var b strings.Builder
	text := func(x, y float64, anchor, colour, s string) {
		fmt.Fprintf(&b, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y, anchor, colour, s)
	}
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(&b, "<line x1=\"%.0f\" y1=\"%.0f\" x2=\"%.0f\" y2=\"%.0f\" stroke=\"#dddddd\"/>\n", x1, y1, x2, y2)
	}
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n", plotWidth, plotHeight)
	text(plotLeft, 25, "start", "black", "up: how long a star takes, by its namespaces")
	for d := fastest; d <= slowest; d *= 10 {
		line(plotLeft, y(d), plotWidth-plotRight, y(d))
		text(plotLeft-8, y(d)+4, "end", "black", seconds(d))
	}
	for _, w := range works {
		line(x(w.Size), plotTop, x(w.Size), plotHeight-plotBottom)
		text(x(w.Size), plotHeight-plotBottom+20, "middle", "black", fmt.Sprint(w.Size))
	}
	for _, p := range plotted {
		var points []string
		var lastX, lastY float64
		for _, w := range works {
			if took := f[w][p.tool]["up"]; len(took) > 0 {
				lastX, lastY = x(w.Size), y(median(each(took, wall)))
				points = append(points, fmt.Sprintf("%.1f,%.1f", lastX, lastY))
				fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", lastX, lastY, p.colour)
			}
		}
		if len(points) == 0 {
			continue
		}
		fmt.Fprintf(&b, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", strings.Join(points, " "), p.colour)
		text(lastX+10, lastY+p.below, "start", p.colour, p.title)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// seconds is a power of ten.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprint(d.Milliseconds(), " ms")
	}
	return fmt.Sprint(int(d.Seconds()), " s")
}
