package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxExpanded is the number of values that a file may have once its aliases are written out. A file of
// 5,000 nodes has some 100,000; an alias bomb has billions.
const maxExpanded = 1_000_000

// parse reads the one document of a file. nil: there is none, and the problem is noted.
func (d *decoder) parse(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc, err := next(dec)
	switch {
	case errors.Is(err, io.EOF):
		d.add(Pos{d.file, 1, 1}, "the file is empty")
		return nil
	case err != nil:
		d.syntaxError(data, err)
		return nil
	}
	second, err := next(dec)
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntaxError(data, err)
		return nil
	default:
		d.add(d.at(second), "a second document; a file holds one topology")
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == nullTag {
		d.add(Pos{d.file, 1, 1}, "the file is empty")
		return nil
	}
	if size := (&sizes{of: map[*yaml.Node]int{}}); !size.check(root) {
		d.add(d.at(size.culprit), "%s", size.problem)
		return nil
	}
	return root
}

// next reads a document. yaml.v3 turns its own panics into errors, except those that it takes for impossible.
func next(dec *yaml.Decoder) (doc *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: not readable: %v", p)
		}
	}()
	doc = new(yaml.Node)
	if err := dec.Decode(doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, io.EOF
	}
	return doc, nil
}

var (
	errorLine     = regexp.MustCompile(`^line \d+: `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntaxError notes YAML's complaint at its place. yaml.v3 tells a line at best, often that where the construct around
// it starts, or the one before; so the place is where the shortest text ends that has the same complaint.
func (d *decoder) syntaxError(data []byte, err error) {
	msg := complaint(err)
	end := shortest(data, msg)
	before := string(data[:end])
	line := 1 + strings.Count(strings.TrimSuffix(before, "\n"), "\n")
	start := strings.LastIndexByte(strings.TrimSuffix(before, "\n"), '\n') + 1
	column := max(1, utf8.RuneCountInString(strings.TrimRight(before[start:], "\r\n")))

	lines := strings.Split(string(data), "\n")
	if m := unknownAnchor.FindStringSubmatch(msg); m != nil {
		msg = fmt.Sprintf("unknown anchor %q", m[1])
		if at := strings.Index(lines[line-1], "*"+m[1]); at >= 0 {
			column = 1 + utf8.RuneCountInString(lines[line-1][:at])
		}
	} else if l, c, ok := findInvalid(lines); ok {
		line, column, msg = l, c, "a character that no text has (not UTF-8, or a control character)"
	} else if l, c, ok := findIndentTab(lines, line); ok {
		line, column, msg = l, c, "a tab; YAML is indented with spaces"
	}
	d.add(Pos{d.file, line, column}, "YAML: %s", msg)
}

// complaint is what a YAML error says, without its line.
func complaint(err error) string {
	return errorLine.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "")
}

// shortest is the length of the shortest text, to a line's end and then to a byte, that has a complaint of the whole.
func shortest(data []byte, msg string) int {
	complains := func(text []byte) bool {
		dec := yaml.NewDecoder(bytes.NewReader(text))
		for {
			if _, err := next(dec); err != nil {
				return !errors.Is(err, io.EOF) && complaint(err) == msg
			}
		}
	}
	var ends []int
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	ends = append(ends, len(data))
	last := sort.Search(len(ends)-1, func(i int) bool { return complains(data[:ends[i]]) })
	from := 0
	if last > 0 {
		from = ends[last-1]
	}
	return from + sort.Search(ends[last]-from, func(i int) bool { return complains(data[:from+i]) })
}

// findIndentTab looks for a tab before the first word of the line at fault or of its neighbours: yaml.v3
// blames the construct around it.
func findIndentTab(lines []string, line int) (l, column int, ok bool) {
	for _, i := range []int{line, line + 1, line - 1} {
		if i < 1 || i > len(lines) {
			continue
		}
		s := lines[i-1]
		indent := s[:len(s)-len(strings.TrimLeft(s, " \t"))]
		if at := strings.IndexByte(indent, '\t'); at >= 0 {
			return i, at + 1, true
		}
	}
	return 0, 0, false
}

func findInvalid(lines []string) (line, column int, ok bool) {
	for i, s := range lines {
		s = strings.TrimSuffix(s, "\r")
		for at, r := range s {
			_, size := utf8.DecodeRuneInString(s[at:])
			if r == utf8.RuneError && size == 1 || r < ' ' && r != '\t' || r == 0x7f {
				return i + 1, 1 + utf8.RuneCountInString(s[:at]), true
			}
		}
	}
	return 0, 0, false
}

// sizes counts the values below each node, aliases written out, without writing them out.
type sizes struct {
	of      map[*yaml.Node]int // of anchored nodes; 0 while one is being counted
	culprit *yaml.Node
	problem string
}

// check reports whether a document is of a bearable size.
func (s *sizes) check(root *yaml.Node) bool {
	s.count(root)
	return s.culprit == nil
}

func (s *sizes) count(n *yaml.Node) int {
	if n.Kind == yaml.AliasNode {
		target := n.Alias
		size, seen := s.of[target]
		if !seen || size == 0 {
			// Anchors stand before their aliases, so a target that is not counted holds the alias.
			s.blame(n, fmt.Sprintf("anchor %q contains itself", n.Value))
			return 1
		}
		return size
	}
	if n.Anchor != "" {
		s.of[n] = 0
	}
	total := 1
	for _, c := range n.Content {
		total += s.count(c)
		if total > maxExpanded {
			s.blame(c, fmt.Sprintf("aliases that stand for more than %d values; the file is refused", maxExpanded))
			total = maxExpanded
		}
	}
	if n.Anchor != "" {
		s.of[n] = total
	}
	return total
}

// blame keeps the first problem.
func (s *sizes) blame(n *yaml.Node, problem string) {
	if s.culprit == nil {
		s.culprit, s.problem = n, problem
	}
}
