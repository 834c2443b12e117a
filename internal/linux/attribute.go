package linux

import (
	"encoding/binary"
	"iter"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// align rounds up to the 4 bytes of netlink (NLMSG_ALIGNTO, NLA_ALIGNTO).
func align(n int) int { return (n + 3) &^ 3 }

// attributes are those in a message's or attribute's body (netlink(7)). The flags of the type are removed.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// after is what follows a fixed header in a body.
func after(b []byte, header int) []byte { return b[min(header, len(b)):] }

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
func number(b []byte) int  { return int(unsigned(b)) }
func signed(b []byte) int  { return int(int32(unsigned(b))) }

func mac(b []byte) string { return net.HardwareAddr(b).String() }
func unsigned(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// truth reads a truth value of one byte.
func truth(b []byte) bool { return len(b) == 1 && b[0] != 0 }

func short(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.NativeEndian.Uint16(b)
}

// address reads 4 or 16 bytes; anything else gives the zero Addr.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func textAttr(kind int, s string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(s)) }
func byteAttr(kind int, on bool) *nl.RtAttr {
	return nl.NewRtAttr(kind, []byte{oneIf(on)})
}

func oneIf(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func shortAttr(kind int, n uint16) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.NativeEndian.AppendUint16(nil, n))
}

func numberAttr(kind int, n uint32) *nl.RtAttr {
	return nl.NewRtAttr(kind, binary.NativeEndian.AppendUint32(nil, n))
}

// parts are a header and what follows it, as one.
type parts []nl.NetlinkRequestData

func (p parts) Len() int { return len(p.Serialize()) }
func (p parts) Serialize() []byte {
	var b []byte
	for _, d := range p {
		b = append(b, d.Serialize()...)
	}
	return b
}
