package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"topo/internal/kernel"
)

// A Delta is one attribute that differs. Before or After is "" where it is only on one side.
type Delta struct{ Name, Before, After string }

// changedAttrs compares two resources attribute by attribute, in the order of want's.
// Attributes of the same name (rules) are compared as lists.
func changedAttrs(have, want Resource) []Delta {
	if same(have, want) { // nearly all are
		return nil
	}
	h, w := attrMap(have), attrMap(want)
	var out []Delta
	for _, name := range attrNames(want, have) {
		before, inHave := h[name]
		after, inWant := w[name]
		if before != after || inHave != inWant {
			out = append(out, Delta{name, before, after})
		}
	}
	return out
}

// lengthy is a resource whose last attribute is a text of many lines: in words only where somebody is to read it. All others see the
// pieces, which it shares with others.
type lengthy interface {
	lengthy() ([]Attr, kernel.Text)
}

// same reports whether all attributes are the same.
func same(have, want Resource) bool {
	h, lengthyHave := have.(lengthy)
	w, lengthyWant := want.(lengthy)
	if !lengthyHave || !lengthyWant {
		return slices.Equal(have.Attrs(), want.Attrs())
	}
	haveAttrs, haveText := h.lengthy()
	wantAttrs, wantText := w.lengthy()
	return slices.Equal(haveAttrs, wantAttrs) && haveText.Equal(wantText)
}

// fingerprint stands for the attributes of a resource: hosts files alone would be 25 MB for 1,000 nodes.
func fingerprint(r Resource) string {
	h := sha256.New()
	var attrs []Attr
	var text kernel.Text
	if l, ok := r.(lengthy); ok {
		attrs, text = l.lengthy()
	} else {
		attrs = r.Attrs()
	}
	for _, a := range attrs {
		fmt.Fprintf(h, "%d %s%d %s", len(a.Name), a.Name, len(a.Value), a.Value)
	}
	for _, piece := range text {
		io.WriteString(h, piece) //nolint:errcheck // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// attrMap names an attribute that comes again "rule 2", "rule 3"…
func attrMap(r Resource) map[string]string {
	m := map[string]string{}
	for _, a := range numbered(r) {
		m[a.Name] = a.Value
	}
	return m
}

func numbered(r Resource) []Attr {
	attrs := r.Attrs()
	count := map[string]int{}
	for i, a := range attrs {
		count[a.Name]++
		if n := count[a.Name]; n > 1 {
			attrs[i].Name = fmt.Sprintf("%s %d", a.Name, n)
		}
	}
	return attrs
}

func attrNames(rs ...Resource) []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range rs {
		for _, a := range numbered(r) {
			if !seen[a.Name] {
				seen[a.Name] = true
				out = append(out, a.Name)
			}
		}
	}
	return out
}

func replacedReason(id ID) Reason { return Reason(id.String() + " is replaced") }
