package container

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// What was written to, or may be, is not in the file: a program that lost it would crash.
func TestUnwritten(t *testing.T) {
	t.Parallel()
	const smaps = `00400000-00acc000 r-xp 00000000 fe:00 9986790                            /usr/local/bin/topo of mine
Rss:                5360 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00acc000-0119f000 r--p 006cc000 fe:00 9986790                            /usr/local/bin/topo of mine
Anonymous:             0 kB
0119f000-01230000 rw-p 00d9f000 fe:00 9986790                            /usr/local/bin/topo of mine
Anonymous:             0 kB
7f5e93032000-7f5e93036000 r--p 001cf000 fe:00 326269                     /usr/lib/x86_64-linux-gnu/libc.so.6
Anonymous:            16 kB
7f5e93050000-7f5e93054000 r--p 00000000 00:00 0                          [vvar]
Anonymous:             0 kB
7f5e93045000-7f5e93046000 r--p 00000000 00:00 0 
Anonymous:             0 kB
`
	got := unwritten(strings.NewReader(smaps))
	if fmt.Sprintf("%x", got) != "[{400000 acc000} {acc000 119f000}]" {
		t.Errorf("%x", got)
	}
}

// A supervisor of many containers is small once they run: 8 MB, and 13 KB for each, which makes 12 MB for 300.
func TestMemory(t *testing.T) {
	many := fully(t, 60, 300)
	boxes(t, func(l *lab) {
		begin := time.Now()
		var starts errgroup.Group
		starts.SetLimit(8) // as the executor
		for i := range many {
			starts.Go(func() error {
				p := l.complete(kernel.Process{Node: fmt.Sprintf("n%d", i), Container: true, Argv: []string{"sleep", "1000"}, StopSignal: "SIGKILL"})
				return l.Do(l.Context(), kernel.ProcessStart{Process: p})
			})
		}
		if err := starts.Wait(); err != nil {
			l.Fatal(err)
		}
		pid := findSupervisor(l.layout(l.project)).PID
		up := time.Since(begin)
		l.Logf("%d containers: up in %v, then %d KiB", many, up, resident(l, pid))
		if up > time.Minute {
			l.Errorf("starting took %v", up)
		}
		limit := 8<<10 + 13*many // KiB
		testhost.Poll(l, func() error {
			if kib := resident(l, pid); kib > limit {
				return fmt.Errorf("the supervisor of %d containers takes %d KiB, more than %d", many, kib, limit)
			}
			return nil
		})
		l.Logf("and %d KiB", resident(l, pid))
	})
}

// resident is what a process has in memory, in KiB.
func resident(l *lab, pid int) int {
	l.Helper()
	for line := range strings.Lines(testhost.Run(l, "cat", fmt.Sprintf("/proc/%d/smaps_rollup", pid))) {
		if words := strings.Fields(line); words[0] == "Rss:" {
			kib, err := strconv.Atoi(words[1])
			if err != nil {
				l.Fatal(err)
			}
			return kib
		}
	}
	l.Fatalf("process %d has no Rss", pid)
	return 0
}
