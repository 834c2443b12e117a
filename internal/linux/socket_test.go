package linux

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// Links come and go all the time while the host is read: no reading may be torn, so the bridge that is there from
// before is in each one exactly once.
func TestSnapshotUnderChurn(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	h := open(t)
	do(t, h, bridge("br0")...)
	for i := range 100 { // enough for a dump of several parts
		do(t, h, kernel.VethAdd{A: kernel.VethEnd{Name: "a" + itoa(i)}, B: kernel.VethEnd{Name: "b" + itoa(i)}})
	}
	stop := make(chan struct{})
	var g errgroup.Group
	for w := range 2 {
		g.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				name := "x" + itoa(w)
				err := h.Do(t.Context(), []kernel.Op{
					kernel.VethAdd{A: kernel.VethEnd{Name: name}, B: kernel.VethEnd{Name: "y" + itoa(w)}}, kernel.LinkDelete{Name: name},
				})
				if err != nil {
					return err
				}
			}
		})
	}
	for range 100 {
		links, err := readLinks(h.conn)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for _, l := range links {
			seen[l.Name]++
		}
		for i := range 100 {
			if seen["a"+itoa(i)] != 1 || seen["b"+itoa(i)] != 1 {
				t.Fatalf("torn: a%d %d times, b%d %d times", i, seen["a"+itoa(i)], i, seen["b"+itoa(i)])
			}
		}
	}
	close(stop)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestUntorn(t *testing.T) {
	t.Parallel()
	tries := 0
	if err := untorn(func() error {
		if tries++; tries < 5 {
			return errInterrupted
		}
		return nil
	}); err != nil || tries != 5 {
		t.Errorf("%v after %d tries", err, tries)
	}
	tries = 0
	if err := untorn(func() error { tries++; return errInterrupted }); !errors.Is(err, ErrTorn) || tries != dumpTries {
		t.Errorf("%v after %d tries", err, tries)
	}
	tries = 0
	if err := untorn(func() error { tries++; return unix.EPERM }); !errors.Is(err, unix.EPERM) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

// What a kernel answers is played to a socket: a torn dump is not taken for a whole one.
func TestInterruptedDumpIsRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		torn      int // dumps that are interrupted before one that is not
		wantTries int
		want      error
	}{
		{"once", 1, 2, nil},
		{"never", 0, 1, nil},
		{"always", dumpTries, dumpTries, ErrTorn},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			conn := answering(t, func(seq uint32) []byte {
				tries++
				first := uint16(unix.NLM_F_MULTI)
				if tries <= c.torn {
					first |= unix.NLM_F_DUMP_INTR
				}
				return append(netlinkMessage(unix.RTM_NEWLINK, first, seq, 0), netlinkMessage(unix.NLMSG_DONE, unix.NLM_F_MULTI, seq, 0)...)
			})
			entries := 0
			err := conn.dump(unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), func() { entries = 0 }, func([]byte) error { entries++; return nil })
			if !errors.Is(err, c.want) || err == nil && entries != 1 || tries != c.wantTries {
				t.Errorf("%v with %d entries after %d tries", err, entries, tries)
			}
		})
	}
}

// A kernel that was built without policy rules (CONFIG_FIB_RULES) could not be read at all.
func TestKernelWithoutPolicyRules(t *testing.T) {
	t.Parallel()
	conn := answering(t, func(seq uint32) []byte { return netlinkMessage(unix.NLMSG_ERROR, 0, seq, unix.EOPNOTSUPP) })
	if rules, err := readPolicyRules(conn); len(rules) != 0 || err != nil {
		t.Errorf("%v, %v", rules, err)
	}
	conn = answering(t, func(seq uint32) []byte { return netlinkMessage(unix.NLMSG_ERROR, 0, seq, unix.ENOMEM) })
	if _, err := readPolicyRules(conn); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("%v", err)
	}
}

// answering is a socket to a kernel that answers each request, by its number, as a test has it.
func answering(t *testing.T, answer func(seq uint32) []byte) *conn {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{fd: pair[0], host: &Host{}, send: func(_ int, request []byte) error {
		_, err := unix.Write(pair[1], answer(unsigned(request[8:])))
		return err
	}}
	t.Cleanup(func() { c.close(); unix.Close(pair[1]) })
	return c
}

func netlinkMessage(kind, flags uint16, seq uint32, refusal unix.Errno) []byte {
	b := binary.NativeEndian.AppendUint32(nil, unix.SizeofNlMsghdr+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return binary.NativeEndian.AppendUint32(b, -uint32(refusal))
}
