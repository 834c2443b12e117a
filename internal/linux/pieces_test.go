package linux

import (
	"fmt"
	"strings"
	"testing"
)

// Of texts that differ in a line each, most pieces are the same: all of them take little more room than one.
func TestTextsInCommonHaveTheirPiecesOnce(t *testing.T) {
	t.Parallel()
	p := newPieces()
	const texts, lines = 200, 1000
	whole, taken := 0, 0
	for n := range texts {
		var b strings.Builder
		fmt.Fprintf(&b, "10.0.0.1 n%d\n", n)
		for i := range lines {
			if i != n {
				fmt.Fprintf(&b, "10.0.%d.%d n%d\n", i/250, i%250, i)
			}
		}
		text := b.String()
		if got := p.cut([]byte(text)); got.String() != text {
			t.Fatalf("text %d is another one", n)
		}
		whole += len(text)
	}
	for piece := range p.known {
		taken += len(piece)
	}
	if taken > whole/4 {
		t.Errorf("%d bytes of %d", taken, whole)
	}
	for _, text := range []string{"", "\n", "without an end", "a\nb"} {
		if got := p.cut([]byte(text)); got.String() != text {
			t.Errorf("%q is %q", text, got)
		}
	}
}
