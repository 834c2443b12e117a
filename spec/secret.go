package spec

import (
	"encoding/base64"
	"fmt"
)

// Secret is a private or preshared key of WireGuard. However it is printed, it is not shown. Zero: none.
type Secret [32]byte

const hidden = "(secret)"

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText keeps it out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// parseKey reads a key as wg(8) prints it: 32 bytes in base64.
func parseKey(text string) (key [32]byte, ok bool) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) != len(key) {
		return key, false
	}
	return [32]byte(b), [32]byte(b) != [32]byte{}
}
