package linux

import (
	"bytes"
	"hash/maphash"
	"slices"

	"topo/internal/kernel"
)

// pieces are those of texts that have much in common, each once.
type pieces struct {
	known map[string]string
	seed  maphash.Seed
	text  kernel.Text // that is being cut
}

func newPieces() pieces { return pieces{known: map[string]string{}, seed: maphash.MakeSeed()} }

// cut cuts a text behind about every 32nd line, by what that says, not by where it is: behind a line that one text has and another one
// hasn't, both are cut at the same lines again.
func (p *pieces) cut(text []byte) kernel.Text {
	p.text = p.text[:0]
	for len(text) > 0 {
		end := 0
		for end < len(text) {
			begin := end
			if length := bytes.IndexByte(text[begin:], '\n'); length >= 0 {
				end += length + 1
			} else {
				end = len(text)
			}
			if maphash.Bytes(p.seed, text[begin:end])%32 == 0 {
				break
			}
		}
		piece, ok := p.known[string(text[:end])]
		if !ok {
			piece = string(text[:end])
			p.known[piece] = piece
		}
		p.text, text = append(p.text, piece), text[end:]
	}
	return slices.Clone(p.text)
}
