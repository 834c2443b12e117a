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
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			conn := &conn{fd: pair[0], trace: &(&Host{}).trace, send: func(fd int, b []byte) error { return unix.Sendto(fd, b, 0, nil) }}
			defer conn.close()
			tries := 0
			var g errgroup.Group
			g.Go(func() error {
				defer unix.Close(pair[1])
				buf := make([]byte, 4096)
				for tries < c.wantTries {
					n, err := unix.Read(pair[1], buf)
					if err != nil || n < unix.SizeofNlMsghdr {
						return err
					}
					tries++
					seq := binary.NativeEndian.Uint32(buf[8:])
					flags := uint16(unix.NLM_F_MULTI)
					first := flags
					if tries <= c.torn {
						first |= unix.NLM_F_DUMP_INTR
					}
					answer := append(netlinkMessage(unix.RTM_NEWLINK, first, seq), netlinkMessage(unix.NLMSG_DONE, flags, seq)...)
					if _, err := unix.Write(pair[1], answer); err != nil {
						return err
					}
				}
				return nil
			})
			entries := 0
			err = conn.dump(unix.RTM_GETLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), func() { entries = 0 }, func([]byte) error { entries++; return nil })
			if !errors.Is(err, c.want) || err == nil && entries != 1 {
				t.Errorf("%v with %d entries", err, entries)
			}
			if err := g.Wait(); err != nil || tries != c.wantTries {
				t.Errorf("%d tries, %v", tries, err)
			}
		})
	}
}

func netlinkMessage(kind, flags uint16, seq uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, unix.SizeofNlMsghdr+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return append(b, 0, 0, 0, 0)
}
