package container

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"topo/internal/kernel"
	"topo/internal/testhost"
)

// TestEscape tries to get out of a container, as its main process and by exec. That the same tries go through in a
// privileged one shows that it is the confinement that stops them, and not a mistake in how they are made. Those that
// don't go through there either are stopped by what a privileged container has, too: its namespaces and its root. With a user
// namespace they are made twice: with all else that confines, and with nothing else.
func TestEscape(t *testing.T) {
	boxes(t, func(l *lab) {
		self, err := os.Executable()
		if err != nil {
			l.Fatal(err)
		}
		env, clean := tryEnv(l)
		defer clean()
		host := onHost(l, self, env)
		for _, way := range []confinementOf{confinedByDefault, confinedByIDs, confinedByIDsAlone, privileged} {
			p := kernel.Process{
				Node: "n", Container: true, Init: true, Env: env,
				Mounts: []kernel.Mount{
					{Source: self, Target: tryPath, ReadOnly: true},
					{Source: hostNet, Target: hostNet},
					{Source: hostFile, Target: hostFile},
				},
			}
			way.confine(&p)
			want := map[string]string{}
			for _, t := range tries {
				want[t.name] = way.want(t)
				// A kernel without the file has it in no container either.
				if want[t.name] == "host" || host[t.name] == "ENOENT" && strings.HasPrefix(t.name, "/proc/") {
					want[t.name] = host[t.name]
				}
			}
			main := p
			main.Argv = []string{tryPath}
			l.start(main)
			compareTries(l, way, "main process", want, l.logged("n"))
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})

			p.Argv = []string{"sleep", "1000"}
			l.start(p)
			code, out, stderr := l.exec(ExecRequest{Argv: []string{tryPath}})
			if code != 0 {
				l.Fatalf("exec: %d %s", code, stderr)
			}
			compareTries(l, way, "exec", want, out)
			l.do(kernel.ProcessStop{Project: l.project, Node: "n"})
		}
		if _, err := os.Stat("/usr/topo-try"); err == nil {
			l.Error("a container wrote the host's /usr")
		}
	})
}

// confinementOf is what holds the container of the tries in.
type confinementOf string

const (
	confinedByDefault  confinementOf = "by default"
	confinedByIDs      confinementOf = "with a user namespace"
	confinedByIDsAlone confinementOf = "with a user namespace alone"
	privileged         confinementOf = "privileged"
)

func (c confinementOf) confine(p *kernel.Process) {
	if c == confinedByIDs || c == confinedByIDsAlone {
		p.UsernsMode = kernel.PrivateUserns
	}
	if c == confinedByIDsAlone {
		p.CapAdd, p.SecurityOpt = []string{"ALL"}, []string{"seccomp=unconfined", "no-new-privileges:false"}
	}
	p.Privileged = c == privileged
}

func (c confinementOf) want(t try) string {
	switch c {
	case privileged:
		return t.privileged
	case confinedByIDsAlone:
		return t.private
	}
	return t.want
}

// is reports whether a result is what it should be. With a user namespace, too, a try may be stopped earlier, or at all, for want of
// rights.
func (c confinementOf) is(got, want string) bool {
	return got == want || want == "any" || c == confinedByIDs && (got == "EPERM" || got == "EACCES")
}

func compareTries(l *lab, c confinementOf, by string, want map[string]string, printed string) {
	l.Helper()
	got := parseTries(printed)
	for name, result := range got {
		if c.is(result, want[name]) {
			got[name] = want[name]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.Errorf("%s, %s (-want +got):\n%s", c, by, diff)
	}
}

func parseTries(printed string) map[string]string {
	got := map[string]string{}
	for line := range strings.Lines(printed) {
		name, result, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		got[name] = result
	}
	return got
}

// hostFile is of the host's root, who alone may write it.
const hostFile = "/run/topo-host-file"

// hostNet is where the host's network namespace is mounted, so that a container can be given a handle on it.
const hostNet = "/run/topo-host-net"

// tryEnv prepares what the tries aim at.
func tryEnv(l *lab) (env []string, clean func()) {
	l.Helper()
	if err := os.WriteFile(hostNet, nil, 0o600); err != nil {
		l.Fatal(err)
	}
	testhost.Run(l, "mount", "--bind", "/proc/self/ns/net", hostNet)
	if err := os.WriteFile(hostFile, nil, 0o644); err != nil {
		l.Fatal(err)
	}

	// A pid that no process of a container comes to have.
	const high = 20000
	testhost.Run(l, "sh", "-c", fmt.Sprintf("echo %d > /proc/sys/kernel/ns_last_pid", high))
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		l.Fatal(err)
	}
	if sleep.Process.Pid < high {
		l.Fatalf("the process of the host has pid %d", sleep.Process.Pid)
	}
	env = []string{
		tryDisk + "=" + hostDisk(l), tryProcess + "=" + strconv.Itoa(sleep.Process.Pid), tryHostNet + "=" + hostNet,
		trySocket + "=" + l.layout(l.project).socket(), tryFile + "=" + hostFile,
	}
	return env, func() {
		_, _ = sleep.Process.Kill(), sleep.Wait()
		testhost.Run(l, "umount", hostNet)
		testhost.Run(l, "rm", hostNet, hostFile)
	}
}

// hostDisk is "NAME:MAJOR:MINOR" of a disk that can be opened.
func hostDisk(l *lab) string {
	l.Helper()
	for _, d := range hostDevices() {
		name := strings.TrimPrefix(d.Path, "/dev/")
		if d.Type != "b" || opened(d.Path, os.O_RDONLY) != nil || !exists("/sys/block/"+name) {
			continue
		}
		return fmt.Sprintf("%s:%d:%d", name, d.Major, d.Minor)
	}
	l.Fatal("this machine has no disk that can be opened: there is nothing to keep a container from")
	return ""
}

// onHost makes those tries outside of any container whose result depends on the kernel; they change nothing.
func onHost(l *lab, self string, env []string) map[string]string {
	l.Helper()
	got := map[string]string{}
	for _, t := range tries {
		if t.privileged != "host" {
			continue
		}
		cmd := &exec.Cmd{Path: self, Args: []string{tryPath, t.name}, Env: slices.Concat(os.Environ(), env)}
		out, err := cmd.Output()
		if err != nil {
			l.Fatalf("%s: %v", t.name, err)
		}
		got[t.name] = string(bytes.TrimSpace(out))
		if got[t.name] == "" {
			l.Fatalf("%s said nothing", t.name)
		}
	}
	return got
}

// TestTriesAreDocumented holds the table of docs/security.md against the tries.
func TestTriesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, t := range tries {
		privileged := t.privileged
		if privileged == "host" {
			privileged = "as outside"
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s | %s |\n", t.name, t.want, t.why, privileged, t.private)
	}
	if !strings.Contains(string(page), want.String()) {
		t.Errorf("docs/security.md has not this table:\n%s", want.String())
	}
}
