package kernel

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Secret is a private or preshared key of WireGuard. However it is printed, it is not shown. Zero: none.
type Secret [32]byte

const hidden = "(secret)"

// Format implements fmt.Formatter, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText keeps it out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// ParseSecret reads what wg genkey or wg genpsk prints. The error doesn't say what was read.
func ParseSecret(text string) (Secret, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != len(Secret{}) {
		return Secret{}, fmt.Errorf("is no key of WireGuard: %d bytes in base64", len(Secret{}))
	}
	return Secret(b), nil
}

// Public is the public key of a private one, in base64; "" of none.
func (s Secret) Public() string {
	if s == (Secret{}) {
		return ""
	}
	k, err := ecdh.X25519().NewPrivateKey(s[:])
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k.PublicKey().Bytes())
}

// Print tells preshared keys apart without saying what they are: no more of a random key of 32 bytes than four bytes of its hash;
// "" of none.
func (s Secret) Print() string {
	if s == (Secret{}) {
		return ""
	}
	sum := sha256.Sum256(append([]byte("topo preshared key\x00"), s[:]...))
	return hex.EncodeToString(sum[:4])
}

// KeyDir is where the private keys are that topo made: KeyDir/PROJECT/NAME, mode 0600. They outlive namespaces, and reboots.
const KeyDir = "/var/lib/topo/keys"

// KeyRef says where a key is. Zero: there is none.
type KeyRef struct {
	Project, Made string // one that topo made, by its name
	File          string
	Given         Secret
}

// file is where a shell line would read it.
func (k KeyRef) file() string {
	switch {
	case k.Made != "":
		return KeyDir + "/" + k.Project + "/" + k.Made
	case k.File != "":
		return quote(k.File)
	}
	return "/dev/stdin"
}

// WireGuard is what a wireguard link has besides its peers.
type WireGuard struct {
	PublicKey  string // base64; "" = none
	ListenPort int    // of UDP; the kernel's choice where nothing was set
	FwMark     uint32 // 0 = none
	Peers      []WireGuardPeer
}

// WireGuardPeer is a peer of a wireguard link.
type WireGuardPeer struct {
	PublicKey  string
	Endpoint   netip.AddrPort // invalid: none is known
	AllowedIPs []netip.Prefix // sorted
	Keepalive  int            // seconds; 0 = off
	Preshared  string         // [Secret.Print] of it; "" = none
}

// Key is a private key that topo made for a project.
type Key struct {
	Name   string // "hub:wg0"
	Public string // "": what is there is no key
}

// SecretOf says which secret it is: a link's private key, that which it shares with a peer, or one that topo made.
type SecretOf struct {
	Netns, Link string
	Peer        string // public key; "" = the link's own
	Made        string // name
}

// KeyFile is a file with a key in it, as it was found.
type KeyFile struct {
	Public string // as of a private key
	Print  string // as of a preshared one
	Error  string // why it can't be read; "" = it was
}

type (
	// KeyAdd makes a private key, or brings one back (Key), and keeps it; EEXIST where there is one.
	KeyAdd struct {
		Project, Name string
		Key           Secret
	}
	// KeyDelete removes one.
	KeyDelete struct{ Project, Name string }
	// WireGuardSet changes what a wireguard link has besides its peers; nil leaves one alone. The private key must be there.
	WireGuardSet struct {
		Netns, Link string
		PrivateKey  *KeyRef
		ListenPort  *int
		FwMark      *uint32
	}
	// PeerSet makes a peer, or sets all of one that is there; but for an endpoint that is not valid: then it keeps what it has.
	PeerSet struct {
		Netns, Link string
		PublicKey   string // "": that of Key
		Key         KeyRef
		Endpoint    netip.AddrPort
		AllowedIPs  []netip.Prefix
		Keepalive   int
		Preshared   KeyRef
	}
	// PeerDelete removes a peer.
	PeerDelete struct{ Netns, Link, PublicKey string }
)

func (KeyAdd) op()       {}
func (KeyDelete) op()    {}
func (WireGuardSet) op() {}
func (PeerSet) op()      {}
func (PeerDelete) op()   {}

func (o KeyAdd) String() string {
	from := "wg genkey"
	if o.Key != (Secret{}) {
		from = "cat"
	}
	return "(umask 077 && mkdir -p " + KeyDir + "/" + o.Project + " && " + from + " > " + KeyDir + "/" + o.Project + "/" + o.Name + ")"
}

func (o KeyDelete) String() string { return "rm " + KeyDir + "/" + o.Project + "/" + o.Name }

func (o WireGuardSet) String() string {
	var b line
	b.add(wg(o.Netns), "set", o.Link)
	if o.PrivateKey != nil {
		b.add("private-key", o.PrivateKey.file())
	}
	if o.ListenPort != nil {
		b.add("listen-port", strconv.Itoa(*o.ListenPort))
	}
	if o.FwMark != nil {
		b.add("fwmark", strconv.FormatUint(uint64(*o.FwMark), 10))
	}
	return b.String()
}

func (o PeerSet) String() string {
	var b line
	peer := o.PublicKey
	if peer == "" {
		peer = `"$(wg pubkey < ` + o.Key.file() + `)"`
	}
	b.add(wg(o.Netns), "set", o.Link, "peer", peer, "preshared-key")
	if o.Preshared == (KeyRef{}) {
		b.add("/dev/null")
	} else {
		b.add(o.Preshared.file())
	}
	if o.Endpoint.IsValid() {
		b.add("endpoint", o.Endpoint.String())
	}
	b.add("persistent-keepalive", strconv.Itoa(o.Keepalive), "allowed-ips", quote(PrefixText(o.AllowedIPs)))
	return b.String()
}

func (o PeerDelete) String() string {
	return wg(o.Netns) + " set " + o.Link + " peer " + o.PublicKey + " remove"
}

// PrefixText is prefixes in one word.
func PrefixText(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i, p := range list {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}

func wg(netns string) string {
	if netns == "" {
		return "wg"
	}
	return "ip netns exec " + netns + " wg"
}
