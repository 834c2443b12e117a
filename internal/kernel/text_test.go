package kernel

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTextIsTheSameWhereverItIsCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cut := func(s, label string) Text {
			var out Text
			for _, at := range rapid.SliceOfN(rapid.IntRange(0, 8), 0, 6).Draw(t, label) {
				at = min(at, len(s))
				out, s = append(out, s[:at]), s[at:]
			}
			return append(out, s)
		}
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab\n")), 0, 20, -1)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		x, y, z := cut(a, "cuts"), cut(a, "other cuts"), cut(b, "cuts of b")
		if !x.Equal(y) || x.String() != a {
			t.Fatalf("%q and %q are both %q", []string(x), []string(y), a)
		}
		if x.Equal(z) != (a == b) || z.Equal(x) != (a == b) {
			t.Fatalf("%q and %q", []string(x), []string(z))
		}
		if more := append(cut(a, "cuts of a part"), "c"); x.Equal(more) || more.Equal(x) {
			t.Fatalf("%q and %q", []string(x), []string(more))
		}
	})
}
