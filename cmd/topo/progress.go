package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"

	"topo/executor"
	"topo/internal/image"
	"topo/planner"
)

// A progress tells of a run while it goes on, on stderr.
type progress interface {
	// event is called for each change that starts or ends, one call after the other.
	event(executor.Event)
	// pulling is called while an image is fetched, and never during event.
	pulling(image.Progress)
	// finish is called once, when the run is over, with what came of it.
	finish(*executor.Report, time.Duration)
}

// The values of --progress.
const (
	progressAuto  = "auto"  // tty on a terminal, plain elsewhere
	progressTTY   = "tty"   // one line, redrawn
	progressPlain = "plain" // a line for each change that ends
	progressJSON  = "json"  // a JSON object a line
)

func newProgress(mode string, p *planner.Plan, w io.Writer) progress {
	if mode == progressAuto {
		mode = progressPlain
		if isTerminal(w) && os.Getenv("TERM") != "dumb" {
			mode = progressTTY
		}
	}
	switch mode {
	case progressTTY:
		return newBar(p, w)
	case progressJSON:
		return &eventLines{p, json.NewEncoder(w), map[string]int{}}
	default:
		return &plainLines{p, w, map[string]int{}}
	}
}

// plainLines prints a line for each change that ends.
type plainLines struct {
	plan *planner.Plan
	w    io.Writer
	// layers are those that were told of, by image.
	layers map[string]int
}

func (l *plainLines) pulling(p image.Progress) {
	if l.layers[p.Reference] != p.Layer {
		l.layers[p.Reference] = p.Layer
		fmt.Fprintln(l.w, pullText(p))
	}
}

func (l *plainLines) event(e executor.Event) {
	change := l.plan.Changes[e.Change]
	switch e.State {
	case executor.Started, executor.Skipped: // what was skipped is told at the end, with the cause
	case executor.Failed:
		fmt.Fprintf(l.w, "failed %c %s  %v\n", change.Action.Rune(), change.ID, e.Err)
	default:
		fmt.Fprintf(l.w, "done   %c %s  %s\n", change.Action.Rune(), change.ID, short(e.Elapsed))
	}
}

func (l *plainLines) finish(r *executor.Report, d time.Duration) { printOutcome(l.w, r, d) }

// bar is a progress bar with the change that has been under way for longest.
type bar struct {
	plan  *planner.Plan
	w     io.Writer
	bar   *progressbar.ProgressBar
	doing []int // changes under way, oldest first
}

// barWords is how many characters the words before the bar take: the longest usual ID, and on a
// terminal of 80 there is room for the bar and the count.
const barWords = 32

func newBar(p *planner.Plan, w io.Writer) *bar {
	return &bar{plan: p, w: w, bar: progressbar.NewOptions(len(p.Changes),
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(24),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(60*time.Millisecond), // faster than that nobody reads
	)}
}

func (b *bar) event(e executor.Event) {
	if e.State == executor.Started {
		b.doing = append(b.doing, e.Change)
	} else {
		b.doing = slices.DeleteFunc(b.doing, func(i int) bool { return i == e.Change })
	}
	if len(b.doing) > 0 {
		change := b.plan.Changes[b.doing[0]]
		b.describe(fmt.Sprintf("%c %s", change.Action.Rune(), change.ID))
	}
	if e.State != executor.Started {
		// What can't be drawn on the terminal can't be told there either.
		_ = b.bar.Add(1)
	}
}

// pulling tells of a pull in place of what is under way: nothing takes longer.
func (b *bar) pulling(p image.Progress) {
	percent := ""
	if p.Total > 0 {
		percent = fmt.Sprintf("%d %% ", p.Done*100/p.Total)
	}
	b.describe(percent + pullText(p))
}

func (b *bar) describe(text string) {
	words := []rune(text)
	if len(words) > barWords {
		words = append(words[:barWords-1], '…')
	}
	b.bar.Describe(fmt.Sprintf("%-*s", barWords, string(words)))
}

func (b *bar) finish(r *executor.Report, d time.Duration) {
	_ = b.bar.Clear()
	printOutcome(b.w, r, d)
}

// eventLines prints a JSON object a line, for programs.
type eventLines struct {
	plan   *planner.Plan
	to     *json.Encoder
	layers map[string]int // as plainLines has them
}

// eventLine is a line of --progress json.
type eventLine struct {
	Event   string  `json:"event"` // "started", "done", "failed", "skipped"
	ID      string  `json:"id"`
	Action  string  `json:"action"`
	Elapsed float64 `json:"elapsed_ms"`
	Error   string  `json:"error,omitempty"`
}

// pullLine is a line of --progress json for each layer of an image that is fetched.
type pullLine struct {
	Event  string `json:"event"` // "pulling"
	Image  string `json:"image"`
	Layer  int    `json:"layer"` // from 1
	Layers int    `json:"layers"`
	Done   int64  `json:"done_bytes"`
	Total  int64  `json:"total_bytes"` // as they are sent; 0 = not known
}

func (l *eventLines) pulling(p image.Progress) {
	if l.layers[p.Reference] != p.Layer {
		l.layers[p.Reference] = p.Layer
		_ = l.to.Encode(pullLine{"pulling", p.Reference, p.Layer, p.Layers, p.Done, p.Total})
	}
}

// summaryLine is the last line of --progress json of a run that came to its end.
type summaryLine struct {
	Event       string  `json:"event"` // "summary"
	Project     string  `json:"project"`
	Done        int     `json:"done"`
	Failed      int     `json:"failed"`
	Skipped     int     `json:"skipped"`
	Interrupted bool    `json:"interrupted"`
	Elapsed     float64 `json:"elapsed_ms"`
}

func (l *eventLines) event(e executor.Event) {
	change := l.plan.Changes[e.Change]
	line := eventLine{Event: string(e.State), ID: change.ID.String(), Action: string(change.Action), Elapsed: milliseconds(e.Elapsed)}
	if e.Err != nil {
		line.Error = e.Err.Error()
	}
	_ = l.to.Encode(line) // stderr is gone: there is no other place to say so
}

func (l *eventLines) finish(r *executor.Report, d time.Duration) {
	n := count(r)
	_ = l.to.Encode(summaryLine{
		Event: "summary", Project: l.plan.Project,
		Done: n[executor.Done], Failed: n[executor.Failed], Skipped: n[executor.Skipped],
		Interrupted: r.Interrupted, Elapsed: milliseconds(d),
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// short is a duration as people say it: 3 digits at most.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}
