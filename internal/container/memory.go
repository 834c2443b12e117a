package container

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor lives for as long as its project, mostly without anything to do, and is a program with all of topo in
// it. thrift keeps it small: what its work took is given back when that is done.
type thrift struct {
	mu    sync.Mutex
	timer *time.Timer // runs when there is something to give back
	since time.Time   // when that began
}

// garbage is how much the heap may grow, in percent of what is in use, until it is looked through: half of Go's
// default. What a supervisor keeps is little, so that this costs little.
const garbage = 50

// after has memory given back a moment after work was done. A supervisor that is always at work does so every ten
// seconds: it takes a few milliseconds, and what was needed comes again.
func (t *thrift) after() {
	const moment, patience = 2 * time.Second, 10 * time.Second
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		t.since = time.Now()
		t.timer = time.AfterFunc(moment, t.giveBack)
		return
	}
	t.timer.Reset(min(moment, patience-time.Since(t.since)))
}

func (t *thrift) giveBack() {
	t.mu.Lock()
	t.timer = nil
	t.mu.Unlock()
	debug.FreeOSMemory()
	forgetProgram()
}

// forgetProgram unmaps the pages of this program's own file that were touched, most of them while it began: the kernel maps
// 64 KiB around each (fault_around_bytes), and takes none back as long as it has memory. What is needed comes again
// from the page cache.
func forgetProgram() {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range unwritten(f) {
		// Through the raw call: these bytes are none of Go's memory. It is an advice: an error changes nothing.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.begin, m.end-m.begin, unix.MADV_DONTNEED)
	}
}

// mapping is a part of a process's addresses.
type mapping struct{ begin, end uintptr }

// unwritten lists, of a file smaps of proc_pid_smaps(5), the mappings of files that can't be written to and never
// were (a linker may have, before it made them read-only): all that is in them is in the file.
func unwritten(smaps io.Reader) []mapping {
	var found []mapping
	var m mapping
	var mode, path string
	for in := bufio.NewScanner(smaps); in.Scan(); {
		words := strings.Fields(in.Text())
		switch {
		case len(words) >= 5 && strings.Contains(words[0], "-"):
			if _, err := fmt.Sscanf(words[0], "%x-%x", &m.begin, &m.end); err != nil {
				return nil
			}
			mode, path = words[1], strings.Join(words[5:], " ")
		case len(words) == 3 && words[0] == "Anonymous:":
			if words[1] == "0" && (mode == "r-xp" || mode == "r--p") && strings.HasPrefix(path, "/") {
				found = append(found, m)
			}
		}
	}
	return found
}
