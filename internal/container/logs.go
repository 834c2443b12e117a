package container

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"topo/internal/kernel"
)

// LogsRequest asks for what processes printed.
type LogsRequest struct {
	Project string
	Nodes   []string // empty = all that have a process
	Follow  bool     // go on until ctx ends, or all processes have ended and the supervisor is gone
	// Tail is how many of the last lines of each node are shown first; negative = all.
	Tail       int
	Since      time.Time // zero = from the beginning
	Timestamps bool      // RFC 3339 with nanoseconds, before each line
	// Prefix puts "NODE  | " before each line; Color gives each node one of its own.
	Prefix, Color bool

	Stdout, Stderr io.Writer // the two streams of the processes

	opened func()               // called, if not nil, when it is fixed what is shown first
	until  func() (bool, error) // whether nothing more is to be shown; nil: as Follow says
}

// Logs writes what the processes of nodes printed, by time. It reads files, and needs no supervisor.
// With Follow, nodes that start later are shown, too, if none were named. The end of ctx is no error.
func (e *Engine) Logs(ctx context.Context, r LogsRequest) error {
	l := e.layout(r.Project)
	sources := map[string]*logReader{}
	defer func() {
		for _, s := range sources {
			s.close()
		}
	}()
	out := newLogPrinter(r)
	for first := true; ; first = false {
		// Asked before reading: what was printed until then is in the files.
		over, err := e.over(ctx, r)
		if err != nil && ctx.Err() == nil {
			return err
		}
		nodes := r.Nodes
		if len(nodes) == 0 {
			if nodes, err = l.nodes(); err != nil {
				return err
			}
		}
		if err := openLogs(l, nodes, sources, r, first); err != nil {
			return err
		}
		if first && r.opened != nil {
			r.opened()
		}
		if err := out.print(nodes, merged(nodes, sources)); err != nil {
			return err
		}
		if over || ctx.Err() != nil {
			return nil
		}
		const pause = 50 * time.Millisecond // not noticed by a reader; a look costs a stat a node
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// over reports whether nothing more will be printed.
func (e *Engine) over(ctx context.Context, r LogsRequest) (bool, error) {
	if r.until != nil {
		return r.until()
	}
	if !r.Follow {
		return true, nil
	}
	// Without a supervisor, the files no longer grow; a process that runs may get one again.
	if findSupervisor(e.layout(r.Project)).PID != 0 {
		return false, nil
	}
	_, states, err := e.Observe(ctx, r.Project)
	running := slices.ContainsFunc(states, func(s kernel.ProcessState) bool {
		return s.Status == kernel.Running && (len(r.Nodes) == 0 || slices.Contains(r.Nodes, s.Process.Node))
	})
	return !running, err
}

// logLine is an entry with where it comes from.
type logLine struct {
	node string
	entry
}

// openLogs has a reader for each node; the first time at its last lines, if only these are asked for.
func openLogs(l layout, nodes []string, sources map[string]*logReader, r LogsRequest, first bool) error {
	for _, node := range nodes {
		if sources[node] != nil {
			continue
		}
		source := &logReader{path: l.log(node)}
		sources[node] = source
		if first && r.Tail >= 0 {
			if err := source.seekTail(r.Tail); err != nil {
				return logError(node, err)
			}
		}
	}
	return nil
}

func logError(node string, err error) error {
	return fmt.Errorf("reading the log of %s: %w", node, err)
}

// merged gives what is new in the logs of all nodes, by time; of each node, it holds one entry. An error is the last.
func merged(nodes []string, sources map[string]*logReader) iter.Seq2[logLine, error] {
	return func(yield func(logLine, error) bool) {
		var heads logHeads
		for i, node := range nodes {
			if slices.Contains(nodes[:i], node) {
				continue
			}
			next, stop := iter.Pull2(sources[node].entries())
			defer stop()
			h := logHead{logLine: logLine{node: node}, at: i, next: next}
			switch ok, err := h.advance(); {
			case err != nil:
				yield(logLine{}, err)
				return
			case ok:
				heads = append(heads, h)
			}
		}
		for heap.Init(&heads); len(heads) > 0; {
			if !yield(heads[0].logLine, nil) {
				return
			}
			switch ok, err := heads[0].advance(); {
			case err != nil:
				yield(logLine{}, err)
				return
			case ok:
				heap.Fix(&heads, 0)
			default:
				heap.Pop(&heads)
			}
		}
	}
}

// logHead is where the reading of a node's log is.
type logHead struct {
	logLine
	at   int // the node's place among all
	next func() (entry, error, bool)
}

// advance goes on to the next entry; !ok when there is none.
func (h *logHead) advance() (ok bool, err error) {
	h.entry, err, ok = h.next()
	if err != nil {
		return false, logError(h.node, err)
	}
	return ok, nil
}

// logHeads is a heap: the oldest entry first, of several that of the first node.
type logHeads []logHead

// Len is of heap.Interface, as are the others.
func (h logHeads) Len() int      { return len(h) }
func (h logHeads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h logHeads) Less(i, j int) bool {
	return cmp.Or(h[i].Time.Compare(h[j].Time), cmp.Compare(h[i].at, h[j].at)) < 0
}

// Push is never needed: a node whose log has ended comes back at the next look.
func (h *logHeads) Push(x any) { *h = append(*h, x.(logHead)) }

// Pop removes the last.
func (h *logHeads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// logPrinter writes lines as asked for.
type logPrinter struct {
	LogsRequest
	width int
	// within tells, for a node's stream, that its last entry did not end its line.
	within map[[2]string]bool
}

func newLogPrinter(r LogsRequest) *logPrinter {
	return &logPrinter{LogsRequest: r, within: map[[2]string]bool{}}
}

func (p *logPrinter) print(nodes []string, lines iter.Seq2[logLine, error]) error {
	for _, node := range nodes {
		p.width = max(p.width, len(node))
	}
	stdout, stderr := bufio.NewWriter(p.Stdout), bufio.NewWriter(p.Stderr)
	var last *bufio.Writer
	for line, err := range lines {
		if err != nil {
			return errors.Join(err, stdout.Flush(), stderr.Flush())
		}
		if line.Time.Before(p.Since) {
			continue
		}
		w := stdout
		if line.Stream == "stderr" {
			w = stderr
		}
		// Both may be one terminal: keep the order.
		if last != nil && last != w {
			if err := last.Flush(); err != nil {
				return err
			}
		}
		last = w
		key := [2]string{line.node, line.Stream}
		if !p.within[key] {
			_, _ = w.WriteString(p.prefix(nodes, line)) // Flush tells
		}
		p.within[key] = !strings.HasSuffix(line.Log, "\n")
		_, _ = w.WriteString(line.Log)
	}
	if last == nil {
		return nil
	}
	return last.Flush()
}

// colors are those of Docker Compose: cyan, yellow, green, magenta, blue; then bright ones.
var colors = []int{36, 33, 32, 35, 34, 96, 93, 92, 95, 94}

func (p *logPrinter) prefix(nodes []string, line logLine) string {
	var s string
	if p.Prefix {
		s = fmt.Sprintf("%-*s  | ", p.width, line.node)
		if p.Color {
			s = fmt.Sprintf("\x1b[%dm%s\x1b[0m", colors[max(0, slices.Index(nodes, line.node))%len(colors)], s)
		}
	}
	if p.Timestamps {
		s += line.Time.Format(time.RFC3339Nano) + " "
	}
	return s
}
