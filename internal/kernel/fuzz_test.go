package kernel

import (
	"strings"
	"testing"
)

// FuzzMark: what reads as a mark is written the same.
func FuzzMark(f *testing.F) {
	for _, text := range []string{"", "topo:", "topo:p:bridge/app", "topo:@host:forwarding/ipv4", "topo::x", "topo:p:", "docker:p:x", "topo:p:netns/a:b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := ParseMark(text)
		if ok != (m != Mark{}) {
			t.Fatalf("%q: %+v, %t", text, m, ok)
		}
		if ok && m.String() != text {
			t.Errorf("%q reads as %+v, which is written %q", text, m, m.String())
		}
	})
}

// FuzzCanonical: the canonical form of a rule is its own, is one line, and tells no other mark.
func FuzzCanonical(f *testing.F) {
	for _, spec := range []string{
		"-j ACCEPT", "! -i br0 -o br0 -m conntrack ! --ctstate DNAT,ESTABLISHED -m comment --comment topo:p:isolation/app -j DROP",
		`-m comment --comment "topo:p:publish/web 80" -j DNAT --to-destination [fd00::2]:80`, "-p tcp -m tcp --dport 80:81 -j RETURN", `"`, `\`, "!", "-s 10.0.0.1 -d 10.0.0.0/8 -j X",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		once := Canonical(spec)
		if again := Canonical(once); again != once {
			t.Errorf("%q: %q, then %q", spec, once, again)
		}
		if !strings.ContainsAny(spec, "\n\r") && strings.ContainsAny(once, "\n\r") {
			t.Errorf("%q has a line break now: %q", spec, once)
		}
	})
}

// FuzzSecret: a key that is taken is written the same, and never printed.
func FuzzSecret(f *testing.F) {
	f.Add("aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGU=")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err == nil && strings.Contains(s.Print(), strings.TrimSpace(text)) {
			t.Errorf("%q is printed as %q", text, s.Print())
		}
	})
}
