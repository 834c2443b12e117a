package planner

import (
	"strings"
)

// natural is a name in a form in which names, compared byte by byte, have their numbers in order: n9 comes before n10.
func natural(name string) string {
	var b strings.Builder
	for name != "" {
		n := digits(name)
		if n == 0 {
			b.WriteByte(name[0])
			name = name[1:]
			continue
		}
		number := strings.TrimLeft(name[:n], "0")
		b.WriteByte('0') // beside other characters, any digit
		b.WriteByte(byte(len(number)))
		b.WriteString(number)
		b.WriteByte(byte(n)) // n01 comes after n1
		name = name[n:]
	}
	return b.String()
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
