package planner

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"topo/internal/kernel"
)

// TextOptions says how a plan is printed.
type TextOptions struct {
	Commands bool // the ip, iptables and sysctl lines of each action below it
	Color    bool // ANSI colours
}

// The widest that the columns get before a line breaks the ranks.
const (
	maxID     = 36
	maxDetail = 44
)

// Text prints a plan: a headline, and a line an action in the order in which they are carried out.
func (p *Plan) Text(o TextOptions) string {
	if p.Empty() {
		return p.Project + ": up to date\n"
	}
	s := p.Summary()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d to add, %d to change, %d to replace, %d to remove\n\n", p.Project, s.Create, s.Update, s.Replace, s.Delete)
	idWidth, detailWidth := 0, 0
	for i := range p.Changes {
		c := &p.Changes[i]
		if n := utf8.RuneCountInString(c.ID.String()); n <= maxID {
			idWidth = max(idWidth, n)
		}
		if n := utf8.RuneCountInString(c.Detail()); n <= maxDetail && p.why(c) != "" {
			detailWidth = max(detailWidth, n)
		}
	}
	var commands [][]string
	if o.Commands {
		commands = p.commands()
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		b.WriteString("  " + paint(string(c.Action.Rune()), c.Action, o.Color) + " ")
		b.WriteString(strings.TrimRight(pad(c.ID.String(), idWidth)+"  "+pad(c.Detail(), detailWidth)+"  "+p.why(c), " ") + "\n")
		if o.Commands {
			for _, line := range commands[i] {
				b.WriteString("      " + strings.ReplaceAll(line, "\n", "\n      ") + "\n")
			}
		}
	}
	return b.String()
}

// Summary counts the actions.
func (p *Plan) Summary() Summary {
	var s Summary
	for _, c := range p.Changes {
		switch c.Action {
		case Create:
			s.Create++
		case Update:
			s.Update++
		case Replace:
			s.Replace++
		case Delete:
			s.Delete++
		}
	}
	return s
}

// Summary is how many changes there are of each action.
type Summary struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
}

// Line is the change on one line, as in a plan but without its columns.
func (c *Change) Line() string {
	return strings.TrimRight(strings.Join([]string{string(c.Action.Rune()), c.ID.String(), c.Detail()}, " "), " ")
}

// Detail says what a change is about: what is made, or what differs.
func (c *Change) Detail() string {
	if c.Have != nil && c.Want != nil {
		if d, ok := c.Want.(interface{ Differs(Resource) string }); ok {
			return d.Differs(c.Have)
		}
		var words []string
		for _, d := range changedAttrs(c.Have, c.Want) {
			words = append(words, kernel.Printable(fmt.Sprintf("%s %s → %s", strings.TrimPrefix(d.Name, envPrefix), orNone(d.Before), orNone(d.After))))
		}
		if len(words) > 0 {
			return strings.Join(words, ", ")
		}
	}
	if d, ok := c.Want.(detailed); ok {
		return kernel.Printable(d.Detail())
	}
	return ""
}

// why is the reason at the end of a line. On a machine that has nothing of the project, all is missing,
// and nothing is said.
func (p *Plan) why(c *Change) string {
	switch {
	case p.First:
		return ""
	case c.Action == Replace && c.ID.Kind == "process" && (c.Reason == Edited || c.Reason == Drifted):
		return string(c.Reason) + "; can't be changed in a running process"
	default:
		return string(c.Reason)
	}
}

func pad(s string, width int) string {
	if n := utf8.RuneCountInString(s); n < width {
		return s + strings.Repeat(" ", width-n)
	}
	return s
}

var colours = map[Action]string{Create: "32", Update: "33", Replace: "35", Delete: "31"}

func paint(s string, a Action, on bool) string {
	if !on {
		return s
	}
	return "\x1b[" + colours[a] + "m" + s + "\x1b[0m"
}

// commands lists the commands of each change.
func (p *Plan) commands() [][]string {
	out := make([][]string, len(p.Changes))
	for _, s := range p.Steps {
		for _, op := range s.Ops {
			out[s.Change] = append(out[s.Change], op.String())
		}
	}
	return out
}
