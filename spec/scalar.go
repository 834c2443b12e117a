package spec

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/xhit/go-str2duration/v2"
	"gopkg.in/yaml.v3"
)

// leaf is a raw type that is a scalar in YAML.
type leaf interface {
	placed
	// read takes the scalar's text; a problem reads on after the name of the key.
	read(s scalar) (problem string)
}

// scalar is the text of a value after interpolation.
type scalar struct {
	text string
	tag  string // what YAML takes it for; [strTag] for quoted text
}

type (
	// text is a string. A number or a word like true must be quoted.
	text struct {
		origin
		Value string
	}
	// word is a string that may be written as a number or a truth value: it counts as it is written.
	word struct {
		origin
		Value string
	}
	// maybe is a word that may be left out.
	maybe struct {
		word
		Null bool // the key has no value
	}
	// number is an integer.
	number struct {
		origin
		Value int
	}
	// flag is a truth value.
	flag struct {
		origin
		Value bool
	}
	// span is a duration in Compose's format ("1m30s", "2.5h").
	span struct {
		origin
		Value time.Duration
	}
)

// scalar decodes a node that must be a scalar.
func (d *decoder) scalar(n *yaml.Node, v leaf, what string, r rule) {
	if problem := d.read(n, v, what, r); problem != "" {
		d.add(d.at(n), "%s", problem)
		v.spoil(d.at(n))
		return
	}
	v.place(d.at(n))
}

func (d *decoder) read(n *yaml.Node, v leaf, what string, r rule) (problem string) {
	if n.Kind != yaml.ScalarNode {
		return what + " must be " + kindOf(v) + ", not " + describe(n)
	}
	switch n.Tag {
	case strTag, intTag, floatTag, boolTag, timeTag, nullTag, mergeTag:
	default:
		return "tag " + n.Tag + " is not supported"
	}
	s, problem := d.interpolate(n)
	if problem != "" {
		return problem
	}
	if _, ok := v.(*maybe); isNull(n) && !ok {
		return what + " has no value"
	}
	problem = v.read(s)
	if problem == "" {
		problem = r.check(v)
	}
	if problem != "" {
		problem = what + " " + problem
	}
	return problem
}

func kindOf(v leaf) string {
	switch v.(type) {
	case *number:
		return "a whole number"
	case *flag:
		return "true or false"
	case *span:
		return "a duration"
	}
	return "text"
}

// interpolate puts in the variables (https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md).
func (d *decoder) interpolate(n *yaml.Node) (s scalar, problem string) {
	s = scalar{text: n.Value, tag: n.Tag}
	if !strings.Contains(n.Value, "$") {
		return s, ""
	}
	text, err := template.SubstituteWithOptions(n.Value, d.variable, template.WithoutLogging,
		template.WithReplacementFunction(func(expr string, m template.Mapping, c *template.Config) (string, error) {
			value, known, err := template.DefaultReplacementAppliedFunc(expr, m, c)
			if !known && err == nil {
				d.warnings.add(d.at(n), "variable %s is not set, and taken for empty", strings.Trim(expr, "${}"))
			}
			return value, err
		}))
	var invalid *template.InvalidTemplateError
	switch {
	case errors.As(err, &invalid):
		return s, "invalid interpolation in " + strconv.Quote(n.Value) + "; a dollar sign is written $$"
	case err != nil:
		return s, err.Error()
	}
	return scalar{text: text, tag: strTag}, ""
}

func (d *decoder) variable(name string) (string, bool) {
	v, ok := d.env[name]
	return v, ok
}

func (t *text) read(s scalar) string {
	if s.tag != strTag && s.tag != mergeTag {
		return "must be text, not " + s.kind() + "; quote it"
	}
	t.Value = s.text
	return ""
}

func (w *word) read(s scalar) string {
	w.Value = s.text
	return ""
}

func (m *maybe) read(s scalar) string {
	if m.Null = s.tag == nullTag; m.Null {
		return ""
	}
	return m.word.read(s)
}

// read takes quoted numbers, too, as Compose does for its integers.
func (v *number) read(s scalar) string {
	n, err := strconv.Atoi(s.text)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return "is out of range: " + s.text
	case err != nil && s.tag == boolTag:
		return "must be a whole number, not " + s.kind()
	case err != nil:
		return "must be a whole number, not " + strconv.Quote(s.text)
	}
	v.Value = n
	return ""
}

// read takes the words of YAML 1.1 as well, as Compose does.
func (v *flag) read(s scalar) string {
	switch strings.ToLower(s.text) {
	case "true", "yes", "y", "on":
		v.Value = true
	case "false", "no", "n", "off":
		v.Value = false
	default:
		return "must be true or false, not " + s.quoted()
	}
	return ""
}

func (v *span) read(s scalar) string {
	d, err := str2duration.ParseDuration(s.text)
	switch {
	case err != nil:
		return "must be a duration like 1m30s, not " + strconv.Quote(s.text)
	case d < 0:
		return "must not be negative"
	}
	v.Value = d
	return ""
}

func (s scalar) kind() string { return describe(&yaml.Node{Kind: yaml.ScalarNode, Tag: s.tag}) }

func (s scalar) quoted() string {
	if s.tag == strTag {
		return strconv.Quote(s.text)
	}
	return s.kind()
}

// check applies what the field's tags demand.
func (r rule) check(v leaf) string {
	switch v := v.(type) {
	case *number:
		if r.min != nil && v.Value < *r.min || r.max != nil && v.Value > *r.max {
			return r.bounds()
		}
	case *text:
		if len(r.words) > 0 && !slices.Contains(r.words, v.Value) {
			return "can't be " + strconv.Quote(v.Value) + suggestOrList(v.Value, r.words)
		}
	}
	return ""
}

func (r rule) bounds() string {
	switch {
	case r.max == nil:
		return "must be at least " + strconv.Itoa(*r.min)
	case r.min == nil:
		return "must be at most " + strconv.Itoa(*r.max)
	}
	return "must be from " + strconv.Itoa(*r.min) + " to " + strconv.Itoa(*r.max)
}
