package kernel

import (
	"strings"
	"testing"
	"unicode"
)

// FuzzQuote: a word of a shell line is what it was, and what is shown on a terminal does nothing there.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{"a", "", "'", "a'b", "$(id)", "a\nb", "\x1b[2J", "\xff", "é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := unquote(quote(text)); got != text {
			t.Errorf("%q is %q after quoting", text, got)
		}
		if shown := Printable(text); strings.ContainsFunc(shown, unicode.IsControl) {
			t.Errorf("%q is shown as %q", text, shown)
		}
	})
}

// unquote reads one word as a POSIX shell does.
func unquote(word string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '\'':
			quoted = !quoted
		case c == '\\' && !quoted && i+1 < len(word):
			i++
			b.WriteByte(word[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
