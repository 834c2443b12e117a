package kernel

import "strings"

// Text is a text in pieces of whole lines, which several texts may share: each of 1,000 nodes has a hosts file that names all 1,000. Where
// it is cut says nothing.
type Text []string

// String puts the pieces together.
func (t Text) String() string { return strings.Join(t, "") }

// MarshalText puts the pieces together.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Equal reports whether two texts say the same, wherever they are cut.
func (t Text) Equal(other Text) bool {
	a, b := "", ""
	for {
		for a == "" && len(t) > 0 {
			a, t = t[0], t[1:]
		}
		for b == "" && len(other) > 0 {
			b, other = other[0], other[1:]
		}
		n := min(len(a), len(b))
		if n == 0 {
			return a == b
		}
		if a[:n] != b[:n] {
			return false
		}
		a, b = a[n:], b[n:]
	}
}
