package reliability_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"topo/internal/kernel"
	"topo/internal/linux"
	"topo/internal/testhost"
	"topo/internal/topogen"
)

// drawn are the options of topologies that are drawn: of what every kernel has, with processes, or of all.
// In the virtual machine overlays would stand too deep for processes: its root is one already.
func drawn(all bool) topogen.Options { return topogen.Options{Processes: !all, Plain: !all} }

// draw gives one of the files that rapid would; the same for the same number.
func draw(n uint64, project string, o topogen.Options) *topogen.File {
	return rapid.Custom(func(t *rapid.T) *topogen.File { return topogen.Draw(t, project, o) }).Example(int(n))
}

// alter gives a file that is a little different.
func alter(n uint64, f *topogen.File, o topogen.Options) *topogen.File {
	return rapid.Custom(func(t *rapid.T) *topogen.File { return topogen.Change(t, f, o) }).Example(int(n))
}

// drawnHost is a machine for topologies that are drawn.
func drawnHost(t *testing.T) *host {
	t.Helper()
	h := &host{T: t, file: filepath.Join(t.TempDir(), "topo.yaml"), random: rand.New(rand.NewPCG(*seed, 2))}
	h.Logf("seed %d", *seed)
	return h
}

// write makes a file that of the host.
func (h *host) write(f *topogen.File) {
	h.Helper()
	if err := os.WriteFile(h.file, f.YAML(), 0o600); err != nil {
		h.Fatal(err)
	}
}

// TestDrift edits the machine behind topo's back: one attribute of one thing. A plan names it, and nothing else where nothing
// else follows from the edit; up repairs it, and all that the plan does not name stays what it was: the index of a link, the
// inode of a namespace, a process, a connection.
func TestDrift(t *testing.T) { drift(t, false) }

// TestVMDrift is the same of what needs a kernel with everything.
func TestVMDrift(t *testing.T) { drift(t, true) }

func drift(t *testing.T, all bool) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	files, each := 2, 4
	if *whole {
		files, each = 80, 25
	}
	if all {
		testhost.Netem(t)
		testhost.VLANFiltering(t)
		if *whole {
			files = 40
		}
	}
	h := drawnHost(t)
	d := newDrifted(h)
	for range files {
		f := draw(h.random.Uint64()>>1, "p", drawn(all))
		h.write(f)
		h.before = h.machine()
		h.must("up")
		d.files++
		failed := d.failed
		d.stands(func(edits []topogen.Edit) []topogen.Edit {
			var chosen []topogen.Edit
			for range min(each, len(edits)) {
				chosen = append(chosen, edits[h.random.IntN(len(edits))])
			}
			return chosen
		})
		h.must("down", "-v")
		if diff := h.residue(); diff != "" {
			t.Fatalf("down leaves (-before +after):\n%s\n%s", diff, f.YAML())
		}
		if *whole {
			t.Logf("%d edits of %d topologies", d.edits, d.files)
		}
		if d.failed > failed {
			t.Logf("the file:\n%s", f.YAML())
		}
		if d.failed > enoughFailures {
			break
		}
	}
	if d.edits == 0 || *whole && d.connections == 0 {
		t.Errorf("%d edits, a connection through %d of them", d.edits, d.connections)
	}
	d.figure(t, map[bool]string{false: "plain kernel", true: "full kernel"}[all])
}

// enoughFailures are as many as anybody reads.
const enoughFailures = 10

// drifts is what came of edits. A connection is counted once for each edit that it must outlive.
type drifts struct{ files, edits, unnamed, unrepaired, changed, connections, cut, failed int }

func (d *drifts) figure(t *testing.T, what string) {
	t.Helper()
	t.Logf("figure: drift, %s: %d edits of %d topologies, %d not named, %d not repaired, %d identities lost, %d of %d connections lost",
		what, d.edits, d.files, d.unnamed, d.unrepaired, d.changed, d.cut, d.connections)
}

// drifted is a machine that is edited behind topo's back.
type drifted struct {
	*host
	drifts
	m     *linux.Host
	conns []*connection
	// machine is what the whole machine was when it was last looked at, and since are the edits from then on.
	want  []string
	since []string
}

func newDrifted(h *host) *drifted {
	h.Helper()
	m, err := linux.Open()
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { m.Close() })
	return &drifted{host: h, m: m}
}

// fail says what an edit came to.
func (d *drifted) fail(count *int, format string, args ...any) {
	d.Helper()
	*count++
	d.failed++
	d.Errorf(format, args...)
}

// between is after how many edits the whole machine is compared, which takes longer than an edit and its repair: every time a reading
// of topo's own is, and the plan after up is empty, or up fails.
const between = 5

// stands makes edits of a topology that is up, and has each repaired. Edits are chosen by name: those that are there change with each.
func (d *drifted) stands(choose func([]topogen.Edit) []topogen.Edit) {
	d.Helper()
	d.connect()
	d.want, d.since = d.standing(), nil
	s := d.read()
	for n, chosen := range choose(topogen.Edits(s, "p")) {
		edits := topogen.Edits(s, "p")
		i := slices.IndexFunc(edits, func(e topogen.Edit) bool { return e.Name == chosen.Name })
		if i < 0 {
			d.Fatalf("%s: there is nothing to edit any more", chosen.Name)
		}
		s = d.edit(s, edits[i])
		if n%between == between-1 {
			d.same()
		}
	}
	d.same()
	d.disconnect()
}

// same expects the whole machine to be what it was before the last edits.
func (d *drifted) same() {
	d.Helper()
	if diff := testhost.Await(d.want, d.standing); diff != "" {
		d.fail(&d.unrepaired, "up doesn't make the machine what it was (-was +is):\n%s\n%s", diff, strings.Join(d.since, "\n"))
		d.want = d.standing()
	}
	d.since = nil
}

// edit makes an edit, and has it repaired. It gives a reading of the machine afterwards.
func (d *drifted) edit(s kernel.Snapshot, edit topogen.Edit) kernel.Snapshot {
	d.Helper()
	ids, cut := identities(d.host, s), d.separates(edit)
	if err := d.m.Do(d.Context(), edit.Ops); err != nil {
		d.Errorf("nobody can make this edit: %s: %v", edit.Name, err)
		return s
	}
	d.edits++
	if strings.HasPrefix(edit.Name, "deletion of namespace") {
		d.emptied()
	}
	p := d.plan()
	d.since = append(d.since, fmt.Sprintf("%s: %+v", edit.Name, p.Changes))
	named := slices.ContainsFunc(p.Changes, func(c planned) bool { return c.ID == edit.ID })
	if len(p.Changes) == 0 || edit.ID != "" && !named || edit.Exact && len(p.Changes) != 1 {
		d.fail(&d.unnamed, "%s: the plan should name %s (nothing else: %t):\n%+v", edit.Name, edit.ID, edit.Exact, p.Changes)
	}
	if out, code := d.topo("up"); code != 0 {
		d.fail(&d.unrepaired, "%s: up: exit code %d\n%s", edit.Name, code, out)
		return d.read()
	}
	if err := d.m.Do(d.Context(), edit.Undo); err != nil {
		d.Fatalf("%s: %v", edit.Name, err)
	}
	s = d.read()
	now := identities(d.host, s)
	for id, was := range ids {
		if is := now[id]; is.is != was.is && !slices.ContainsFunc(p.Changes, func(c planned) bool { return slices.Contains(was.with, c.ID) }) {
			d.fail(&d.changed, "%s: %s was %s and is %s; the plan doesn't say so:\n%+v", edit.Name, id, was.is, is.is, p.Changes)
		}
	}
	d.alive(edit, cut)
	return s
}

// emptied waits until the kernel has taken down what was in a deleted namespace: not long, since a process that is in it keeps it.
func (d *drifted) emptied() {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), 2*time.Second)
	defer cancel()
	if err := d.m.Settle(ctx, kernel.Query{Project: "p"}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		d.Fatal(err)
	}
}

func (d *drifted) read() kernel.Snapshot {
	d.Helper()
	s, err := d.m.Snapshot(d.Context(), kernel.Query{Project: "p"})
	if err != nil {
		d.Fatal(err)
	}
	return s
}

type planned struct{ ID, Action, Reason string }

// plan is what topo plan says.
func (h *host) plan() (p struct{ Changes []planned }) {
	h.Helper()
	// Warnings go to stderr.
	out := testhost.Run(h, append([]string{os.Getenv(binaryVariable)}, h.args([]string{"plan", "--json"})...)...)
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		h.Fatalf("topo plan: %v\n%s", err, out)
	}
	return p
}

// identity is what tells a thing from another one that is like it.
type identity struct {
	is   string
	with []string // the resources with which it is made anew
}

// topoProcess is a process that topo has left behind: a node's, or that which looks after them.
var topoProcess = regexp.MustCompile(`^ *(\d+) (.*(?:sleep infinity|supervisor).*)$`)

// forked reports whether a process of this command line is a copy of its parent's, which is about to become another program, or has.
func forked(pid, command string) bool {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return true // it has ended since
	}
	_, parent, _ := strings.Cut(string(status), "PPid:\t")
	parent, _, _ = strings.Cut(parent, "\n")
	own, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	its, _ := os.ReadFile("/proc/" + parent + "/cmdline")
	now := strings.ReplaceAll(strings.TrimRight(string(own), "\x00"), "\x00", " ")
	return now != command || bytes.Equal(own, its)
}

// identities are those of all that a project has, and of all else.
func identities(h *host, s kernel.Snapshot) map[string]identity {
	h.Helper()
	ids := map[string]identity{}
	resource := func(netns, node string, l kernel.Link) string {
		if m, ok := kernel.ParseMark(l.Alias); ok && m.Project == "p" && l.Name != "lo" {
			return m.ID
		}
		return "link/" + node + ":" + l.Name
	}
	nodes := map[string]string{"": "host"}
	for _, n := range s.Netns {
		if n.Mark.Project == "p" {
			nodes[n.Name] = strings.TrimPrefix(n.Mark.ID, "netns/")
		}
	}
	for _, n := range append([]kernel.Netns{s.Host}, s.Netns...) {
		node, ok := nodes[n.Name]
		if !ok {
			continue
		}
		if n.Name != "" {
			var stat unix.Stat_t
			if err := unix.Stat("/run/netns/"+n.Name, &stat); err != nil {
				h.Fatal(err)
			}
			ids["netns "+n.Name] = identity{fmt.Sprint(stat.Ino), []string{n.Mark.ID}}
		}
		for _, l := range n.Links {
			with := []string{n.Mark.ID, resource(n.Name, node, l)}
			if l.Peer.Name != "" { // one is made with the other
				far := nodes[l.Peer.Netns]
				with = append(with, "netns/"+far, "link/"+far+":"+l.Peer.Name)
				for _, n := range append([]kernel.Netns{s.Host}, s.Netns...) {
					for _, x := range n.Links {
						if n.Name == l.Peer.Netns && x.Name == l.Peer.Name {
							with = append(with, resource(n.Name, far, x))
						}
					}
				}
			}
			ids["link "+node+":"+l.Name] = identity{fmt.Sprint(l.Index), with}
		}
	}
	for _, line := range testhost.Processes(h.T) {
		if m := topoProcess.FindStringSubmatch(line); m != nil && !forked(m[1], m[2]) {
			with := []string{"supervisor/p"} // nothing that an edit here does ends it by itself
			for _, node := range nodes {
				with = append(with, "netns/"+node)
			}
			ids["process "+m[1]] = identity{m[2], with}
		}
	}
	return ids
}

// connection is a TCP connection through the topology.
type connection struct {
	from, to   string // namespaces
	near, far  net.Conn
	addr       netip.Addr
	lastLetter byte
}

// connect opens a connection between nodes that have an address in the same subnet, as many as there are.
func (d *drifted) connect() {
	d.Helper()
	s := d.read()
	const many = 3
	for _, to := range s.Netns {
		for _, a := range to.Addrs {
			if to.Mark.Project != "p" || a.Link == "lo" || !a.Prefix.Addr().Is4() {
				continue
			}
			for _, from := range s.Netns {
				reaches := slices.ContainsFunc(from.Addrs, func(b kernel.Addr) bool {
					return from.Name != to.Name && from.Mark.Project == "p" && b.Prefix.Masked() == a.Prefix.Masked()
				})
				if c := (&connection{from: from.Name, to: to.Name, addr: a.Prefix.Addr()}); reaches && len(d.conns) < many && c.open(d.host) {
					d.conns = append(d.conns, c)
				}
			}
		}
	}
}

func (d *drifted) disconnect() {
	for _, c := range d.conns {
		c.close()
	}
	d.conns = nil
}

// open opens a connection; false: what the topology has between the two lets none through.
func (c *connection) open(h *host) bool {
	h.Helper()
	var listener net.Listener
	within(h, c.to, func() (err error) {
		listener, err = net.Listen("tcp4", netip.AddrPortFrom(c.addr, 0).String())
		return err
	})
	defer listener.Close()
	refused := error(nil)
	within(h, c.from, func() error {
		c.near, refused = net.DialTimeout("tcp4", listener.Addr().String(), 500*time.Millisecond)
		return nil
	})
	if refused != nil {
		return false
	}
	var err error
	if c.far, err = listener.Accept(); err != nil {
		h.Fatal(err)
	}
	return true
}

func (c *connection) close() { c.near.Close(); c.far.Close() }

// within runs f on a thread that is in a namespace, and ends with it.
func within(h *host, netns string, f func() error) {
	h.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		fd, err := os.Open("/run/netns/" + netns)
		if err == nil {
			err = unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET)
			fd.Close()
		}
		if err == nil {
			err = f()
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		h.Fatalf("in %s: %v", netns, err)
	}
}

// separates closes what an edit ends by itself: a namespace's deletion is one only when nobody is in it any more.
func (d *drifted) separates(edit topogen.Edit) bool {
	for _, op := range edit.Ops {
		if o, ok := op.(kernel.NetnsDelete); ok && slices.ContainsFunc(d.conns, func(c *connection) bool { return c.from == o.Name || c.to == o.Name }) {
			d.disconnect()
			return true
		}
	}
	return false
}

// alive expects the connections to carry what is written, or makes new ones for those that were cut.
func (d *drifted) alive(edit topogen.Edit, cut bool) {
	d.Helper()
	if cut {
		d.connect()
		return
	}
	var living []*connection
	for _, c := range d.conns {
		d.connections++
		c.lastLetter++
		// What was sent while the way was cut comes a second time; and where broadcasts are not flooded it takes a while until the two
		// know each other's MAC addresses again (arp(7), delay_first_probe_time).
		limit := time.Now().Add(time.Minute)
		letter := []byte{0}
		_, err := c.near.Write([]byte{c.lastLetter})
		if err == nil {
			c.far.SetReadDeadline(limit)
			_, err = io.ReadFull(c.far, letter)
		}
		if err != nil || letter[0] != c.lastLetter {
			d.fail(&d.cut, "%s: the connection from %s to %s (%s) is lost: %v", edit.Name, c.from, c.to, c.addr, err)
			c.close()
			continue
		}
		living = append(living, c)
	}
	d.conns = living
}
