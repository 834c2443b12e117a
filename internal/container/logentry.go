package container

import (
	"time"
	"unicode/utf8"
)

// entry is a line of a log file, in the form of Docker's json-file driver. A line of more than maxLine
// bytes is several entries, of which only the last ends with a newline.
type entry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"` // "stdout" or "stderr"
	Time   time.Time `json:"time"`
}

const maxLine = 16 << 10 // Docker's

// appendEntry adds an entry to a file's data, as json.Marshal would, in a fraction of its time. Bytes that are no text
// become U+FFFD.
func appendEntry(data, text []byte, stream string, at time.Time) []byte {
	data = append(data, `{"log":"`...)
	data = appendQuoted(data, text)
	data = append(data, `","stream":"`...)
	data = append(data, stream...)
	data = append(data, `","time":"`...)
	data = at.AppendFormat(data, time.RFC3339Nano)
	return append(data, "\"}\n"...)
}

// appendQuoted adds text as it stands between the quotes of JSON, RFC 8259 section 7.
func appendQuoted(data, s []byte) []byte {
	const hex = "0123456789abcdef"
	plain := 0 // the beginning of what is taken as it is
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRune(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		data = append(data, s[plain:i]...)
		switch {
		case c == '\n':
			data = append(data, `\n`...)
		case c == '"', c == '\\':
			data = append(data, '\\', c)
		case c < ' ':
			data = append(data, `\u00`...)
			data = append(data, hex[c>>4], hex[c&15])
		default:
			data = append(data, `\ufffd`...)
		}
		i += size
		plain = i
	}
	return append(data, s[plain:]...)
}
